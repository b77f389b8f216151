//! The bounds on open connections and on the pages they are being sent: who has
//! nothing to be answered makes room first, so that a plain scrape gets through
//! whoever else holds connections open.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::exporter::renders::Rendered;

/// More than any number of scrapers needs.
pub(crate) const MAX_CONNECTIONS: usize = 128;
/// Of all pages that slow readers keep in memory, beside the newest.
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Connections(RefCell<Vec<Rc<Connection>>>);

#[derive(Debug)]
pub(crate) struct Connection {
    opened: Instant,
    state: RefCell<State>,
    closed: Notify,
}

#[derive(Debug, Default)]
enum State {
    /// No request, or not all of one.
    #[default]
    Idle,
    Asked,
    /// The answer is on its way out, with the page if it is one.
    Answering(Option<Rc<Rendered>>),
}

impl Connections {
    /// Registers a new connection, closing another where there are too many.
    pub(crate) fn open(&self) -> Rc<Connection> {
        if self.0.borrow().len() >= MAX_CONNECTIONS && !self.close_idle(Duration::ZERO) {
            self.close_oldest();
        }
        let connection = Rc::new(Connection {
            opened: Instant::now(),
            state: RefCell::default(),
            closed: Notify::new(),
        });
        self.0.borrow_mut().push(Rc::clone(&connection));
        connection
    }

    pub(crate) fn remove(&self, connection: &Rc<Connection>) {
        self.0
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, connection));
    }

    /// Closes the oldest idle connection, if it has had this long to ask.
    /// `false` if there is none.
    pub(crate) fn close_idle(&self, least_age: Duration) -> bool {
        let mut all = self.0.borrow_mut();
        let oldest = all
            .iter()
            .position(|other| other.is_idle() && other.opened.elapsed() >= least_age);
        oldest
            .map(|oldest| all.remove(oldest).closed.notify_one())
            .is_some()
    }

    /// Closes the oldest connection, whatever it is at.
    pub(crate) fn close_oldest(&self) {
        let mut all = self.0.borrow_mut();
        if !all.is_empty() {
            all.remove(0).closed.notify_one();
        }
    }

    /// Closes whoever still reads the oldest pages, where too much is held.
    pub(crate) fn bound_pages(&self) {
        let mut all = self.0.borrow_mut();
        let mut pages: Vec<Rc<Rendered>> = all.iter().filter_map(|other| other.page()).collect();
        pages.sort_by_key(|page| page.number());
        pages.dedup_by_key(|page| page.number());
        let mut held = 0;
        let too_old = pages.iter().rev().skip(1).find(|page| {
            held += page.size();
            held > MAX_HELD_BYTES
        });
        if let Some(too_old) = too_old {
            all.retain(|other| {
                let is_left = other
                    .page()
                    .is_some_and(|page| page.number() <= too_old.number());
                if is_left {
                    other.closed.notify_one();
                }
                !is_left
            });
        }
    }
}

impl Connection {
    /// Resolves when this connection is to make room.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(*self.state.borrow(), State::Idle)
    }

    /// A whole request has arrived.
    pub(crate) fn asked(&self) {
        self.state.replace(State::Asked);
    }

    /// The answer is there, and remains to be sent.
    pub(crate) fn answered(&self, page: Option<Rc<Rendered>>) {
        self.state.replace(State::Answering(page));
    }

    /// All that was written has been sent.
    fn flushed(&self) {
        let mut state = self.state.borrow_mut();
        if matches!(*state, State::Answering(_)) {
            *state = State::Idle;
        }
    }

    fn page(&self) -> Option<Rc<Rendered>> {
        match &*self.state.borrow() {
            State::Answering(page) => page.clone(),
            _ => None,
        }
    }
}

/// A stream that tells its connection when an answer is out: the server flushes
/// it only once its own buffers are empty.
pub(crate) struct Watched<S> {
    pub(crate) stream: S,
    pub(crate) connection: Rc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            self.connection.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(connections: &Connections, connection: &Rc<Connection>) -> bool {
        let all = connections.0.borrow();
        all.iter().any(|other| Rc::ptr_eq(other, connection))
    }

    #[test]
    fn the_oldest_idle_connection_makes_room() {
        let connections = Connections::default();
        let all: Vec<_> = (0..MAX_CONNECTIONS).map(|_| connections.open()).collect();
        all[0].asked();
        all[1].asked();
        all[1].answered(None);
        connections.open();
        assert_eq!(connections.0.borrow().len(), MAX_CONNECTIONS);
        assert!(is_open(&connections, &all[0]));
        assert!(is_open(&connections, &all[1]));
        assert!(!is_open(&connections, &all[2]));
        all[1].flushed();
        connections.open();
        assert!(!is_open(&connections, &all[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_can_be_given_time() {
        const TIME: Duration = Duration::from_millis(10);
        let connections = Connections::default();
        assert!(!connections.close_idle(Duration::ZERO));
        let older = connections.open();
        tokio::time::advance(TIME).await;
        let newer = connections.open();
        assert!(connections.close_idle(TIME));
        assert!(!is_open(&connections, &older));
        assert!(!connections.close_idle(TIME));
        assert!(is_open(&connections, &newer));
        tokio::time::advance(TIME).await;
        assert!(connections.close_idle(TIME));
        assert!(!connections.close_idle(Duration::ZERO));
    }

    #[test]
    fn where_none_is_idle_the_oldest_makes_room() {
        let connections = Connections::default();
        let all: Vec<_> = (0..MAX_CONNECTIONS).map(|_| connections.open()).collect();
        all.iter().for_each(|connection| connection.asked());
        assert!(!connections.close_idle(Duration::ZERO));
        connections.open();
        assert!(!is_open(&connections, &all[0]));
        assert!(is_open(&connections, &all[1]));
    }

    #[test]
    fn a_flush_before_the_answer_ends_nothing() {
        let connection = Connections::default().open();
        connection.asked();
        connection.flushed();
        assert!(!connection.is_idle());
        connection.answered(None);
        assert!(!connection.is_idle());
        connection.flushed();
        assert!(connection.is_idle());
    }

    #[test]
    fn whoever_reads_the_oldest_pages_is_left() {
        let page = |number, size| Rc::new(Rendered::new(number, "x".repeat(size)));
        let connections = Connections::default();
        let reading = |page: &Rc<Rendered>| {
            let connection = connections.open();
            connection.answered(Some(Rc::clone(page)));
            connections.bound_pages();
            connection
        };
        let first = page(1, MAX_HELD_BYTES / 2);
        let readers = [reading(&first), reading(&first)];
        let second = reading(&page(2, MAX_HELD_BYTES / 2 + 1));
        let idle = connections.open();
        assert!(is_open(&connections, &readers[0]));

        let newest = reading(&page(3, 2 * MAX_HELD_BYTES));
        assert!(!is_open(&connections, &readers[0]));
        assert!(!is_open(&connections, &readers[1]));
        for left_alone in [&second, &idle, &newest] {
            assert!(is_open(&connections, left_alone));
        }
    }
}

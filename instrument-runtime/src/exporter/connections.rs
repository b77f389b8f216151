//! Limits on open connections and on the pages that slow readers keep in memory.
//!
//! At most [`MAX_CONNECTIONS`] connections are open. A new connection past that limit
//! closes an existing one: the oldest idle connection, else the oldest whose peer has
//! closed its side, else the oldest. An ordinary scrape therefore gets through while
//! other clients hold connections open (slow loris).

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::discovery::departure::{Delivery, Scrape};
use crate::exporter::joined_renders::Rendered;
use crate::exporter::listener::Stream;

/// The largest number of open connections, far more than scrapers need.
pub(crate) const MAX_CONNECTIONS: usize = 128;
/// The largest total size, in bytes, of the pages that are being sent. The newest page of
/// each format does not count.
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;

/// All open connections, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Connections(RefCell<Vec<Rc<Connection>>>);

#[derive(Debug)]
pub(crate) struct Connection {
    opened: Instant,
    /// `None` in unit tests.
    stream: RefCell<Option<Stream>>,
    state: RefCell<State>,
    /// The scrape that was answered last. Cleared when the peer sends another request,
    /// because that proves that the peer has received the answer.
    delivery: RefCell<Option<Delivery>>,
    /// Notified when this connection must close to make room.
    closed: Notify,
}

#[derive(Debug, Default)]
enum State {
    /// No complete request has arrived.
    #[default]
    Idle,
    /// A complete request has arrived, and its response is not ready.
    Asked,
    /// The response is being sent.
    Answering(Answer),
}

/// A response that is being sent.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) page: Option<Rc<Rendered>>,
    pub(crate) scrape: Option<Scrape>,
}

impl Connections {
    /// Registers a new connection. Closes an existing one if the limit is reached.
    pub(crate) fn open(&self, stream: impl Into<Option<Stream>>) -> Rc<Connection> {
        if self.0.borrow().len() >= MAX_CONNECTIONS
            && !self.close_idle(Duration::ZERO)
            && !self.close_half_closed()
        {
            self.close_oldest();
        }
        let connection = Rc::new(Connection {
            opened: Instant::now(),
            stream: RefCell::new(stream.into()),
            state: RefCell::default(),
            delivery: RefCell::default(),
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

    /// Closes the oldest idle connection that has been open for at least `least_age`.
    /// Returns `false` if no connection qualifies.
    pub(crate) fn close_idle(&self, least_age: Duration) -> bool {
        let mut all = self.0.borrow_mut();
        let oldest = all
            .iter()
            .position(|other| other.is_idle() && other.opened.elapsed() >= least_age);
        oldest
            .map(|oldest| all.remove(oldest).closed.notify_one())
            .is_some()
    }

    /// Closes the oldest connection whose peer has closed its side, because most of these
    /// peers have hung up. Returns `false` if no connection qualifies.
    fn close_half_closed(&self) -> bool {
        let mut all = self.0.borrow_mut();
        let oldest = all.iter().position(|other| other.is_half_closed());
        oldest
            .map(|oldest| all.remove(oldest).closed.notify_one())
            .is_some()
    }

    /// Closes the oldest connection, whatever its state.
    pub(crate) fn close_oldest(&self) {
        let mut all = self.0.borrow_mut();
        if !all.is_empty() {
            all.remove(0).closed.notify_one();
        }
    }

    /// Limits the memory of the pages that are being sent. If all pages but the newest one
    /// of each format take more than [`MAX_HELD_BYTES`], closes the connections to which the
    /// oldest pages are being sent.
    pub(crate) fn bound_pages(&self) {
        let mut all = self.0.borrow_mut();
        let mut pages: Vec<Rc<Rendered>> = all.iter().filter_map(|other| other.page()).collect();
        pages.sort_by_key(|page| page.number());
        pages.dedup_by_key(|page| page.number());
        let mut newest: Vec<Rc<Rendered>> = Vec::new();
        for page in pages.iter().rev() {
            if newest
                .iter()
                .all(|newest| newest.dialect() != page.dialect())
            {
                newest.push(Rc::clone(page));
            }
        }
        let is_newest = |page: &Rc<Rendered>| newest.iter().any(|newest| Rc::ptr_eq(newest, page));
        let mut held = 0;
        let too_old = pages.iter().rev().find(|page| {
            if !is_newest(page) {
                held += page.size();
            }
            held > MAX_HELD_BYTES
        });
        if let Some(too_old) = too_old {
            all.retain(|other| {
                let is_newest =
                    |page: &Rc<Rendered>| newest.iter().any(|newest| Rc::ptr_eq(newest, page));
                let is_left = other
                    .page()
                    .is_some_and(|page| page.number() <= too_old.number() && !is_newest(&page));
                if is_left {
                    other.closed.notify_one();
                }
                !is_left
            });
        }
    }
}

impl Connection {
    /// Completes when this connection must close to make room.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(*self.state.borrow(), State::Idle)
    }

    /// Records that a complete request has arrived.
    pub(crate) fn asked(&self) {
        self.delivery.take();
        self.state.replace(State::Asked);
    }

    /// Records that the response is ready to be sent.
    pub(crate) fn answered(&self, answer: Answer) {
        self.state.replace(State::Answering(answer));
    }

    /// Records that everything written so far has been handed to the operating system.
    fn flushed(&self) {
        let state = self.state.take();
        let State::Answering(answer) = state else {
            self.state.replace(state);
            return;
        };
        // A peer that has closed its side may still read the answer, or may have hung
        // up. The two cases look the same, so such a scrape does not count as delivered.
        if let Some(scrape) = answer.scrape
            && !self.is_half_closed()
        {
            self.delivery.replace(scrape.delivered());
        }
    }

    /// Records that the connection has ended.
    ///
    /// If the peer hung up before the answer was sent, its system has reset the connection
    /// by now. A read does not report the reset, because it has already returned the end
    /// of the stream. So the reset is read from `SO_ERROR`.
    pub(crate) fn ended(&self) {
        let stream = self.stream.borrow();
        let error = stream.as_ref().map(Stream::take_error);
        if !matches!(error, None | Some(Ok(None))) {
            self.broke_off();
        }
    }

    /// Withdraws the delivery of the last scrape: the connection failed, for example
    /// with a reset, so the peer may not have read the whole answer.
    fn broke_off(&self) {
        if let Some(delivery) = self.delivery.take() {
            delivery.lost();
        }
    }

    fn is_half_closed(&self) -> bool {
        let stream = self.stream.borrow();
        stream.as_ref().is_some_and(Stream::is_read_closed)
    }

    /// Returns the page that is being sent.
    fn page(&self) -> Option<Rc<Rendered>> {
        match &*self.state.borrow() {
            State::Answering(answer) => answer.page.clone(),
            _ => None,
        }
    }
}

/// Wraps the stream of a connection and notifies the connection when an answer has been
/// sent. The signal is a completed flush, because hyper flushes the stream only after its
/// own write buffer is empty.
pub(crate) struct Watched(pub(crate) Rc<Connection>);

impl Watched {
    fn poll<T>(
        &self,
        poll: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = match &mut *self.0.stream.borrow_mut() {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        if let Poll::Ready(Err(_)) = polled {
            self.0.broke_off();
        }
        polled
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll(|stream| stream.poll_flush(cx));
        if let Poll::Ready(Ok(())) = flushed {
            self.0.flushed();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::encoding::{Encodings, Wanted};
    use crate::page::format::{Dialect, Syntax};

    fn is_open(connections: &Connections, connection: &Rc<Connection>) -> bool {
        let all = connections.0.borrow();
        all.iter().any(|other| Rc::ptr_eq(other, connection))
    }

    #[test]
    fn the_oldest_idle_connection_makes_room() {
        let connections = Connections::default();
        let all: Vec<_> = (0..MAX_CONNECTIONS)
            .map(|_| connections.open(None))
            .collect();
        all[0].asked();
        all[1].asked();
        all[1].answered(Answer::default());
        connections.open(None);
        assert_eq!(connections.0.borrow().len(), MAX_CONNECTIONS);
        assert!(is_open(&connections, &all[0]));
        assert!(is_open(&connections, &all[1]));
        assert!(!is_open(&connections, &all[2]));
        all[1].flushed();
        connections.open(None);
        assert!(!is_open(&connections, &all[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_can_be_given_time() {
        const TIME: Duration = Duration::from_millis(10);
        let connections = Connections::default();
        assert!(!connections.close_idle(Duration::ZERO));
        let older = connections.open(None);
        tokio::time::advance(TIME).await;
        let newer = connections.open(None);
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
        let all: Vec<_> = (0..MAX_CONNECTIONS)
            .map(|_| connections.open(None))
            .collect();
        all.iter().for_each(|connection| connection.asked());
        assert!(!connections.close_idle(Duration::ZERO));
        connections.open(None);
        assert!(!is_open(&connections, &all[0]));
        assert!(is_open(&connections, &all[1]));
    }

    #[test]
    fn a_flush_before_the_answer_ends_nothing() {
        let connection = Connections::default().open(None);
        connection.asked();
        connection.flushed();
        assert!(!connection.is_idle());
        connection.answered(Answer::default());
        assert!(!connection.is_idle());
        connection.flushed();
        assert!(connection.is_idle());
    }

    /// A scrape whose connection is reset is not delivered, even if the runtime has not yet
    /// polled for the event that reports the hang-up.
    #[tokio::test]
    async fn a_scrape_that_is_reset_is_not_delivered() {
        use crate::discovery::departure;

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        for hangs_up in [true, false] {
            let peer = std::net::TcpStream::connect(addr).expect("connects");
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.writable().await.expect("a new connection is");
            let connection = Connections::default().open(Stream::Tcp(stream));
            let peer = (!hangs_up).then_some(peer);
            let before = departure::delivered();
            connection.answered(Answer {
                page: None,
                scrape: Some(Scrape::of_all()),
            });
            let Some(Stream::Tcp(stream)) = &*connection.stream.borrow() else {
                panic!("it has a stream");
            };
            stream.try_write(b"the answer").expect("it goes out");
            connection.flushed();
            assert_eq!(departure::delivered(), before + 1);
            connection.ended();
            assert_eq!(departure::delivered(), before + usize::from(!hangs_up));
            drop(peer);
        }
    }

    #[test]
    fn whoever_reads_the_oldest_pages_is_left() {
        let page_of = |number, dialect, size| {
            let wanted = Wanted {
                plain: true,
                gzip: false,
            };
            let encodings = Encodings::new(wanted, |sink| sink.take(&mut vec![b'x'; size]));
            Rc::new(Rendered::new(number, dialect, encodings))
        };
        let page = |number, size| page_of(number, Dialect::default(), size);
        let connections = Connections::default();
        let reading = |page: &Rc<Rendered>| {
            let connection = connections.open(None);
            connection.answered(Answer {
                page: Some(Rc::clone(page)),
                scrape: None,
            });
            connections.bound_pages();
            connection
        };
        let open_metrics = Dialect {
            syntax: Syntax::OpenMetrics,
            dots: false,
        };
        let other = reading(&page_of(0, open_metrics, 2 * MAX_HELD_BYTES));
        let first = page(1, MAX_HELD_BYTES / 2);
        let readers = [reading(&first), reading(&first)];
        let second = reading(&page(2, MAX_HELD_BYTES / 2 + 1));
        let idle = connections.open(None);
        assert!(is_open(&connections, &readers[0]));

        let newest = reading(&page(3, 2 * MAX_HELD_BYTES));
        assert!(!is_open(&connections, &readers[0]));
        assert!(!is_open(&connections, &readers[1]));
        // The newest page of each format can be sent to its end.
        for left_alone in [&other, &second, &idle, &newest] {
            assert!(is_open(&connections, left_alone));
        }
    }
}

//! The accept loop, the timeouts of each connection, and the shutdown. Everything here
//! runs on the exporter's thread.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet, yield_now};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::exporter::connections::{Connection, Connections, MAX_CONNECTIONS, Watched};
use crate::exporter::joined_renders::JoinedRenders;
use crate::exporter::listener::AsyncListener;
use crate::exporter::respond::{Routes, respond};
use crate::page::Page;
use crate::stop::stopped;

/// The time limit for a complete request head, and for an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// The time limit from a request to the end of its response. A slower reader is
/// disconnected.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a shutdown waits for the responses in progress.
const GRACE: Duration = Duration::from_secs(5);
/// The largest request head, in bytes.
const MAX_HEADER: usize = 16 * 1024;
/// How long a shutdown waits for a request on an idle connection: it may be in transit.
const LAST_REQUEST: Duration = Duration::from_millis(100);
/// The number of descriptors held in reserve for `EMFILE`.
const RESERVES: usize = 2;
/// The pause after a failed accept, if no reserve and no idle connection can be closed.
/// Also the minimum age of an idle connection that is closed to free a descriptor: a new
/// connection gets this time to send its request.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// The number of pauses (one second in total) before the oldest connection is closed
/// although its response is in progress.
const MOST_PAUSES: u32 = 100;
/// The interval at which the recorder's upkeep runs.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until `stop` becomes `true`.
pub(crate) async fn run(
    listener: AsyncListener,
    routes: Routes,
    page: Page,
    stop: watch::Receiver<bool>,
) {
    run_with(listener, routes, Rc::new(JoinedRenders::new(page)), stop).await;
}

async fn run_with(
    listener: AsyncListener,
    routes: Routes,
    renders: Rc<JoinedRenders>,
    stop: watch::Receiver<bool>,
) {
    let routes = Rc::new(routes);
    LocalSet::new()
        .run_until(async {
            let rendering = tokio::task::spawn_local({
                let renders = Rc::clone(&renders);
                async move { renders.run().await }
            });
            let upkeep = tokio::task::spawn_local({
                let renders = Rc::clone(&renders);
                async move { keep_up(&renders).await }
            });
            serve(listener, &routes, &renders, stop).await;
            rendering.abort();
            upkeep.abort();
        })
        .await;
}

/// Runs the recorder's upkeep at the interval [`UPKEEP`]. Never completes.
async fn keep_up(renders: &JoinedRenders) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A panic here loses no page, so it is not counted. The next render does the same
        // work, and counts a panic in it.
        let _ = catch_unwind(AssertUnwindSafe(|| renders.page().run_upkeep()));
    }
}

/// Accepts connections until `stop` becomes `true`, then waits at most [`GRACE`] for the
/// open connections.
async fn serve(
    listener: AsyncListener,
    routes: &Rc<Routes>,
    renders: &Rc<JoinedRenders>,
    stop: watch::Receiver<bool>,
) {
    let connections = Rc::new(Connections::default());
    let mut tasks = JoinSet::new();
    let accepted = |(stream, peer)| {
        connection(
            peer,
            connections.open(stream),
            Rc::clone(routes),
            Rc::clone(renders),
            Rc::clone(&connections),
            stop.clone(),
        )
    };
    let mut stopped = pin!(stopped(stop.clone()));
    let mut pauses = 0;
    loop {
        let mut accept = pin!(listener.accept());
        let next = poll_fn(|context| {
            if stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            while let Poll::Ready(Some(_)) = tasks.poll_join_next(context) {}
            let accepted = accept.as_mut().poll(context);
            // Refill the reserves only while no connection is pending: a pending
            // connection may need the last free descriptor.
            if accepted.is_pending() {
                listener.keep_reserves(RESERVES);
            }
            accepted.map(Some)
        });
        match next.await {
            None => break,
            Some(Ok(stream)) => {
                pauses = 0;
                tasks.spawn_local(accepted(stream));
                // Lets the new connection read its request before others are accepted.
                // Otherwise a burst of connections could close it as idle.
                yield_now().await;
            }
            // The peer hung up before its connection was accepted.
            Some(Err(error)) if is_of_the_peer(&error) => {}
            // Probably `EMFILE`. Linux reports it even when no connection is pending:
            // closing one reserved descriptor lets a pending connection in, closing
            // the second shows whether more are waiting.
            Some(Err(_)) if listener.give_up_reserve() => {}
            // The connection's task closes the descriptor during the yield.
            Some(Err(_)) if connections.close_idle(ACCEPT_PAUSE) => yield_now().await,
            Some(Err(_)) => {
                sleep(ACCEPT_PAUSE).await;
                pauses += 1;
                if pauses >= MOST_PAUSES {
                    pauses = 0;
                    connections.close_oldest();
                    yield_now().await;
                }
            }
        }
    }
    // Connections in the listen backlog may have sent their requests already: accept
    // them too.
    for _ in 0..MAX_CONNECTIONS {
        // Lets the runtime poll for I/O events.
        yield_now().await;
        let mut accept = pin!(listener.accept());
        let next = poll_fn(|context| Poll::Ready(accept.as_mut().poll(context)));
        let Poll::Ready(Ok(stream)) = next.await else {
            break;
        };
        tasks.spawn_local(accepted(stream));
    }
    // The port is free from here on.
    drop(listener);
    let _ = timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Serves one connection until it ends, is closed to make room, or times out.
async fn connection(
    peer: Option<IpAddr>,
    connection: Rc<Connection>,
    routes: Rc<Routes>,
    renders: Rc<JoinedRenders>,
    connections: Rc<Connections>,
    stop: watch::Receiver<bool>,
) {
    let deadline = Rc::new(Cell::new(Instant::now() + HEADER_TIMEOUT + ANSWER_TIMEOUT));
    let service = service_fn(|request| {
        deadline.set(Instant::now() + ANSWER_TIMEOUT);
        connection.asked();
        let (routes, renders) = (Rc::clone(&routes), Rc::clone(&renders));
        let (connection, connections) = (Rc::clone(&connection), Rc::clone(&connections));
        async move {
            let (response, answer) = respond(&request, peer, &routes, &renders).await;
            connection.answered(answer);
            connections.bound_pages();
            Ok::<_, Infallible>(response)
        }
    });
    let watched = Watched(Rc::clone(&connection));
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER)
            // Some clients close their side after the request (`nc -N`, some proxies).
            .half_close(true)
            .serve_connection(TokioIo::new(watched), service)
    );
    /// Removes the connection, also if the task panics.
    struct Leave<'a>(&'a Connections, &'a Rc<Connection>);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.remove(self.1);
        }
    }
    let _leave = Leave(&connections, &connection);
    let mut closed = pin!(connection.closed());
    let mut expired = pin!(sleep_until(deadline.get()));
    let mut stopping = pin!(async {
        stopped(stop).await;
        if connection.is_idle() {
            sleep(LAST_REQUEST).await;
        }
    });
    let mut last = false;
    poll_fn(|context| {
        // The result is not needed: `Watched` has already reported an I/O error to the
        // connection.
        if served.as_mut().poll(context).is_ready() || closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if !last && stopping.as_mut().poll(context).is_ready() {
            if connection.is_idle() {
                return Poll::Ready(());
            }
            last = true;
            served.as_mut().graceful_shutdown();
            if served.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
        }
        // A request may have moved the deadline in either direction.
        if expired.deadline() != deadline.get() {
            expired.as_mut().reset(deadline.get());
        }
        expired.as_mut().poll(context)
    })
    .await;
    connection.ended();
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::exporter::listener::{Listener, Sockets, Target};
    use crate::recorder::Recorder;
    use crate::settings::Settings;

    async fn ask(addr: SocketAddr, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        let read = timeout(ANSWER_TIMEOUT, stream.read_to_string(&mut answer));
        read.await.expect("in time").expect("an answer");
        answer
    }

    fn listener() -> (AsyncListener, SocketAddr) {
        let any_port = Target::Tcp(vec![([127, 0, 0, 1], 0).into()]);
        let listener = Listener::bind(any_port).expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let listener = AsyncListener::new(Sockets::new(listener));
        (listener.expect("within a runtime"), addr)
    }

    fn renders() -> Rc<JoinedRenders> {
        let recorder = Recorder::new(Arc::new(Settings::default()));
        Rc::new(JoinedRenders::new(Page::of(&recorder)))
    }

    fn panics_on(page: &str) -> u64 {
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix("instrument_render_panics_total "));
        value.expect("on each page").parse().expect("a number")
    }

    #[tokio::test]
    async fn a_panic_costs_one_page_and_is_told() {
        let renders = renders();
        let (listener, addr) = listener();
        let (stop, stopped) = watch::channel(false);
        let serving = run_with(listener, Routes::default(), Rc::clone(&renders), stopped);
        let asking = async {
            assert!(
                ask(addr, "GET", "/health")
                    .await
                    .starts_with("HTTP/1.1 200")
            );
            let page = ask(addr, "GET", "/metrics").await;
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
            let before = panics_on(&page);

            renders.panics.set(true);
            for method in ["GET", "HEAD", "GET"] {
                let answer = ask(addr, method, "/metrics").await;
                assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
            }
            let health = ask(addr, "GET", "/health").await;
            assert!(health.starts_with("HTTP/1.1 503"), "{health}");

            renders.panics.set(false);
            let page = ask(addr, "GET", "/metrics").await;
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
            // Other tests in this process may cause panics too.
            assert!(panics_on(&page) >= before + 3, "{page}");
            assert!(
                ask(addr, "GET", "/health")
                    .await
                    .starts_with("HTTP/1.1 200")
            );
            stop.send_replace(true);
        };
        tokio::join!(serving, asking);
    }

    /// A render loop that ends without a panic leaves no scraper waiting either.
    #[tokio::test]
    async fn without_a_renderer_nobody_waits() {
        let renders = renders();
        let (listener, addr) = listener();
        let (stop, stopped) = watch::channel(false);
        // The render loop is polled, gets a request for a page, and is dropped.
        let mut rendering = Box::pin(renders.run());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(rendering.as_mut().poll(&mut context).is_pending());
        let mut waiting = pin!(renders.next(crate::page::format::Dialect::default(), false));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(rendering);
        assert!(waiting.await.is_err());

        let routes = Rc::new(Routes::default());
        let local = LocalSet::new();
        let serving = local.run_until(serve(listener, &routes, &renders, stopped));
        let asking = async {
            for path in ["/metrics", "/health"] {
                let answer = ask(addr, "GET", path).await;
                assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            }
            stop.send_replace(true);
        };
        tokio::join!(serving, asking);
    }
}

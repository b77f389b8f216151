//! The accept loop and the connections, on the exporter's own thread.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::exporter::allow::AllowList;
use crate::exporter::connections::Connections;
use crate::exporter::listener::{AsyncListener, Stream};
use crate::exporter::renders::Renders;
use crate::exporter::respond::respond;
use crate::recorder::Page;

/// For a whole request head, and for a connection to be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// From a request to the end of its answer; a reader slower than that is left.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a shutdown waits for the answers under way.
const GRACE: Duration = Duration::from_secs(5);
/// Of a request's head, in bytes.
const MAX_HEADER: usize = 16 * 1024;
/// After a failed accept, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between two rounds of upkeep.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until `stop` changes.
pub(crate) async fn run(
    listener: AsyncListener,
    allow: AllowList,
    page: Page,
    stop: watch::Receiver<bool>,
) {
    let allow = Rc::new(allow);
    let renders = Rc::new(Renders::new(page));
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
            serve(listener, &allow, &renders, stop).await;
            rendering.abort();
            upkeep.abort();
        })
        .await;
}

async fn keep_up(renders: &Renders) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        renders.page().run_upkeep();
    }
}

async fn serve(
    listener: AsyncListener,
    allow: &Rc<AllowList>,
    renders: &Rc<Renders>,
    stop: watch::Receiver<bool>,
) {
    let connections = Rc::new(Connections::default());
    let mut tasks = JoinSet::new();
    let mut stopped = pin!(stopped(stop.clone()));
    loop {
        let mut accept = pin!(listener.accept());
        let accepted = poll_fn(|context| {
            if stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            while let Poll::Ready(Some(_)) = tasks.poll_join_next(context) {}
            accept.as_mut().poll(context).map(Some)
        });
        match accepted.await {
            None => break,
            Some(Ok((stream, peer))) => {
                let connection = connection(
                    stream,
                    peer,
                    Rc::clone(allow),
                    Rc::clone(renders),
                    Rc::clone(&connections),
                    stop.clone(),
                );
                tasks.spawn_local(connection);
            }
            Some(Err(_)) => {
                // One of ours may be the descriptor that is missing.
                connections.close_one();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // The port is free from here on.
    drop(listener);
    let _ = timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Ends when the exporter is to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender outlives the thread's work; without one there is no reason to stay.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: Stream,
    peer: Option<IpAddr>,
    allow: Rc<AllowList>,
    renders: Rc<Renders>,
    connections: Rc<Connections>,
    stop: watch::Receiver<bool>,
) {
    let connection = connections.open();
    let deadline = Rc::new(Cell::new(Instant::now() + HEADER_TIMEOUT + ANSWER_TIMEOUT));
    let service = service_fn(|request| {
        deadline.set(Instant::now() + ANSWER_TIMEOUT);
        let busy = connection.busy();
        let (allow, renders) = (Rc::clone(&allow), Rc::clone(&renders));
        async move {
            let _busy = busy;
            respond(request, peer, &allow, renders).await
        }
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut stopped = pin!(stopped(stop));
    let mut closed = pin!(connection.closed());
    let mut expired = pin!(sleep_until(deadline.get()));
    let mut stopping = false;
    poll_fn(|context| {
        if !stopping && stopped.as_mut().poll(context).is_ready() {
            stopping = true;
            served.as_mut().graceful_shutdown();
        }
        // How a peer broke off is no matter of ours.
        if served.as_mut().poll(context).is_ready() || closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        while expired.as_mut().poll(context).is_ready() {
            if deadline.get() <= Instant::now() {
                return Poll::Ready(());
            }
            expired.as_mut().reset(deadline.get());
        }
        Poll::Pending
    })
    .await;
    connections.remove(&connection);
}

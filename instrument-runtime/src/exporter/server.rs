//! The accept loop and the connections, on the exporter's own thread.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
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
    mut stop: watch::Receiver<bool>,
) {
    let connections = Rc::new(Connections::default());
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
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
            Err(_) => {
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

async fn connection(
    stream: Stream,
    peer: Option<IpAddr>,
    allow: Rc<AllowList>,
    renders: Rc<Renders>,
    connections: Rc<Connections>,
    mut stop: watch::Receiver<bool>,
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
    let mut served = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut stopping = false;
    loop {
        tokio::select! {
            // How a peer broke off is no matter of ours.
            _ = &mut served => break,
            () = connection.closed() => break,
            () = sleep_until(deadline.get()) => {
                if deadline.get() <= Instant::now() {
                    break;
                }
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
    connections.remove(&connection);
}

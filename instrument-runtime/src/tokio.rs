//! Metrics of the application's tokio runtimes on the page.
//!
//! Requires the feature `tokio`, and version 1.49 of the crate `tokio` or a newer one.
//!
//! | metric | type | meaning |
//! |---|---|---|
//! | `tokio_workers` | gauge | worker threads |
//! | `tokio_workers_busy_seconds_total` | counter | time that the workers were busy, in seconds with fractions |
//! | `tokio_workers_parks_total` | counter | how often a worker had nothing to do and parked |
//! | `tokio_alive_tasks` | gauge | tasks that were spawned and have not ended |
//! | `tokio_global_queue_depth` | gauge | tasks that wait in the queue that all workers share |
//!
//! Every series has the label `runtime`. The workers of a runtime are added up. The values
//! are read when a page is rendered, and cost nothing in between.
//!
//! This query shows how busy the workers are, from 0 to 1:
//!
//! ```promql
//! sum by (runtime) (rate(tokio_workers_busy_seconds_total[1m])) / sum by (runtime) (tokio_workers)
//! ```
//!
//! What tokio counts:
//!
//! - A worker reports its busy time when it parks, and after every
//!   [`event_interval`](tokio::runtime::Builder::event_interval) polls of tasks (61 by
//!   default). A task that blocks its worker for a minute is therefore counted only after that
//!   minute. Until then, the queue grows although the workers do not seem busy.
//! - The future that is passed to `block_on` (in most applications, `main`) is not a task. On a
//!   multi-thread runtime, it does not run on a worker either.
//! - The tasks of a [`LocalSet`](tokio::task::LocalSet) are not among the alive tasks. This
//!   includes the tasks of actix-web.
//! - There are no busy time and no parks on platforms without 64-bit atomics.
//!
//! # Which runtimes
//!
//! The runtime in which [`install`](crate::Builder::install) or [`init`](crate::init) is
//! called has the label `runtime="main"`. If a runtime is built later, or if there are several,
//! pass their handles to [`watch`]:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let exporter = instrument_runtime::builder("webapp_1").without_listener().install()?;
//! let runtime = tokio::runtime::Runtime::new()?;
//! instrument_runtime::tokio::watch("api", runtime.handle());
//! assert!(exporter.render().contains("tokio_workers{app_name=\"webapp_1\",runtime=\"api\"}"));
//! # Ok(())
//! # }
//! ```
//!
//! Each worker of actix-web is a runtime with one thread. With the same name, they are added
//! up like the workers of one runtime:
//!
//! ```no_run
//! use actix_web::{App, HttpServer};
//! use tokio::runtime::Handle;
//!
//! # async fn serve() -> std::io::Result<()> {
//! HttpServer::new(|| {
//!     instrument_runtime::tokio::watch("actix", &Handle::current()); // runs in each worker
//!     App::new()
//! })
//! .bind("127.0.0.1:8080")?
//! .run()
//! .await
//! # }
//! ```
//!
//! The private runtime on which the exporter serves the page is never included.

use std::collections::BTreeMap;
use std::future;
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(target_has_atomic = "64")]
use std::time::Duration;

use tokio::runtime::{Handle, Id};

use crate::names::own::tokio as names;
use crate::page::encoder::Encoder;
use crate::recorder::number::Number;
use crate::recorder::point::{Head, Kind, Point, Series};

/// The name of the runtime in which the metrics are installed.
const MAIN: &str = "main";

/// The watched runtimes. A static, because a runtime can be watched before `install`.
static WATCHED: Mutex<Watched> = Mutex::new(Watched {
    running: Vec::new(),
    ended: BTreeMap::new(),
});

/// Puts the metrics of a runtime on the page, with the label `runtime="<name>"`.
///
/// Can be called before and after [`install`](crate::Builder::install), from any thread.
/// Several runtimes may have the same name: the page shows their sum.
///
/// If the runtime is watched already, the call has no effect, and the first name stays. To
/// give the runtime in which `install` is called another name than `main`, watch it before
/// `install`.
///
/// After the runtime has been shut down, its gauges are 0 and its counters keep their last
/// values, so that the counters of a name never decrease. Each name remains on the page as
/// long as the process runs, so use few names. A runtime that is already shut down is not
/// added.
///
/// The library holds a copy of the handle until the runtime shuts down. A handle does not
/// prevent the shutdown. But it would keep the I/O driver of the runtime open afterwards (up
/// to four file descriptors on Linux). So `watch` spawns a task on the runtime that does
/// nothing. When tokio shuts the runtime down, it drops this task, which then drops the
/// handle. The page does not count the task, but
/// [`num_alive_tasks`](tokio::runtime::RuntimeMetrics::num_alive_tasks) does.
///
/// # Examples
///
/// ```
/// use tokio::runtime::Builder;
///
/// # fn main() -> std::io::Result<()> {
/// let background = Builder::new_multi_thread().worker_threads(1).build()?;
/// instrument_runtime::tokio::watch("background", background.handle());
/// # Ok(())
/// # }
/// ```
pub fn watch(name: &'static str, handle: &Handle) {
    let id = handle.id();
    {
        let mut watched = watched();
        if watched.running.iter().any(|running| running.id == id) {
            return;
        }
        watched.running.push(Running {
            id,
            name,
            handle: None,
        });
    }
    let until_shutdown = UntilShutdown(id);
    // Not under the lock: on a runtime that is already shut down, `spawn` drops the future.
    handle.spawn(async move {
        let _until_shutdown = until_shutdown;
        future::pending::<()>().await;
    });
    // From now on, the task is among the alive tasks of the runtime.
    let mut watched = watched();
    let mut running = watched.running.iter_mut();
    if let Some(running) = running.find(|running| running.id == id) {
        running.handle = Some(handle.clone());
        watched.ended.entry(name).or_default();
    }
}

/// Watches the runtime in which the metrics are installed, if there is one.
pub(crate) fn watch_current() {
    if let Ok(handle) = Handle::try_current() {
        watch(MAIN, &handle);
    }
}

/// Stops watching the runtime when tokio drops the task that owns this value.
struct UntilShutdown(Id);

impl Drop for UntilShutdown {
    fn drop(&mut self) {
        let mut watched = watched();
        let ended = watched.end(self.0);
        drop(watched);
        // Not under the lock: with the handle, tokio may drop callbacks of the application,
        // such as `on_thread_stop`.
        drop(ended);
    }
}

/// The runtimes that are watched, and the ones that were.
struct Watched {
    running: Vec<Running>,
    /// The counters of the runtimes that have ended, by name. Contains every name.
    ended: BTreeMap<&'static str, Totals>,
}

struct Running {
    /// Unique among the running runtimes.
    id: Id,
    name: &'static str,
    /// `None` until the task has been spawned.
    handle: Option<Handle>,
}

fn watched() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    /// Moves the counters of a runtime to those that have ended.
    fn end(&mut self, id: Id) -> Option<Running> {
        let index = self.running.iter().position(|running| running.id == id)?;
        let ended = self.running.swap_remove(index);
        if let Some(handle) = &ended.handle {
            let last = Totals::read(handle).without_gauges();
            self.ended.entry(ended.name).or_default().add(&last);
        }
        Some(ended)
    }

    /// Returns the totals of each name, sorted by name.
    fn totals(&self) -> BTreeMap<&'static str, Totals> {
        let mut totals = self.ended.clone();
        for Running { name, handle, .. } in &self.running {
            if let Some(handle) = handle {
                totals.entry(name).or_default().add(&Totals::read(handle));
            }
        }
        totals
    }
}

/// The values of one runtime, or the sums of several.
#[derive(Clone, Debug, Default)]
struct Totals {
    workers: usize,
    alive_tasks: usize,
    global_queue_depth: usize,
    #[cfg(target_has_atomic = "64")]
    busy: Duration,
    #[cfg(target_has_atomic = "64")]
    parks: u64,
}

impl Totals {
    /// Reads the current values of a runtime, also while it shuts down.
    fn read(handle: &Handle) -> Self {
        let metrics = handle.metrics();
        let workers = metrics.num_workers();
        Self {
            workers,
            // The task that `watch` has spawned is not counted.
            alive_tasks: metrics.num_alive_tasks().saturating_sub(1),
            global_queue_depth: metrics.global_queue_depth(),
            #[cfg(target_has_atomic = "64")]
            busy: (0..workers)
                .map(|worker| metrics.worker_total_busy_duration(worker))
                .sum(),
            #[cfg(target_has_atomic = "64")]
            parks: (0..workers)
                .map(|worker| metrics.worker_park_count(worker))
                .sum(),
        }
    }

    fn without_gauges(self) -> Self {
        Self {
            workers: 0,
            alive_tasks: 0,
            global_queue_depth: 0,
            ..self
        }
    }

    fn add(&mut self, other: &Self) {
        self.workers += other.workers;
        self.alive_tasks += other.alive_tasks;
        self.global_queue_depth += other.global_queue_depth;
        #[cfg(target_has_atomic = "64")]
        {
            self.busy += other.busy;
            self.parks += other.parks;
        }
    }
}

/// One metric of the runtimes, with its current values.
pub(crate) struct RuntimeMetric {
    pub(crate) name: &'static str,
    help: &'static str,
    kind: Kind,
    /// The value of each name of a runtime.
    values: Vec<(&'static str, Number)>,
}

/// Reads the metrics of the watched runtimes. Empty if there was none.
pub(crate) fn families() -> Vec<RuntimeMetric> {
    let totals = watched().totals();
    if totals.is_empty() {
        return Vec::new();
    }
    let metric = |name, kind, help, value: fn(&Totals) -> Number| RuntimeMetric {
        name,
        help,
        kind,
        values: totals
            .iter()
            .map(|(name, totals)| (*name, value(totals)))
            .collect(),
    };
    vec![
        metric(
            names::ALIVE_TASKS,
            Kind::Gauge,
            "Number of tasks that were spawned on the runtime and have not ended.",
            |totals| Number::U64(totals.alive_tasks as u64),
        ),
        metric(
            names::GLOBAL_QUEUE_DEPTH,
            Kind::Gauge,
            "Number of tasks that wait in the queue that all workers of the runtime share.",
            |totals| Number::U64(totals.global_queue_depth as u64),
        ),
        metric(
            names::WORKERS,
            Kind::Gauge,
            "Number of worker threads of the runtime.",
            |totals| Number::U64(totals.workers as u64),
        ),
        #[cfg(target_has_atomic = "64")]
        metric(
            names::WORKERS_BUSY,
            Kind::Counter,
            "Total time that the workers of the runtime were busy, in seconds.",
            |totals| Number::Nanos(totals.busy.as_nanos()),
        ),
        #[cfg(target_has_atomic = "64")]
        metric(
            names::WORKERS_PARKS,
            Kind::Counter,
            "Total number of times that a worker of the runtime had nothing to do and parked.",
            |totals| Number::U64(totals.parks),
        ),
    ]
}

impl RuntimeMetric {
    /// Writes the metric. `labels` returns the text of the labels of a series, from the name
    /// and the value of its own label.
    pub(crate) fn write(
        &self,
        page: &mut dyn Encoder,
        labels: impl Fn(&'static str, &'static str) -> String,
    ) {
        page.family(&Head {
            name: self.name,
            help: self.help,
            kind: self.kind,
        });
        for (runtime, value) in &self.values {
            page.series(&Series {
                labels: &labels("runtime", runtime),
                started: None,
                point: match self.kind {
                    Kind::Counter => Point::counter(*value),
                    _ => Point::Gauge(*value),
                },
            });
        }
    }
}

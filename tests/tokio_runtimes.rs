//! The metrics of tokio runtimes (`tokio_…`) on the page. Each installation is a separate
//! process.

mod exporter_promtool;

use std::future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use instrument_runtime::{Exporter, MetricNames, actix_web as on_actix_web, axum as on_axum};
use instrument_tests::page::{Page, scrape, scrape_as};
use instrument_tests::protobuf::{self, client::MetricType};
use instrument_tests::{alone, wait_for, wait_until};
use tokio::runtime::{Builder, Handle, Runtime};

const ALIVE_TASKS: &str = "tokio_alive_tasks";
const GLOBAL_QUEUE_DEPTH: &str = "tokio_global_queue_depth";
const WORKERS: &str = "tokio_workers";
const BUSY: &str = "tokio_workers_busy_seconds_total";
const PARKS: &str = "tokio_workers_parks_total";
const GAUGES: [&str; 3] = [ALIVE_TASKS, GLOBAL_QUEUE_DEPTH, WORKERS];
const COUNTERS: [&str; 2] = [BUSY, PARKS];

fn builder() -> instrument_runtime::Builder {
    instrument_runtime::builder("tokio").without_listener()
}

fn install() -> Exporter {
    builder().install().expect("installs")
}

fn watch(name: &'static str, runtime: &Runtime) {
    instrument_runtime::tokio::watch(name, runtime.handle());
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(workers).enable_all().build();
    runtime.expect("a runtime")
}

/// Returns the value of a metric of the runtimes with this name.
fn on(page: &Page, metric: &str, runtime: &str) -> f64 {
    page.exactly(metric, &[("app_name", "tokio"), ("runtime", runtime)])
}

fn now(exporter: &Exporter, metric: &str, runtime: &str) -> f64 {
    on(&Page::parse(&exporter.render()), metric, runtime)
}

/// Waits until the workers have nothing to do, so that they have reported their busy time.
fn wait_for_parks(exporter: &Exporter, runtime: &str, workers: usize) {
    let parks = || now(exporter, PARKS, runtime);
    wait_until("workers without work", parks, |parks| {
        *parks >= workers as f64
    });
}

#[test]
fn the_runtime_of_the_installation_is_on_the_page() {
    alone("the_runtime_of_the_installation_is_on_the_page", || {
        let runtime = runtime(3);
        let exporter = runtime.block_on(async {
            let listen = builder().listen(([127, 0, 0, 1], 0));
            listen.install().expect("installs")
        });
        let addr = exporter.local_addr().expect("an address");
        // Enters the runtime, as the rest of an application's `main` would.
        let _inside = runtime.enter();
        let tasks: Vec<_> = (0..7)
            .map(|_| tokio::spawn(future::pending::<()>()))
            .collect();
        let page = scrape(addr).expect("a page");
        assert_eq!(on(&page, WORKERS, "main"), 3.0);
        assert_eq!(on(&page, ALIVE_TASKS, "main"), 7.0);
        for metric in GAUGES.into_iter().chain(COUNTERS) {
            // The exporter's own runtime would be a second series, or one more worker.
            assert_eq!(page.series(metric), 1, "{metric}");
        }
        for task in &tasks[..3] {
            task.abort();
        }
        let alive = || now(&exporter, ALIVE_TASKS, "main");
        wait_until("the end of three tasks", alive, |alive| *alive == 4.0);
        for task in &tasks {
            task.abort();
        }
        wait_until("the end of all tasks", alive, |alive| *alive == 0.0);
    });
}

#[test]
fn the_busy_time_is_the_time_in_which_workers_work() {
    alone("the_busy_time_is_the_time_in_which_workers_work", || {
        const WORKERS: usize = 2;
        let exporter = install();
        let runtime = runtime(WORKERS);
        watch("busy", &runtime);
        let busy = || now(&exporter, BUSY, "busy");
        wait_for_parks(&exporter, "busy", WORKERS);

        // Workers without work are not busy.
        let (before, started) = (busy(), Instant::now());
        let idle = wait_for("some time", || {
            let elapsed = started.elapsed();
            (elapsed > Duration::from_millis(200)).then_some(elapsed)
        });
        let busy_while_idle = busy() - before;
        assert!(
            busy_while_idle < idle.as_secs_f64() / 2.0,
            "{busy_while_idle}"
        );

        // Each task measures how long it works.
        let (before, started) = (busy(), Instant::now());
        let stop = Arc::new(AtomicBool::new(false));
        let on_two_workers = Arc::new(Barrier::new(WORKERS));
        let tasks: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (stop, on_two_workers) = (Arc::clone(&stop), Arc::clone(&on_two_workers));
                runtime.spawn(async move {
                    on_two_workers.wait();
                    let mut worked = Duration::ZERO;
                    while !stop.load(Ordering::Relaxed) {
                        let started = Instant::now();
                        while started.elapsed() < Duration::from_millis(1) {
                            std::hint::spin_loop();
                        }
                        worked += started.elapsed();
                        tokio::task::yield_now().await;
                    }
                    worked
                })
            })
            .collect();
        // The counter increases while the tasks run.
        wait_until("half a second", busy, |busy| busy - before > 0.5);
        stop.store(true, Ordering::Relaxed);
        let worked = tasks.into_iter().map(|task| runtime.block_on(task));
        let worked: Duration = worked.map(|worked| worked.expect("no panic")).sum();

        // The workers report the rest when they park. They were busy for as long as the
        // tasks worked, and not longer than they could have been.
        let nanosecond = 1e-9;
        let least = worked.as_secs_f64() - nanosecond;
        let total = wait_until("the rest", busy, |busy| busy - before >= least);
        let most = (started.elapsed() * WORKERS as u32).as_secs_f64() + nanosecond;
        println!("between {least} and {most}: {}", total - before);
        assert!(total - before <= most, "{before} {total} {most}");
        assert_ne!(total.fract(), 0.0, "whole seconds");
    });
}

#[test]
fn tasks_without_a_worker_are_in_the_queue() {
    alone("tasks_without_a_worker_are_in_the_queue", || {
        let exporter = install();
        let runtime = runtime(1);
        watch("queue", &runtime);
        let depth = || now(&exporter, GLOBAL_QUEUE_DEPTH, "queue");
        let (unblock, blocked) = mpsc::channel::<()>();
        let (block, is_blocked) = mpsc::channel();
        runtime.spawn(async move {
            block.send(()).expect("the test waits");
            let _ = blocked.recv();
        });
        is_blocked.recv().expect("the worker is blocked");
        assert_eq!(depth(), 0.0);
        for tasks in 1..=5 {
            runtime.spawn(async {});
            assert_eq!(depth(), f64::from(tasks));
        }
        assert_eq!(now(&exporter, ALIVE_TASKS, "queue"), 6.0);
        drop(unblock);
        wait_until("an empty queue", depth, |depth| *depth == 0.0);
        let alive = || now(&exporter, ALIVE_TASKS, "queue");
        wait_until("no task", alive, |alive| *alive == 0.0);
    });
}

#[test]
fn runtimes_are_watched_before_and_after_the_installation() {
    alone(
        "runtimes_are_watched_before_and_after_the_installation",
        || {
            let gone = runtime(1);
            let of_gone = gone.handle().clone();
            drop(gone);
            instrument_runtime::tokio::watch("gone", &of_gone);
            let labelled = builder().global_label("runtime", "global");
            let exporter = labelled.global_label("zone", "a").install();
            let exporter = exporter.expect("installs");
            let text = exporter.render();
            assert!(!text.contains("tokio_"), "no runtime yet: {text}");

            let workers = |runtime: &str| {
                let labels = [("app_name", "tokio"), ("zone", "a"), ("runtime", runtime)];
                Page::parse(&exporter.render()).exactly(WORKERS, &labels)
            };
            let first = runtime(1);
            watch("first", &first);
            assert_eq!(workers("first"), 1.0);
            // One name for several runtimes. One runtime has only one name.
            let second = [runtime(3), runtime(2)];
            let single = Builder::new_current_thread().build().expect("a runtime");
            for other in second.iter().chain([&single]) {
                watch("\"second\"", other);
                watch("\"second\"", other);
                watch("first", other);
            }
            assert_eq!(workers("\"second\""), 6.0);
            assert_eq!(workers("first"), 1.0);
            let page = Page::parse(&exporter.render());
            for metric in GAUGES.into_iter().chain(COUNTERS) {
                assert_eq!(page.series(metric), 2, "{metric}");
            }
            drop(second);
            assert_eq!(workers("\"second\""), 1.0);
        },
    );
}

#[test]
fn a_runtime_that_was_watched_keeps_its_name() {
    alone("a_runtime_that_was_watched_keeps_its_name", || {
        let runtime = runtime(2);
        watch("mine", &runtime);
        let exporter = runtime.block_on(async { install() });
        assert_eq!(now(&exporter, WORKERS, "mine"), 2.0);
        let page = Page::parse(&exporter.render());
        assert_eq!(page.series(WORKERS), 1, "not `main` too");
    });
}

#[test]
fn the_counters_of_a_runtime_outlive_it() {
    alone("the_counters_of_a_runtime_outlive_it", || {
        let exporter = install();
        let mut sum = 0.0;
        for _ in 0..2 {
            let runtime = runtime(1);
            watch("job", &runtime);
            assert_eq!(now(&exporter, WORKERS, "job"), 1.0);
            let work = runtime.spawn(async {
                thread::sleep(Duration::from_millis(20));
            });
            runtime.block_on(work).expect("no panic");
            sum += 0.02;
            let busy = || now(&exporter, BUSY, "job");
            wait_until("the busy time", busy, |busy| *busy >= sum);
            drop(runtime);
            let page = Page::parse(&exporter.render());
            for gauge in GAUGES {
                assert_eq!(on(&page, gauge, "job"), 0.0, "{gauge}");
            }
            assert!(on(&page, BUSY, "job") >= sum);
            assert_eq!(busy(), on(&page, BUSY, "job"), "it holds still");
        }
    });
}

#[cfg(target_os = "linux")]
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Asks for pages until `stop` is set, and checks that the counters never decrease. Returns
/// the number of pages.
fn pages_until(stop: &AtomicBool, page: impl Fn() -> Page) -> u32 {
    let mut pages = 0;
    let mut last = [0.0; COUNTERS.len()];
    while !stop.load(Ordering::Relaxed) {
        let page = page();
        let new = COUNTERS.map(|counter| page.sum(counter, &[("runtime", "short")]));
        for ((name, new), last) in COUNTERS.iter().zip(new).zip(&mut last) {
            assert!(new >= *last, "{name} decreased from {last} to {new}");
            *last = new;
        }
        pages += 1;
    }
    pages
}

#[test]
fn runtimes_end_while_pages_are_rendered() {
    alone("runtimes_end_while_pages_are_rendered", || {
        let listen = builder().listen(([127, 0, 0, 1], 0));
        let exporter = listen.install().expect("installs");
        let addr = exporter.local_addr().expect("an address");
        let stop = AtomicBool::new(false);
        #[cfg(target_os = "linux")]
        let before = {
            scrape(addr).expect("a page");
            open_files()
        };
        thread::scope(|scope| {
            let scrapes = || pages_until(&stop, || scrape(addr).expect("a page"));
            let renders = || pages_until(&stop, || Page::parse(&exporter.render()));
            let readers = [scope.spawn(scrapes), scope.spawn(renders)];
            for round in 0..100 {
                let runtime = match round % 2 {
                    0 => runtime(2),
                    _ => {
                        let mut builder = Builder::new_current_thread();
                        builder.enable_all().build().expect("a runtime")
                    }
                };
                watch("short", &runtime);
                for _ in 0..10 {
                    runtime.spawn(future::pending::<()>());
                }
                runtime.block_on(runtime.spawn(async {})).expect("no panic");
                match round % 3 {
                    0 => runtime.shutdown_background(),
                    _ => drop(runtime),
                }
            }
            stop.store(true, Ordering::Relaxed);
            let pages = readers.map(|reader| reader.join().expect("no decrease"));
            println!("{pages:?} pages");
        });
        wait_for("the end of all runtimes", || {
            let page = scrape(addr).expect("a page");
            assert_eq!(page.exactly("instrument_render_panics_total", &[]), 0.0);
            let mut values = GAUGES.iter().map(|gauge| on(&page, gauge, "short"));
            values.all(|value| value == 0.0).then_some(())
        });
        // A handle that was kept would keep the I/O driver of its runtime open.
        #[cfg(target_os = "linux")]
        wait_until("closed files", open_files, |open| *open <= before + 5);
    });
}

#[test]
fn the_names_are_taken() {
    let said = alone("the_names_are_taken", || {
        for name in GAUGES.into_iter().chain(COUNTERS) {
            let names = MetricNames::default().requests_total(name);
            let refused = builder().names(names).install().expect_err("refused");
            assert!(refused.to_string().contains(name), "{refused}");
        }
        let exporter = install();
        metrics::gauge!(ALIVE_TASKS).set(99.0);
        metrics::counter!("tokio.workers").increment(99);
        metrics::counter!("tokio_steals_total").increment(99);
        assert!(!exporter.render().contains(ALIVE_TASKS), "not watched yet");
        let runtime = runtime(1);
        watch("api", &runtime);
        let page = Page::parse(&exporter.render());
        assert_eq!((page.series(ALIVE_TASKS), page.series(WORKERS)), (1, 1));
        assert_eq!(on(&page, ALIVE_TASKS, "api"), 0.0);
        assert_eq!(page.sum("tokio_steals_total", &[]), 99.0, "a free name");
    });
    for name in ["gauge \"tokio_alive_tasks\"", "counter \"tokio.workers\""] {
        assert!(said.iter().all(|said| said.contains(name)), "{said:?}");
    }
}

/// Returns the page of actix-web's handler, which is in the text format.
async fn on_actix_web_page() -> String {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, web};

    let app = init_service(App::new().route("/own", web::get().to(on_actix_web::metrics))).await;
    let response = call_service(&app, TestRequest::with_uri("/own").to_request()).await;
    let page = read_body(response).await;
    String::from_utf8(page.to_vec()).expect("text")
}

async fn on_axum_page() -> String {
    let response = on_axum::metrics(http::HeaderMap::new()).await;
    let page = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    String::from_utf8(page.expect("a body").to_vec()).expect("text")
}

#[test]
fn every_page_and_every_format_has_the_runtimes() {
    alone("every_page_and_every_format_has_the_runtimes", || {
        let listen = builder().listen(([127, 0, 0, 1], 0));
        let exporter = listen.install().expect("installs");
        let addr = exporter.local_addr().expect("an address");
        let runtime = runtime(2);
        watch("api", &runtime);
        let text = exporter.render();
        for name in GAUGES.into_iter().chain(COUNTERS) {
            assert!(text.contains(&format!("# HELP {name} ")), "{text}");
        }
        let remarks = exporter_promtool::remarks(&text);
        assert_eq!(remarks.unwrap_or_default(), "");

        let in_app = actix_web::rt::System::new().block_on(async {
            let pages = (on_axum_page().await, on_actix_web_page().await);
            [pages.0, pages.1]
        });
        let open_metrics = scrape_as(addr, "application/openmetrics-text");
        let open_metrics = String::from_utf8(open_metrics).expect("text");
        for line in [
            "# TYPE tokio_workers gauge",
            "# TYPE tokio_workers_busy_seconds counter",
            "# UNIT tokio_workers_busy_seconds seconds",
            "# TYPE tokio_workers_parks counter",
        ] {
            assert!(
                open_metrics.contains(&format!("{line}\n")),
                "{open_metrics}"
            );
        }
        for text in in_app.into_iter().chain([open_metrics]) {
            assert_eq!(on(&Page::parse(&text), WORKERS, "api"), 2.0, "{text}");
        }

        let families = scrape_as(
            addr,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        );
        let families = protobuf::families(&families);
        assert_eq!(on(&protobuf::samples(&families), WORKERS, "api"), 2.0);
        let kinds = families
            .iter()
            .filter(|family| family.name().starts_with("tokio_"))
            .map(|family| (family.name(), family.r#type(), family.unit()));
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [
                (ALIVE_TASKS, MetricType::Gauge, ""),
                (GLOBAL_QUEUE_DEPTH, MetricType::Gauge, ""),
                (WORKERS, MetricType::Gauge, ""),
                (BUSY, MetricType::Counter, "seconds"),
                (PARKS, MetricType::Counter, ""),
            ]
        );
    });
}

async fn spin() -> &'static str {
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    "spun"
}

#[test]
fn the_workers_of_actix_web_are_added_up() {
    alone("the_workers_of_actix_web_are_added_up", || {
        let exporter = install();
        actix_web::rt::System::new().block_on(async {
            let server = actix_web::HttpServer::new(|| {
                instrument_runtime::tokio::watch("actix", &Handle::current());
                actix_web::App::new().route("/", actix_web::web::get().to(spin))
            });
            let server = server.workers(3).disable_signals();
            let server = server.bind(("127.0.0.1", 0)).expect("binds");
            let addr = server.addrs()[0];
            let server = server.run();
            let handle = server.handle();
            let running = actix_web::rt::spawn(server);
            let asked = tokio::task::spawn_blocking(move || {
                for _ in 0..5 {
                    let response = ureq::get(&format!("http://{addr}/")).call();
                    assert_eq!(response.expect("an answer").status(), 200);
                }
            });
            asked.await.expect("answers");
            let page = Page::parse(&exporter.render());
            assert_eq!(
                page.series(WORKERS),
                1,
                "`install` ran outside of a runtime"
            );
            assert_eq!(on(&page, WORKERS, "actix"), 3.0);
            handle.stop(true).await;
            running.await.expect("no panic").expect("no error");
        });
        let workers = || now(&exporter, WORKERS, "actix");
        wait_until("the end of the workers", workers, |workers| *workers == 0.0);
        // Five requests of 20 ms.
        let busy = now(&exporter, BUSY, "actix");
        assert!(busy >= 0.1, "{busy}");
    });
}

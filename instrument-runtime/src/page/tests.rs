//! Tests the recorder and its page together, through the `metrics` facade.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use metrics::{counter, gauge, histogram};

use super::*;
use crate::names::MetricNames;
use crate::settings::Settings;

fn recorder(max_series: usize) -> Recorder {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Recorder::new(Arc::new(Settings {
        buckets: vec![0.5, 1.0],
        latency_buckets: vec![0.5, 1.0],
        global_labels: vec![label("app_name", "shop"), label("region", "eu")],
        max_series,
        ..Settings::default()
    }))
}

impl Page {
    /// Renders the page without the exporter's own metrics.
    fn bare(&self) -> String {
        let mut page = Vec::new();
        self.write(Dialect::default(), &mut page, |_| {});
        String::from_utf8(page).expect("text")
    }
}

fn lines<'a>(page: &'a str, start: &str) -> Vec<&'a str> {
    page.lines()
        .filter(|line| line.starts_with(start))
        .collect()
}

fn value(line: &str) -> u64 {
    let (_, value) = line.rsplit_once(' ').expect("a value");
    value.parse().expect("a number")
}

#[test]
fn the_page_is_what_the_format_asks_for() {
    let recorder = recorder(10);
    let page = Page::of(&recorder);
    assert_eq!(page.bare(), "");
    metrics::with_local_recorder(&recorder, || {
        gauge!("requests_in_progress", "endpoint" => "/a").increment(1);
        counter!("requests_total", "outcome" => "ok", "endpoint" => "/a").increment(2);
        let latency = histogram!("request_latency_seconds", "endpoint" => "/a");
        latency.record(0.5);
        latency.record(0.75);
        latency.record(7);
        counter!("requests_total").increment(1);
    });
    assert_eq!(
        page.bare(),
        "\
# HELP request_latency_seconds Latency of calls in seconds, from the start of the call to its end.
# TYPE request_latency_seconds histogram
request_latency_seconds_bucket{app_name=\"shop\",region=\"eu\",endpoint=\"/a\",le=\"0.5\"} 1
request_latency_seconds_bucket{app_name=\"shop\",region=\"eu\",endpoint=\"/a\",le=\"1.0\"} 2
request_latency_seconds_bucket{app_name=\"shop\",region=\"eu\",endpoint=\"/a\",le=\"+Inf\"} 3
request_latency_seconds_sum{app_name=\"shop\",region=\"eu\",endpoint=\"/a\"} 8.25
request_latency_seconds_count{app_name=\"shop\",region=\"eu\",endpoint=\"/a\"} 3
# HELP requests_in_progress Number of calls that have started but not ended.
# TYPE requests_in_progress gauge
requests_in_progress{app_name=\"shop\",region=\"eu\",endpoint=\"/a\"} 1
# HELP requests_total Total number of calls that have ended, by outcome.
# TYPE requests_total counter
requests_total{app_name=\"shop\",region=\"eu\"} 1
requests_total{app_name=\"shop\",region=\"eu\",endpoint=\"/a\",outcome=\"ok\"} 2
"
    );
    assert_eq!(page.calls().series(), 4);
}

#[test]
fn without_labels_there_are_no_braces() {
    let recorder = Recorder::new(Arc::new(Settings {
        buckets: vec![1.0],
        latency_buckets: vec![1.0],
        max_series: 1,
        ..Settings::default()
    }));
    metrics::with_local_recorder(&recorder, || {
        counter!("requests_total").increment(1);
        histogram!("request_latency_seconds").record(2);
    });
    let page = Page::of(&recorder).bare();
    for line in [
        "requests_total 1",
        "request_latency_seconds_bucket{le=\"1.0\"} 0",
        "request_latency_seconds_count 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{page}");
    }
}

#[test]
fn the_applications_own_metrics_stand_among_ours() {
    let recorder = recorder(10);
    metrics::with_local_recorder(&recorder, || {
        metrics::describe_counter!("zoo_total", "Animals.");
        counter!("zoo_total", "kind" => "b").increment(1);
        counter!("zoo_total", "kind" => "a").increment(1);
        histogram!("aaa_seconds").record(0.7);
        counter!("requests_total").increment(1);
    });
    let page = Page::of(&recorder);
    let text = page.bare();
    assert_eq!(
        lines(&text, "# "),
        [
            "# TYPE aaa_seconds histogram",
            "# HELP requests_total Total number of calls that have ended, by outcome.",
            "# TYPE requests_total counter",
            "# HELP zoo_total Animals.",
            "# TYPE zoo_total counter",
        ]
    );
    assert_eq!(
        lines(&text, "zoo_total{"),
        [
            "zoo_total{app_name=\"shop\",region=\"eu\",kind=\"a\"} 1",
            "zoo_total{app_name=\"shop\",region=\"eu\",kind=\"b\"} 1",
        ]
    );
    assert_eq!(page.bare(), text);
    assert_eq!(page.calls().series(), 1);
}

#[test]
fn a_name_of_ours_in_another_kind_does_not_break_the_page() {
    let recorder = recorder(10);
    metrics::with_local_recorder(&recorder, || {
        histogram!("request_latency_seconds").record(1);
        counter!("requests_total").increment(1);
        gauge!("requests_total").set(7);
        counter!("request_latency_seconds_count").increment(9);
        gauge!("request.latency.seconds.count").set(9);
        histogram!("instrument_scrape_duration_seconds").record(1);
        // The same name on the page and the same kind, so this is our metric.
        counter!("requests-total").increment(5);
    });
    let page = Page::of(&recorder).bare();
    assert!(!page.contains("instrument"), "{page}");
    assert_eq!(lines(&page, "# TYPE requests_total").len(), 1, "{page}");
    assert_eq!(
        lines(&page, "requests_total"),
        ["requests_total{app_name=\"shop\",region=\"eu\"} 6"]
    );
    assert_eq!(
        lines(&page, "request_latency_seconds_count").len(),
        1,
        "{page}"
    );
}

#[test]
fn a_description_is_the_applications_to_change() {
    let recorder = recorder(10);
    metrics::with_local_recorder(&recorder, || {
        metrics::describe_counter!("requests_total", "A \\ and\na \"line\".");
        metrics::describe_gauge!("requests_total", "Of no metric.");
        counter!("requests_total").increment(1);
    });
    assert_eq!(
        lines(&Page::of(&recorder).bare(), "# HELP"),
        ["# HELP requests_total A \\\\ and\\na \"line\"."]
    );
}

#[test]
fn past_the_bound_nothing_is_lost_and_nothing_grows() {
    let recorder = recorder(3);
    let page = Page::of(&recorder);
    let held = metrics::with_local_recorder(&recorder, || {
        let mut held = Vec::new();
        for number in 0..100 {
            let labels = [
                ("tenant", format!("t{number}")),
                ("overflow", "no".to_owned()),
            ];
            let up = gauge!("requests_in_progress", &labels);
            up.increment(1);
            held.push(up);
            counter!("requests_total", &labels).increment(1);
            histogram!("request_latency_seconds", &labels).record(0.1);
        }
        held
    });
    let text = page.bare();
    assert_eq!(page.calls().series(), 3 * 4);
    let globals = "app_name=\"shop\",region=\"eu\"";
    let overflow = format!("{{{globals},overflow=\"true\"}}");
    for (name, ours) in [
        ("requests_total", 97),
        ("request_latency_seconds_count", 97),
        ("requests_in_progress", 97),
    ] {
        let line = format!("{name}{overflow} {ours}");
        assert!(text.lines().any(|found| found == line), "{line} of {text}");
        let all = lines(&text, &format!("{name}{{"));
        assert_eq!(all.into_iter().map(value).sum::<u64>(), 100);
    }
    for up in held {
        up.decrement(1);
    }
    let text = page.bare();
    let gauges = lines(&text, "requests_in_progress{");
    assert_eq!(gauges.len(), 4);
    assert!(gauges.into_iter().all(|line| value(line) == 0), "{text}");
}

#[test]
fn hostile_values_stay_on_their_line() {
    let recorder = recorder(100);
    let megabyte = "\\\"\n".repeat(350_000);
    let values = [
        "\"} 5\nrequests_total 9",
        "\\",
        "\\\\",
        "\\n",
        "\n",
        "\r\n",
        "\0",
        "\u{202e}\u{2066}",
        ",le=\"1.0\"",
        "# TYPE requests_total counter",
        &megabyte,
    ];
    metrics::with_local_recorder(&recorder, || {
        for value in values {
            counter!("requests_total", "tenant" => value.to_owned()).increment(1);
            histogram!("request_latency_seconds", "tenant" => value.to_owned()).record(1);
        }
    });
    let page = Page::of(&recorder).bare();
    assert!(page.len() < 40_000, "{} bytes", page.len());
    // Not `lines`, which would strip a carriage return.
    let samples = page
        .split('\n')
        .filter(|line| line.starts_with("requests_total{"));
    let mut seen = std::collections::HashSet::new();
    for line in samples {
        assert!(line.ends_with("\"} 1"), "{line}");
        assert!(seen.insert(line), "{line}");
    }
    assert_eq!(seen.len(), values.len());
    assert_eq!(page.split('\n').count(), 4 + values.len() * 6 + 1);
}

#[test]
fn the_order_does_not_depend_on_who_came_first() {
    let pages = [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]].map(|order| {
        let recorder = recorder(100);
        metrics::with_local_recorder(&recorder, || {
            for number in order {
                let tenant = number.to_string();
                counter!("requests_total", "tenant" => tenant.clone()).increment(1);
                counter!("other_total", "tenant" => tenant.clone()).increment(1);
                histogram!("other_seconds", "tenant" => tenant).record(1);
            }
        });
        Page::of(&recorder).bare()
    });
    assert_eq!(pages[0], pages[1]);
}

#[test]
fn a_page_made_beside_callers_adds_up() {
    const CALLS: u64 = 5_000;
    let recorder = recorder(4);
    let page = Page::of(&recorder);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut before: HashMap<String, u64> = HashMap::new();
            let mut last = false;
            while !last {
                last = done.load(Ordering::Acquire);
                let text = page.bare();
                let mut below = 0;
                for line in lines(&text, "request_latency_seconds_") {
                    let (series, count) = line.rsplit_once(' ').expect("a value");
                    if series.starts_with("request_latency_seconds_sum") {
                        continue;
                    }
                    let count = count.parse().expect("a count");
                    let before = before.insert(series.to_owned(), count);
                    assert!(before.is_none_or(|before| before <= count), "{line}");
                    if series.contains("le=\"0.5\"") {
                        below = 0;
                    }
                    assert!(below <= count, "not cumulative: {line}");
                    if series.contains("_count{") {
                        assert_eq!(below, count, "+Inf is not the count: {line}");
                    }
                    below = count;
                }
            }
        });
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let recorder = &recorder;
                scope.spawn(move || {
                    metrics::with_local_recorder(recorder, || {
                        for call in 0..CALLS {
                            let labels = [("tenant", ((caller + call) % 8).to_string())];
                            let up = gauge!("requests_in_progress", &labels);
                            up.increment(1);
                            counter!("requests_total", &labels).increment(1);
                            histogram!("request_latency_seconds", &labels)
                                .record((call % 3) as f64 * 0.6);
                            up.decrement(1);
                        }
                    });
                })
            })
            .collect();
        for caller in callers {
            caller.join().expect("no panic");
        }
        done.store(true, Ordering::Release);
        scraper.join().expect("no panic");
    });
    let text = page.bare();
    let sum = |start: &str| -> u64 { lines(&text, start).into_iter().map(value).sum() };
    assert_eq!(sum("requests_total{"), 4 * CALLS);
    assert_eq!(sum("request_latency_seconds_count{"), 4 * CALLS);
    assert_eq!(sum("requests_in_progress{"), 0);
    assert_eq!(page.calls().series(), 3 * 5);
}

#[test]
fn samples_of_a_histogram_do_not_meet_a_metric_of_ours() {
    let recorder = Recorder::new(Arc::new(Settings {
        names: MetricNames::default().requests_total("shop_count"),
        buckets: vec![1.0],
        latency_buckets: vec![1.0],
        max_series: 10,
        ..Settings::default()
    }));
    metrics::with_local_recorder(&recorder, || {
        counter!("shop_count").increment(1);
        histogram!("shop").record(1);
        gauge!("shop").set(1);
    });
    let page = Page::of(&recorder).bare();
    assert_eq!(lines(&page, "shop"), ["shop 1", "shop_count 1"]);
}

#[test]
fn the_application_cannot_set_the_age_of_the_oldest_call() {
    let name = "requests_oldest_in_progress_seconds";
    let page_of = |age: Option<fn(u64) -> u64>| {
        let recorder = Recorder::new(Arc::new(Settings {
            oldest_in_progress: age,
            ..Settings::default()
        }));
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_gauge!(name, "of the application");
            gauge!(name).set(7);
            if age.is_some() {
                gauge!("requests.oldest_in_progress-seconds").set(8);
                counter!(name).increment(9);
                histogram!(name).record(1);
            }
        });
        Page::of(&recorder).bare()
    };
    let lines_of = |page: &str| -> Vec<String> {
        let lines = page.lines().filter(|line| line.contains(name));
        lines.map(str::to_owned).collect()
    };
    let with = lines_of(&page_of(Some(|_| 0)));
    assert_eq!(with, Vec::<String>::new(), "{with:#?}");
    // Turned off, the name is free.
    let without = lines_of(&page_of(None));
    assert!(
        without.iter().any(|line| line.ends_with(" 7")),
        "{without:#?}"
    );
}

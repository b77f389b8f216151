//! What can go wrong: a restart, an application that does not answer, and hostile labels.

use serde_json::json;

use crate::{
    A, B, Metrics, assert_quiet, lines, number, open, row_names, tile, view, wait_for_next_page,
    warnings_of,
};

/// Counters that fall begin at zero again, as for `rate` in Prometheus.
#[test]
fn a_restart_is_not_a_fall() {
    let run = |a: u32, start: f64| {
        Metrics::default()
            .calls(A, "200", "ok", a)
            .latency(A, &[("0.1", a), ("+Inf", a)])
            .with("process_start_time_seconds", "", start)
    };
    let Some((browser, application)) = view(&run(1_000, 1.0).calls(B, "200", "ok", 4).0) else {
        return;
    };
    let sum = "rows.values().next().value.calls.sum";
    application.set(run(1_010, 1.0).calls(B, "200", "ok", 4).0);
    browser.wait_for(&format!("{sum} === 10"));
    assert_eq!(warnings_of(&browser), Vec::<String>::new());

    // The next process has counted 7 calls, and has not seen `/b`.
    application.set(run(7, 2.0).0);
    browser.wait_for(&format!("{sum} === 17"));
    assert_eq!(number(&browser, "GET /a", "Total"), "7");
    assert_eq!(row_names(&browser), ["GET /a"]);
    assert_eq!(
        warnings_of(&browser),
        ["warn: The application has restarted."]
    );
    let least = browser.run("return Math.min(...rows.values().next().value.rates)");
    assert!(least.as_f64() >= Some(0.0), "{least}");
    // The buckets are those of the new process.
    let lately = browser.run("return rows.values().next().value.buckets.map(bucket => bucket.sum)");
    assert_eq!(lately.to_string(), "[7,7]");

    // A process that has already counted more than the last one is found by its start.
    application.set(run(20, 3.0).calls(B, "200", "ok", 1).0);
    browser.wait_for(&format!("{sum} === 37"));
    assert_eq!(number(&browser, "POST /b", "Total"), "1");
    assert_quiet(&browser);
}

#[test]
fn an_application_that_stops_is_seen_and_comes_back() {
    let page = Metrics::default().calls(A, "200", "ok", 5);
    let Some((browser, mut application)) = view(&page.0) else {
        return;
    };
    assert_eq!(browser.text("#state"), "Live");
    application.stop();
    browser.wait_for("document.body.className === 'stale'");
    assert!(
        browser.text("#state").starts_with("No answer since "),
        "{}",
        browser.text("#state")
    );
    // The numbers are faint, but the text still has a contrast of 4.5 to 1.
    let opacity = browser.run("return getComputedStyle(document.querySelector('main')).opacity");
    assert_eq!(opacity, "0.6");
    // The last numbers stay.
    assert_eq!(number(&browser, "GET /a", "Total"), "5");

    application.set(page.calls(B, "200", "ok", 1).0);
    application.restart();
    browser.wait_for("document.body.className === ''");
    assert_eq!(browser.text("#state"), "Live");
    wait_for_next_page(&browser);
    assert_eq!(number(&browser, "POST /b", "Total"), "1");

    application.set_status(403);
    browser.wait_for("document.body.className === 'stale'");
    let state = browser.text("#state");
    assert!(state.starts_with("/metrics answered 403 since "), "{state}");
    application.set_status(200);
    browser.wait_for("document.body.className === ''");

    // The login page of a proxy, for example.
    application.set_media_type("text/html");
    browser.wait_for("document.body.className === 'stale'");
    let state = browser.text("#state");
    assert!(
        state.starts_with("/metrics answered text/html since "),
        "{state}"
    );
    application.set_media_type("text/plain");
    browser.wait_for("document.body.className === ''");
    // The browser itself reports what could not be loaded, and nothing else was reported.
    for entry in browser.console() {
        assert!(entry.contains("Failed to load resource"), "{entry}");
    }
}

/// The next version of the application may have other buckets.
#[test]
fn a_restart_may_change_the_buckets() {
    let run = |count: u32, buckets: &[(&str, u32)]| {
        let page = Metrics::default().calls(A, "200", "ok", count);
        page.latency(A, buckets).0
    };
    let Some((browser, application)) = view(&run(5, &[("0.1", 5), ("+Inf", 5)])) else {
        return;
    };
    application.set(run(1_000, &[("0.1", 500), ("+Inf", 1_000)]));
    wait_for_next_page(&browser);
    open(&browser, "GET /a");
    application.set(run(10, &[("0.05", 5), ("0.25", 10), ("+Inf", 10)]));
    wait_for_next_page(&browser);
    assert_eq!(number(&browser, "GET /a", "p50"), "50.0 ms");
    assert_eq!(number(&browser, "GET /a", "p99"), "246 ms");
    assert_eq!(
        lines(&browser, "GET /a", "Latency")
            .iter()
            .map(|line| [&*line[0], &*line[2], &*line[3]])
            .collect::<Vec<_>>(),
        [["≤ 50 ms", "5", "5"], ["≤ 250 ms", "5", "5"]]
    );
    assert_quiet(&browser);
}

/// Counters that are the same after a restart do not show it, but the exporter's own does.
#[test]
fn a_restart_of_an_idle_application_is_seen() {
    let run = |scrapes: f64| {
        let page = Metrics::default().calls(A, "200", "ok", 0);
        page.with("instrument_scrapes_total", "", scrapes).0
    };
    let Some((browser, application)) = view(&run(50.0)) else {
        return;
    };
    let _ = browser.run("settings.started = 0");
    application.set(run(51.0));
    wait_for_next_page(&browser);
    assert!(tile(&browser, "Up").ends_with(" d"));
    assert_eq!(warnings_of(&browser), Vec::<String>::new());
    application.set(run(1.0));
    wait_for_next_page(&browser);
    assert!(tile(&browser, "Up").ends_with(" s"));
    assert_eq!(
        warnings_of(&browser),
        ["warn: The application has restarted."]
    );
    assert_quiet(&browser);
}

/// The settings in the view are those of the application that served it.
#[test]
fn another_application_on_the_port_has_its_own_view() {
    let Some((browser, application)) = view(&Metrics::default().calls(A, "200", "ok", 5).0) else {
        return;
    };
    let _ = browser.run("window.first = true");
    let other =
        |count| format!("requests_total{{app_name=\"other\",{A},outcome=\"ok\"}} {count}\n");
    application.set(format!("{}instrument_scrapes_total 9\n", other(7)));
    wait_for_next_page(&browser);
    application.set(format!("{}instrument_scrapes_total 1\n", other(1)));
    browser.wait_for("!window.first && page >= 2");
    // It is loaded once.
    let _ = browser.run("window.second = true");
    wait_for_next_page(&browser);
    assert_eq!(browser.run("return window.second"), true);
    assert_quiet(&browser);
}

/// A password in the URL, for a proxy that asks for one.
#[test]
fn a_url_with_a_password_works() {
    let Some((browser, application)) = view(&Metrics::default().calls(A, "200", "ok", 5).0) else {
        return;
    };
    let url = application
        .url()
        .replace("http://", "http://user:password@");
    browser.open(&format!("{url}?from=bookmark#top"));
    wait_for_next_page(&browser);
    assert_eq!(browser.text("#state"), "Live");
    assert_eq!(number(&browser, "GET /a", "Total"), "5");
    assert_quiet(&browser);
}

/// A view that does not work, for example in an old browser, does not look like one that does.
#[test]
fn a_view_that_fails_says_so() {
    let page = Metrics::default().calls(A, "200", "ok", 5);
    let Some((browser, application)) = view(&page.0) else {
        return;
    };
    let _ = browser.run("window.groupBy = Object.groupBy; Object.groupBy = undefined");
    let _ = browser.run("try { rows.values().next().value.opener.onclick() } catch {}");
    application.set(page.calls(A, "500", "error", 1).0);
    browser.wait_for("document.body.className === 'stale'");
    let state = browser.text("#state");
    assert!(
        state.starts_with(
            "This view has failed: TypeError: Object.groupBy is not a function since "
        ),
        "{state}"
    );
    let _ = browser.run("Object.groupBy = window.groupBy");
    browser.wait_for("document.body.className === ''");
    assert_eq!(number(&browser, "GET /a", "Total"), "6");
    assert_quiet(&browser);
}

/// Without the script, or with one that an old browser does not understand.
#[test]
fn the_page_says_what_it_needs() {
    let Some((browser, application)) = view("\n") else {
        return;
    };
    assert_eq!(browser.text("#empty"), "No calls yet.");
    browser.devtools(
        "Emulation.setScriptExecutionDisabled",
        json!({ "value": true }),
    );
    browser.open(&application.url());
    browser.devtools(
        "Emulation.setScriptExecutionDisabled",
        json!({ "value": false }),
    );
    assert_eq!(
        browser.text("#empty"),
        "Needs JavaScript and a browser of 2024 or later."
    );
    let is_shown = browser.run("return document.getElementById('empty').checkVisibility()");
    assert_eq!(is_shown, true);
}

/// While a computer sleeps, the clock of the browser may rest. What happened meanwhile did not
/// happen in the last minute.
#[test]
fn a_sleep_is_not_a_peak() {
    let page = |count| Metrics::default().calls(A, "200", "ok", count).0;
    let Some((browser, application)) = view(&page(5)) else {
        return;
    };
    wait_for_next_page(&browser);
    browser.click("#pause");
    browser.wait_for("!isAsking");
    application.set(page(3_600_005));
    let _ = browser.run(
        "const real = Date.parse; Date.parse = text => real(text) + 3_600_000;
         window.last = page",
    );
    browser.click("#pause");
    browser.wait_for("page >= last + 2");
    assert_eq!(number(&browser, "GET /a", "Req/s"), "0");
    assert_eq!(number(&browser, "GET /a", "Total"), "3,600,005");
    let peak = browser.run("return Math.max(...rows.values().next().value.rates)");
    let peak = peak.as_f64().expect("a rate");
    assert!((900.0..=1_000.0).contains(&peak), "{peak} a second");
    assert_quiet(&browser);
}

/// Labels are text, whatever they say.
#[test]
fn labels_do_not_run() {
    let hostile = [
        r#"<img src=x onerror="window.hit=1">"#,
        "</script><script>window.hit=2</script>",
        "\" onclick=\"window.hit=3",
        "back\\slash \\n not a newline",
        "two\nlines # HELP {x=\"y\"} 7",
        "javascript:window.hit=4",
        "&lt;b&gt; &amp; ${window.hit=5} `",
        "__proto__",
        "🦀 \u{202e}right to left",
    ];
    let escaped = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        text.replace('\n', "\\n")
    };
    let mut page =
        Metrics::default()
            .with("constructor", "a=\"1\"", 1.0)
            .with("__proto__", "", 2.0);
    for (number, text) in (1_u32..).zip(hostile) {
        let text = escaped(text);
        let labels = format!("method=\"{text}\",endpoint=\"{text}\",own=\"{text}\"");
        page = page
            .calls(&labels, "200", "ok", number)
            .latency(&labels, &[("0.1", number), ("+Inf", number)]);
    }
    page = page.with(
        "target_info",
        &format!("service_version=\"{}\"", escaped(hostile[0])),
        1.0,
    );
    let Some((browser, _application)) = view(&page.0) else {
        return;
    };
    wait_for_next_page(&browser);
    assert_eq!(browser.text("#version"), hostile[0]);
    for (number_, text) in (1..).zip(hostile) {
        let row = format!("{text} {text}");
        // `number` reads the text as it is rendered; the names are compared as they are.
        assert_eq!(
            number(&browser, &row, "Total"),
            number_.to_string(),
            "{text}"
        );
        open(&browser, &row);
        let shown = browser.run(&format!(
            "const row = [...rows.values()].find(row => row.name === {row:?});
             const own = [...row.parts.children].find(part => part.caption.textContent === 'Label own');
             row.body.querySelector('.row .number').click();
             return [row.opener.textContent, own.tBodies[0].rows[0].cells[0].textContent, document.getElementById('text').textContent]",
        ));
        assert_eq!([&shown[0], &shown[1]], [text, text]);
        let query = shown[2].as_str().expect("a query");
        assert!(
            query.contains(&format!("endpoint=\"{}\"", escaped(text))),
            "{query}"
        );
    }
    assert_eq!(
        browser
            .run("return [window.hit, document.images.length, document.scripts.length]")
            .to_string(),
        "[null,0,1]"
    );
    assert_eq!(tile(&browser, "Series"), hostile.len().to_string());
    assert_quiet(&browser);

    // The policy stops the ways that the script does not use.
    let blocked = browser.run(
        "try { document.getElementById('app').innerHTML = '<b>'; return 'was possible' } catch (error) { return error.name }",
    );
    assert_eq!(blocked, "TypeError");
    assert!(
        browser
            .console()
            .iter()
            .any(|entry| entry.contains("TrustedHTML"))
    );
}

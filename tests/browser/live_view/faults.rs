//! What can go wrong: a restart, an application that does not answer, and hostile labels.

use crate::{
    A, B, Metrics, assert_quiet, number, open, row_names, tile, view, wait_for_next_page,
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
    let lately = browser.run("return rows.values().next().value.buckets.map(bucket => bucket.sum)");
    assert_eq!(lately.to_string(), "[17,17]");

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
    let opacity = browser.run("return getComputedStyle(document.querySelector('main')).opacity");
    assert_ne!(opacity, "1");
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
    assert!(state.starts_with("metrics answered 403 since "), "{state}");
    application.set_status(200);
    browser.wait_for("document.body.className === ''");
    // The browser itself reports what could not be loaded, and nothing else was reported.
    for entry in browser.console() {
        assert!(entry.contains("Failed to load resource"), "{entry}");
    }
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

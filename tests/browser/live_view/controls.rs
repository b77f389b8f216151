//! Sorting, filtering, the keyboard, the queries, and when the view asks for metrics.

use instrument_browser::Browser;
use serde_json::json;

use crate::{A, B, Metrics, PROMETHEUS, assert_quiet, number, row_names, view, wait_for_next_page};

/// The keys of WebDriver.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const LEFT: &str = "\u{e012}";
const UP: &str = "\u{e013}";
const RIGHT: &str = "\u{e014}";
const DOWN: &str = "\u{e015}";

const C: &str = "method=\"GET\",endpoint=\"/c\"";

fn three_rows() -> Metrics {
    Metrics::default()
        .calls(A, "200", "ok", 20)
        .calls(B, "200", "ok", 300)
        .calls(C, "500", "error", 1)
}

/// Returns the text of the element that has the focus.
fn focused(browser: &Browser) -> String {
    let text = browser.run("return document.activeElement.innerText || document.activeElement.id");
    crate::plain(&text)
}

fn sorted(browser: &Browser) -> serde_json::Value {
    browser.run(
        "return [...document.querySelectorAll('[aria-sort]')].map(head => [head.innerText, head.getAttribute('aria-sort')])",
    )
}

#[test]
fn the_table_sorts_and_filters() {
    let Some((browser, _application)) = view(&three_rows().0) else {
        return;
    };
    assert_eq!(sorted(&browser), json!([["Req/s", "descending"]]));
    for (column, order, expected) in [
        ("Total", "descending", ["POST /b", "GET /a", "GET /c"]),
        ("Total", "ascending", ["GET /c", "GET /a", "POST /b"]),
        ("Endpoint", "ascending", ["GET /a", "POST /b", "GET /c"]),
        ("Endpoint", "descending", ["GET /c", "POST /b", "GET /a"]),
        ("Method", "ascending", ["GET /a", "GET /c", "POST /b"]),
    ] {
        let _ = browser.run(&format!(
            "[...document.querySelectorAll('#calls > thead button')].find(button => button.textContent === {column:?}).click()"
        ));
        assert_eq!(row_names(&browser), expected, "{column} {order}");
        assert_eq!(sorted(&browser), json!([[column, order]]));
    }
    browser.click("#filter");
    browser.press("get c");
    assert_eq!(row_names(&browser), ["GET /c"]);
    assert_eq!(browser.text("#count"), "1 of 3 endpoints");
    browser.press("x");
    assert_eq!(browser.text("#empty"), "No match.");
    // The filter and the order stay when the next page comes.
    wait_for_next_page(&browser);
    assert_eq!(row_names(&browser), Vec::<String>::new());
    browser.press(ESCAPE);
    assert_eq!(row_names(&browser), ["GET /a", "GET /c", "POST /b"]);
    assert_quiet(&browser);
}

/// While somebody reads a row, it stays where it is, although the order has changed.
#[test]
fn a_row_with_the_focus_stays() {
    let page = |a: u32, b: u32| {
        Metrics::default()
            .calls(A, "200", "ok", a)
            .calls(B, "200", "ok", b)
    };
    let Some((browser, application)) = view(&page(0, 0).0) else {
        return;
    };
    application.set(page(100, 50).0);
    wait_for_next_page(&browser);
    assert_eq!(row_names(&browser), ["GET /a", "POST /b"]);
    let _ = browser.run("document.querySelector('.open').focus()");
    application.set(page(100, 5_000).0);
    wait_for_next_page(&browser);
    assert_eq!(number(&browser, "POST /b", "Total"), "5,000");
    assert_eq!(row_names(&browser), ["GET /a", "POST /b"]);
    assert!(focused(&browser).ends_with("/a"), "{}", focused(&browser));
    let _ = browser.run("document.activeElement.blur()");
    wait_for_next_page(&browser);
    assert_eq!(row_names(&browser), ["POST /b", "GET /a"]);

    // A query stands beside its number, so the row stays as well.
    let _ = browser.run("document.querySelector('.row .number').click()");
    application.set(page(20_000, 5_000).0);
    wait_for_next_page(&browser);
    assert_eq!(number(&browser, "GET /a", "Total"), "20,000");
    assert_eq!(row_names(&browser), ["POST /b", "GET /a"]);
    browser.press(ESCAPE);
    wait_for_next_page(&browser);
    let _ = browser.run("document.activeElement.blur()");
    wait_for_next_page(&browser);
    assert_eq!(row_names(&browser), ["GET /a", "POST /b"]);
    assert_quiet(&browser);
}

#[test]
fn everything_is_reached_with_the_keyboard() {
    let Some((browser, _application)) = view(&three_rows().0) else {
        return;
    };
    wait_for_next_page(&browser);
    // From the top: the button, the strip as one stop, the filter, the heads, the rows.
    let mut stops = Vec::new();
    for _ in 0..18 {
        browser.press(TAB);
        let stop = browser.run("return document.activeElement.closest('#calls tbody, #calls thead, #tiles')?.tagName ?? document.activeElement.id");
        stops.push(crate::plain(&stop));
    }
    stops.dedup();
    assert_eq!(stops, ["pause", "DL", "filter", "THEAD", "TBODY"]);

    // The order is that of the keyboard's row: all rates are zero, so names decide.
    assert_eq!(row_names(&browser), ["GET /a", "GET /c", "POST /b"]);
    let _ = browser.run("document.querySelector('.open').focus()");
    for (key, expected) in [
        (RIGHT, "0"),
        (RIGHT, "–"),
        (LEFT, "0"),
        (LEFT, "▸\u{a0}/a"),
        (DOWN, "▸\u{a0}/c"),
        (DOWN, "▸\u{a0}/b"),
        (UP, "▸\u{a0}/c"),
    ] {
        browser.press(key);
        assert!(
            expected.ends_with(&focused(&browser)),
            "{expected}: {}",
            focused(&browser)
        );
    }
    // Opens the row, with the keyboard only.
    browser.press(ENTER);
    let expanded = browser.run("return document.activeElement.ariaExpanded");
    assert_eq!(expanded, "true");
    assert_eq!(
        browser.run("return document.querySelectorAll('.parts').length"),
        1
    );
    browser.press(DOWN);
    let inside = browser.run("return document.activeElement.closest('.parts') !== null");
    assert_eq!(inside, true, "the arrows lead into the opened row");
    browser.press(UP);
    browser.press(ENTER);
    assert_eq!(
        browser.run("return document.querySelectorAll('.parts').length"),
        0
    );
    // The focus survives the next pages.
    wait_for_next_page(&browser);
    assert!(focused(&browser).ends_with("/c"), "{}", focused(&browser));

    // The query of a number: Enter shows it, Escape leads back.
    browser.press(RIGHT);
    browser.press(ENTER);
    assert_eq!(focused(&browser), "Copy");
    assert_eq!(browser.text("#of"), "Req/s, GET /c");
    browser.press(ESCAPE);
    assert_eq!(
        browser.run("return document.getElementById('query').matches(':popover-open')"),
        false
    );
    assert_eq!(
        browser.run("return document.activeElement.className"),
        "number soft"
    );
    // Together with Alt, an arrow leads through the history of the browser.
    let is_taken = browser.run(
        "const number = document.activeElement;
         const event = new KeyboardEvent('keydown', { key: 'ArrowLeft', altKey: true, bubbles: true, cancelable: true });
         return !number.dispatchEvent(event) || document.activeElement !== number",
    );
    assert_eq!(is_taken, false);
    // The last line of the strip leads into the table, and nothing is lost at the ends.
    let _ = browser.run("document.querySelector('#tiles button').focus()");
    browser.press(LEFT);
    browser.press(UP);
    assert_eq!(
        browser.run("return document.activeElement.closest('dl')?.id"),
        "tiles"
    );
    assert_quiet(&browser);
}

#[test]
fn screen_readers_are_told_what_things_are() {
    let Some((browser, _application)) = view(&three_rows().0) else {
        return;
    };
    let missing = browser.run(
        "const missing = [];
         const check = (holds, what) => holds || missing.push(what);
         check(document.documentElement.lang === 'en', 'lang');
         check(document.querySelectorAll('h1').length === 1, 'one h1');
         check(document.querySelector('main'), 'main');
         check(table.ariaLabel, 'the name of the table');
         check(document.getElementById(table.getAttribute('aria-describedby')), 'the description of the table');
         for (const head of table.tHead.rows[0].cells) check(head.scope === 'col' && head.querySelector('button'), 'the head ' + head.innerText);
         for (const body of table.tBodies) {
           const [line] = body.rows;
           check(line.cells.length === table.tHead.rows[0].cells.length, 'the cells of a row');
           check(line.querySelectorAll('th[scope=row]').length === 1, 'the head of a row');
           check(line.querySelector('.open').ariaExpanded === 'false', 'aria-expanded');
           check(line.querySelector('svg[role=img]').ariaLabel, 'the name of a sparkline');
         }
         for (const field of document.querySelectorAll('input')) check(field.ariaLabel, 'the name of a field');
         for (const button of document.querySelectorAll('.number')) {
           check(button.ariaHasPopup === 'dialog', 'aria-haspopup');
           // The arrow keys lead past the heads, so a number also says what it is.
           check(button.of && button.ariaLabel === `${button.of}: ${button.textContent}`, 'the name of a number');
         }
         for (const button of document.querySelectorAll('button:not([hidden])')) check(button.textContent, 'the name of a button');
         check(document.getElementById('state').role === 'status', 'the state');
         check(document.getElementById('pause').ariaPressed === 'false', 'aria-pressed');
         const query = document.getElementById('query');
         check(query.role === 'dialog' && document.getElementById(query.getAttribute('aria-labelledby')), 'the name of the dialog');
         check(new Set([...document.querySelectorAll('[id]')].map(({ id }) => id)).size === document.querySelectorAll('[id]').length, 'ids are unique');
         return missing",
    );
    assert_eq!(missing, json!([]));
    crate::open(&browser, "GET /a");
    let heads = browser.run("return [...document.querySelectorAll('.parts th')].map(head => head.scope).filter(scope => !['row', 'col'].includes(scope))");
    assert_eq!(heads, json!([]));
    assert_quiet(&browser);
}

#[test]
fn each_number_shows_its_query() {
    let Some((browser, _application)) = view(&three_rows().0) else {
        return;
    };
    browser.click("#calls tbody .row .number");
    let query = r#"sum(rate(requests_total{app_name="live",method="GET",endpoint="/a"}[1m]))"#;
    assert_eq!(browser.text("#text"), query);
    let link = browser.run(
        "const link = document.getElementById('link'); return [link.hidden, link.href, link.target]",
    );
    let encoded = "sum(rate(requests_total%7Bapp_name%3D%22live%22%2Cmethod%3D%22GET%22%2Cendpoint%3D%22%2Fa%22%7D%5B1m%5D))";
    assert_eq!(link[0], false);
    assert_eq!(
        link[1],
        format!("{PROMETHEUS}/graph?g0.expr={encoded}&g0.tab=0")
    );
    assert_eq!(link[2], "_blank");

    browser.click("#copy");
    assert_eq!(browser.text("#copied"), "Copied");
    let hint = browser.text("#query p");
    assert!(hint.contains("without app_name"), "{hint}");
    // Pastes into the filter.
    let _ = browser.run("document.getElementById('query').hidePopover()");
    browser.click("#filter");
    browser.press("\u{e009}v\u{e000}");
    let pasted = browser.run("return document.getElementById('filter').value");
    assert_eq!(pasted, query);

    // A browser may refuse.
    browser.click("#tiles .number");
    let _ = browser.run("document.execCommand = () => false");
    browser.click("#copy");
    assert_eq!(browser.text("#copied"), "Not copied");
    assert_quiet(&browser);
}

/// The process pays only while somebody looks.
#[test]
fn nobody_asks_while_nobody_looks() {
    let Some((browser, application)) = view(&three_rows().0) else {
        return;
    };
    let asked = |more: usize| {
        let before = application.requests().len();
        instrument_tests::wait_for("more requests", || {
            (application.requests().len() >= before + more).then_some(())
        });
    };
    asked(2);
    let first = &application.requests()[0];
    assert!(first.contains_key("instrument-live-view"), "{first:?}");

    let hide = |hidden: bool| {
        let _ = browser.run(&format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    // Waits for three ticks of the view's own clock.
    let three_ticks = || {
        let _ = browser
            .run("window.ticks = 0; window.ticking ??= setInterval(() => window.ticks++, POLL)");
        browser.wait_for("!isAsking");
        let before = application.requests().len();
        browser.wait_for("window.ticks >= 3");
        application.requests().len() - before
    };
    hide(true);
    assert_eq!(three_ticks(), 0, "hidden");
    hide(false);
    asked(2);

    browser.click("#pause");
    assert_eq!(browser.text("#state"), "Paused");
    assert_eq!(
        browser.run("return document.getElementById('pause').ariaPressed"),
        "true"
    );
    assert_eq!(three_ticks(), 0, "paused");
    browser.click("#pause");
    assert_eq!(browser.text("#state"), "Live");
    asked(2);
    assert_quiet(&browser);
}

/// A gauge that fell to zero, or an objective on a function that is not called, is no row.
#[test]
fn a_row_has_calls() {
    let gauge = |labels: &str, value| {
        let labels = format!("app_name=\"live\",{labels}");
        Metrics::default()
            .with("requests_in_progress", &labels, value)
            .0
    };
    let objective = "app_name=\"live\",endpoint=\"buy\",slo=\"x\",sli=\"success\"";
    let page = Metrics::default().calls(A, "200", "ok", 0).with(
        "request_objective_ratio",
        objective,
        0.99,
    );
    let page = page.0 + &gauge("method=\"POST\",endpoint=\"unmatched\"", 0.0);
    let Some((browser, application)) = view(&(page.clone() + &gauge(B, 1.0))) else {
        return;
    };
    // The first calls of an endpoint are in flight.
    assert_eq!(row_names(&browser), ["GET /a", "POST /b"]);
    application.set(page + &gauge(B, 0.0));
    wait_for_next_page(&browser);
    assert_eq!(row_names(&browser), ["GET /a"]);
    assert_eq!(browser.text("#count"), "1 of 1 endpoints");
    assert_quiet(&browser);
}

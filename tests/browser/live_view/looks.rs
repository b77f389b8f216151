//! Light and dark, and the width of a telephone.

use serde_json::json;

use crate::{A, B, Metrics, assert_quiet, open, view};

fn page() -> Metrics {
    let long = "method=\"DELETE\",endpoint=\"/organizations/{organization}/projects/{project}/a_very_long_name_without_any_break_in_it\"";
    Metrics::default()
        .calls(A, "200", "ok", 1_234_567_890)
        .calls(A, "500", "panicked", 3)
        .calls(A, "499", "cancelled", 3)
        .latency(
            A,
            &[
                ("0.1", 1_000_000_000),
                ("0.25", 1_234_567_890),
                ("+Inf", 1_234_567_893),
            ],
        )
        .calls(B, "200", "ok", 1)
        .calls(
            &format!("{long},tenant=\"{}\"", "long".repeat(40)),
            "200",
            "ok",
            1,
        )
        .with(
            "request_objective_ratio",
            &format!("{A},slo=\"a_long_name_of_an_objective\",sli=\"latency\",le=\"0.1\""),
            0.999,
        )
        .with("process_resident_memory_bytes", "", 48e6)
        .with("tokio_a_metric_with_a_rather_long_name", "", 48e6)
}

#[test]
fn a_telephone_shows_all_without_scrolling_sideways() {
    let Some((browser, _application)) = view(&page().0) else {
        return;
    };
    browser.resize(360, 740);
    let width = "return [document.documentElement.scrollWidth, innerWidth]";
    assert_eq!(browser.run(width), json!([360, 360]));
    for row in [
        "GET /a",
        "POST /b",
        "DELETE /organizations/{organization}/projects/{project}/a_very_long_name_without_any_break_in_it",
    ] {
        open(&browser, row);
    }
    assert_eq!(browser.run(width), json!([360, 360]), "with open rows");
    browser.click("#calls tbody .row .number");
    assert_eq!(browser.run(width), json!([360, 360]), "with a query");
    // The query lies within the window.
    let inside = browser.run(
        "const box = document.getElementById('query').getBoundingClientRect();
         return box.left >= 0 && box.right <= innerWidth && box.top >= 0",
    );
    assert_eq!(inside, true);
    // What the table leaves out is in the opened row.
    let shown = "return [...document.querySelectorAll('#calls > thead th')].filter(head => head.checkVisibility()).map(head => head.innerText)";
    assert_eq!(
        browser.run(shown),
        json!(["Method", "Endpoint", "Req/s", "Errors", "p95"])
    );
    let more = browser.run("return [...document.querySelector('.narrow').tBodies[0].rows].map(line => line.cells[0].innerText)");
    assert_eq!(
        more,
        json!(["p50", "p99", "In flight", "Cancelled", "Panicked", "Total"])
    );
    browser.resize(1200, 900);
    let hidden = browser.run("return document.querySelector('.narrow').checkVisibility()");
    assert_eq!(hidden, false);
    assert_quiet(&browser);
}

/// Each text has a contrast of at least 4.5 to 1 with what is behind it (WCAG 2, level AA).
#[test]
fn texts_are_legible_in_light_and_dark() {
    let Some((browser, _application)) = view(&page().0) else {
        return;
    };
    open(&browser, "GET /a");
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        let faint = browser.run(
            "const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
             const luminance = color => {
               canvas.fillStyle = color;
               canvas.fillRect(0, 0, 1, 1);
               const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(part => {
                 const share = part / 255;
                 return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
               });
               return 0.2126 * r + 0.7152 * g + 0.0722 * b;
             };
             const behind = element => {
               for (; element; element = element.parentElement) {
                 const color = getComputedStyle(element).backgroundColor;
                 if (!color.endsWith(', 0)')) return color;
               }
               return 'white';
             };
             const faint = [];
             for (const element of document.querySelectorAll('body *')) {
               if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()) || !element.checkVisibility()) continue;
               const [one, other] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
               const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
               if (contrast < 4.5) faint.push(`${element.innerText}: ${contrast.toFixed(2)}`);
             }
             return faint",
        );
        assert_eq!(faint, json!([]), "{scheme}");
        backgrounds
            .push(browser.run("return getComputedStyle(document.documentElement).backgroundColor"));
    }
    assert_ne!(backgrounds[0], backgrounds[1]);
    assert_quiet(&browser);
}

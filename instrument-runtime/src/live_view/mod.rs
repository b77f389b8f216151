//! The live view: one HTML page that shows a running application at a glance.
//!
//! `live_view.html` is the whole page: markup, style and script. In the browser, the script
//! reads the metrics page every two seconds and computes everything that the view shows. So
//! the process pays for the scrapes of a view only while somebody looks at it, and the view
//! shows nothing that the metrics page does not. The only other fact in the view is the URL
//! that [`Builder::prometheus_url`](crate::Builder::prometheus_url) sets.
//!
//! - `mod`: the HTML with the settings of the installation, its encodings and its headers.
//! - `in_app`: the view as a handler in the application's own router.

#[cfg(any(feature = "axum", feature = "actix-web"))]
pub(crate) mod in_app;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use hyper::body::Bytes;

use crate::page::Page;
use crate::settings::Settings;

const HTML: &str = include_str!("live_view.html");
/// The attribute in [`HTML`] that the settings replace.
const SETTINGS: &str = "data-settings";
/// The path of the metrics, relative to the path of the view. A relative path is also correct
/// behind a proxy that adds a prefix.
pub(crate) const METRICS: &str = "metrics";
/// The header of the requests for metrics that a view sends.
const VIEW: &str = "instrument-live-view";
/// The header `Content-Security-Policy`: only the script and the style of this page, requests
/// only to the server of this page, no frames, and no way to turn text into markup.
///
/// The hashes are those of the script and the style as they are served. After a change to
/// them, a test says which hashes are correct.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-rpHlpb3DxuJ3AP0cI1/GvNBNT+B62cyrHXHKPuCGqLQ='; \
    style-src 'sha256-IkVn2fy3R1Jqwiorfit8ibjvl/s9z+os2YOoiezK2EQ='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Returns whether a view asks for the metrics, and not a scraper that stores them.
pub(crate) fn is_asking(headers: &HeaderMap) -> bool {
    headers.contains_key(VIEW)
}

/// What a view needs to know about the installation, as attributes of the element `html`.
#[derive(Clone, Debug)]
pub(crate) struct Facts(Arc<str>);

impl Facts {
    pub(crate) fn new(page: &Page, settings: &Settings) -> Self {
        let names = &settings.names;
        let started = page.started().0.as_secs().to_string();
        let facts = [
            ("counter", Some(&*names.requests_total)),
            ("latency", Some(&*names.request_latency_seconds)),
            ("in-flight", Some(&*names.requests_in_progress)),
            ("oldest", Some(&*names.requests_oldest_in_progress_seconds)),
            ("conventions", names.has_conventions.then_some("")),
            ("labels", Some(page.global_labels())),
            ("started", Some(&*started)),
            ("prometheus", settings.prometheus_url.as_deref()),
        ];
        let mut attributes = String::new();
        for (name, value) in facts {
            if let Some(value) = value {
                push_attribute(&mut attributes, name, value);
            }
        }
        Self(attributes.into())
    }
}

/// Appends `data-name="value" `.
fn push_attribute(attributes: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = write!(attributes, "data-{name}=\"");
    for sign in value.chars() {
        match sign {
            '&' => attributes.push_str("&amp;"),
            '"' => attributes.push_str("&quot;"),
            '<' => attributes.push_str("&lt;"),
            '>' => attributes.push_str("&gt;"),
            sign => attributes.push(sign),
        }
    }
    attributes.push_str("\" ");
}

/// A live view, made for the first request and kept.
#[derive(Debug)]
pub(crate) struct LiveView {
    facts: Facts,
    metrics: Cow<'static, str>,
    document: OnceLock<Document>,
}

impl LiveView {
    /// `metrics` is the URL of the metrics, relative to the URL of the view.
    pub(crate) fn new(facts: Facts, metrics: Cow<'static, str>) -> Self {
        Self {
            facts,
            metrics,
            document: OnceLock::new(),
        }
    }

    /// Returns the headers and the body of a response.
    pub(crate) fn answer(
        &self,
        accepts_gzip: bool,
    ) -> (impl Iterator<Item = (&'static str, &'static str)>, Bytes) {
        let document = self
            .document
            .get_or_init(|| Document::new(&self.facts, &self.metrics));
        let mut headers = vec![
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            // The settings may change with the next start of the application.
            ("cache-control", "no-store"),
            ("vary", "accept-encoding"),
        ];
        if !accepts_gzip {
            return (headers.into_iter(), document.plain.clone());
        }
        headers.push(("content-encoding", "gzip"));
        (headers.into_iter(), document.gzip.clone())
    }
}

/// The HTML as it is served.
#[derive(Debug)]
struct Document {
    plain: Bytes,
    gzip: Bytes,
}

impl Document {
    fn new(facts: &Facts, metrics: &str) -> Self {
        let mut attributes = facts.0.to_string();
        push_attribute(&mut attributes, "metrics", metrics);
        let html = without_comments(HTML).replacen(SETTINGS, attributes.trim_end(), 1);
        // Compressing into memory does not fail.
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let _ = gzip.write_all(html.as_bytes());
        Self {
            plain: html.into(),
            gzip: gzip.finish().unwrap_or_default().into(),
        }
    }
}

/// Returns the HTML without indentation, empty lines and lines that are a comment, and without
/// the line breaks that separate nothing. Only readers of the file need them, and they are a
/// fifth of it.
fn without_comments(html: &str) -> String {
    const JOINED: [char; 3] = ['{', ',', ';'];
    let lines = html.lines().map(str::trim_start);
    let is_kept =
        |line: &&str| !(line.is_empty() || line.starts_with("//") || line.starts_with("/*"));
    lines.filter(is_kept).fold(String::new(), |mut kept, line| {
        kept.push_str(line);
        if !line.ends_with(JOINED) {
            kept.push('\n');
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::conventions;
    use crate::names::MetricNames;
    use crate::names::label;
    use crate::recorder::Recorder;

    fn view(settings: Settings) -> LiveView {
        let settings = Arc::new(settings);
        let page = Page::of(&Recorder::new(Arc::clone(&settings)));
        LiveView::new(Facts::new(&page, &settings), METRICS.into())
    }

    fn answer(view: &LiveView, accepts_gzip: bool) -> (Vec<(&'static str, &'static str)>, Vec<u8>) {
        let (headers, body) = view.answer(accepts_gzip);
        (headers.collect(), body.to_vec())
    }

    fn html(settings: Settings) -> String {
        String::from_utf8(answer(&view(settings), false).1).expect("UTF-8")
    }

    #[test]
    fn the_page_is_small() {
        // With as many settings as an application is likely to have.
        let view = view(Settings {
            names: MetricNames::opentelemetry(),
            global_labels: vec![("app_name".to_owned(), "webapp_1".to_owned())],
            prometheus_url: Some("https://prometheus.example.com/prefix".to_owned()),
            ..Settings::default()
        });
        let (headers, plain) = answer(&view, false);
        assert!(headers.iter().all(|(name, _)| *name != "content-encoding"));
        let (headers, gzip) = answer(&view, true);
        assert!(headers.contains(&("content-encoding", "gzip")));
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&*gzip);
        decoder.read_to_end(&mut unpacked).expect("gzip");
        assert_eq!(plain, unpacked);
        println!("{} bytes, {} compressed", plain.len(), gzip.len());
        assert!(plain.len() < 40 * 1024, "{} bytes", plain.len());
        assert!(gzip.len() < 12 * 1024, "{} bytes compressed", gzip.len());
    }

    /// Such a comment would swallow the next line when the lines are joined.
    #[test]
    fn no_line_of_the_script_ends_with_a_comment() {
        for line in HTML.lines().map(str::trim) {
            assert!(line.starts_with("//") || !line.contains("// "), "{line}");
        }
    }

    #[test]
    fn the_policy_names_the_script_and_the_style() {
        let view = view(Settings::default());
        let (headers, body) = answer(&view, false);
        assert!(headers.contains(&("content-security-policy", POLICY)));
        let html = String::from_utf8(body).expect("UTF-8");
        for element in ["script", "style"] {
            assert_eq!(html.matches(&format!("<{element}")).count(), 1);
            let (_, rest) = html.split_once(&format!("<{element}>")).expect(element);
            let (content, _) = rest.split_once(&format!("</{element}>")).expect(element);
            let hash = BASE64_STANDARD.encode(Sha256::digest(content));
            let directive = format!("; {element}-src 'sha256-{hash}';");
            assert!(POLICY.contains(&directive), "must contain {directive}");
        }
        assert!(POLICY.starts_with("default-src 'none'; "), "{POLICY}");
        assert!(!POLICY.contains("unsafe"), "{POLICY}");
    }

    /// The policy would stop these in a browser. This test finds them without one.
    #[test]
    fn the_page_needs_nothing_that_the_policy_forbids() {
        let html = html(Settings::default());
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            " style=",
            " onclick=",
            "http://",
            "https://",
            "src=",
            "@import",
            "url(",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn the_facts_are_escaped() {
        let globals = [("team", "\"><img src=x onerror=alert(1)>&amp;\n")];
        let html = html(Settings {
            names: MetricNames::article().requests_total("shop:requests"),
            global_labels: globals
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            prometheus_url: Some("http://x/?<script>\"".to_owned()),
            ..Settings::default()
        });
        let (head, _) = html.split_once("<meta").expect("a head");
        for expected in [
            "data-counter=\"shop:requests\" ",
            "data-latency=\"request_latency_seconds\" ",
            "data-in-flight=\"requests_in_progress_total\" ",
            "data-labels=\"team=&quot;\\&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;\\n&quot;\" ",
            "data-prometheus=\"http://x/?&lt;script&gt;&quot;\" ",
            "data-metrics=\"metrics\">",
        ] {
            assert!(head.contains(expected), "{expected} is not in {head}");
        }
        assert!(!head.contains("data-conventions"), "{head}");
        assert_eq!(head.matches('<').count(), 2, "{head}");
    }

    #[test]
    fn the_script_knows_the_conventions_and_our_labels() {
        let html = html(Settings {
            names: MetricNames::opentelemetry(),
            ..Settings::default()
        });
        assert!(html.contains(" data-conventions=\"\" "), "{html}");
        let ours = [
            label::METHOD,
            label::ENDPOINT,
            label::HTTP_STATUS,
            label::GRPC_STATUS,
            label::OUTCOME,
            "overflow",
        ];
        let names = [
            conventions::HTTP_DURATION,
            conventions::HTTP_ACTIVE,
            conventions::RPC_DURATION,
        ];
        let names = names.into_iter().chain(conventions::LABELS);
        for name in names.chain(ours) {
            assert!(html.contains(&format!("'{name}'")), "{name}");
        }
        // Header names are not case-sensitive.
        assert!(html.to_lowercase().contains(&format!("'{VIEW}'")));
    }
}

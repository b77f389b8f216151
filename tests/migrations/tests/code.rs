//! Holds the code in the pages equal to the programs.

use instrument_tests::markdown::{blocks, section};

use crate::chapter::Chapter;
use crate::program::Built;
use crate::{chapter_of, program_of, text_of};

#[test]
fn the_pages_show_the_programs() {
    check(&chapter_of!("axum_prometheus"));
    check(&chapter_of!("actix_web_prom"));
    check(&chapter_of!("autometrics"));
    check(&chapter_of!("metrics"));
    check(&chapter_of!("opentelemetry"));
}

#[test]
fn the_page_shows_the_program_with_both_layers() {
    let page = text_of!("axum_prometheus");
    let shown = blocks(section(page, "Both at once"), "rust,ignore");
    assert_eq!(shown, [code(program_of!("axum_prometheus_both"))]);
}

/// The pages name the versions that the tests run, without their patches.
#[test]
fn the_pages_name_the_versions() {
    let lock = include_str!("../../../Cargo.lock");
    let mut packages = lock.split("[[package]]");
    let this = packages.find(|package| package.contains("name = \"instrument-migrations\""));
    let dependencies = this.expect("this package");
    let index = text_of!("index");
    let opentelemetry = text_of!("opentelemetry");
    for (library, pages) in [
        ("axum-prometheus", &[text_of!("axum_prometheus"), index][..]),
        ("actix-web-prom", &[text_of!("actix_web_prom"), index]),
        ("autometrics", &[text_of!("autometrics"), index]),
        ("metrics", &[text_of!("metrics")]),
        ("metrics-exporter-prometheus", &[text_of!("metrics"), index]),
        (
            "opentelemetry-instrumentation-tower",
            &[opentelemetry, index],
        ),
        ("opentelemetry_sdk", &[opentelemetry]),
        ("opentelemetry-prometheus", &[opentelemetry, index]),
    ] {
        let package = format!("name = \"{library}\"\nversion = \"");
        let versions = lock.split(&package).skip(1);
        let mut versions: Vec<&str> = versions.filter_map(|rest| rest.split('"').next()).collect();
        if versions.len() > 1 {
            // Then the list of dependencies says which one is meant.
            versions.retain(|version| dependencies.contains(&format!("\"{library} {version}\"")));
        }
        let [version] = versions[..] else {
            panic!("{library}: {versions:?}");
        };
        let (version, _) = version.rsplit_once('.').expect("a patch");
        for page in pages {
            // The words may be on two lines.
            let words: Vec<&str> = page.split_whitespace().collect();
            let is_named = |pair: &[&str]| {
                pair[0] == library && pair[1].trim_end_matches([',', '.']) == version
            };
            assert!(words.windows(2).any(is_named), "{library} {version}");
        }
    }
}

fn check(chapter: &Chapter) {
    let shown = blocks(section(chapter.text, "The code"), "rust,ignore");
    assert_eq!(shown, chapter.programs.map(code));
}

/// Returns the source of a program without its introduction, because a page has its own.
fn code(program: Built) -> &'static str {
    let (introduction, code) = program.source.split_once("\n\n").expect("an introduction");
    assert!(introduction.lines().all(|line| line.starts_with("//!")));
    code
}

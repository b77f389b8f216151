//! The metrics of the process itself (`process_…`) on the page.

use instrument_tests::page::Page;

#[test]
fn the_process_is_on_the_page() {
    instrument_tests::alone("the_process_is_on_the_page", || {
        let exporter = instrument_runtime::builder("process")
            .without_listener()
            .install()
            .expect("installs");
        let text = exporter.render();
        let page = Page::parse(&text);
        let app = [("app_name", "process")];
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
            "process_threads",
        ] {
            let value = page.value(name, &app);
            assert!(
                value.is_some_and(|value| value >= 0.0),
                "{name} is {value:?}"
            );
            assert!(
                text.contains(&format!("# HELP {name} ")),
                "{name} has no HELP"
            );
        }
        let before = page.value("process_open_fds", &app);
        let opened: Vec<_> = (0..8)
            .map(|_| std::fs::File::open("/dev/null").expect("opens"))
            .collect();
        let after = Page::parse(&exporter.render()).value("process_open_fds", &app);
        assert_eq!(after, before.map(|before| before + opened.len() as f64));
    });
}

#[test]
fn the_processor_time_has_fractions() {
    instrument_tests::alone("the_processor_time_has_fractions", || {
        let exporter = instrument_runtime::builder("fractions")
            .without_listener()
            .install()
            .expect("installs");
        let seconds = instrument_tests::wait_for("a part of a second", || {
            // Work, so that the CPU time increases.
            (0..200).for_each(|_| drop(exporter.render()));
            let text = exporter.render();
            assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"));
            let page = Page::parse(&text);
            let seconds = page.value("process_cpu_seconds_total", &[("app_name", "fractions")])?;
            (seconds.fract() != 0.0).then_some(seconds)
        });
        assert!(seconds > 0.0);
    });
}

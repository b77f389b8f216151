//! The memory of a page while it is rendered and sent: a page stands in memory once, and a
//! page that only clients with gzip want is in memory only compressed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{counter, gauge, histogram};

/// Counts the bytes that are allocated now, and their maximum.
struct Peak;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes every call on to the system's allocator.
#[allow(unsafe_code, reason = "an allocator")]
unsafe impl GlobalAlloc for Peak {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Peak = Peak;

/// The number of label sets. Each has a counter, a gauge and a histogram.
const SETS: usize = 20_000;

/// Everything that does not depend on the size of the page.
const FIXED: usize = 2 * 1024 * 1024;

#[test]
fn a_page_is_in_memory_once() {
    let exporter = instrument_runtime::builder("memory")
        .listen(([127, 0, 0, 1], 0))
        .max_series(SETS)
        .install()
        .expect("installs");
    for number in 0..SETS {
        let set = number.to_string();
        counter!("requests_total", "endpoint" => set.clone()).increment(1);
        gauge!("requests_in_progress", "endpoint" => set.clone()).increment(1);
        histogram!("request_latency_seconds", "endpoint" => set).record(0.1);
    }
    let addr = exporter.local_addr().expect("an address");
    for accept in [
        "text/plain",
        "application/openmetrics-text",
        "application/vnd.google.protobuf",
    ] {
        let mut plain = 0;
        for encoding in ["identity", "gzip"] {
            let before = NOW.load(Ordering::Relaxed);
            MOST.store(before, Ordering::Relaxed);
            let request = ureq::get(&format!("http://{addr}/metrics"))
                .header("accept", accept)
                .header("accept-encoding", encoding);
            let mut response = request.call().expect("a page");
            // Reads the page without keeping it.
            let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
            let mut size = 0;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match body.read(&mut buffer).expect("a body") {
                    0 => break,
                    read => size += read,
                }
            }
            let peak = MOST.load(Ordering::Relaxed) - before;
            let (size, peak) = (size / 1024, peak / 1024);
            println!("{accept} {encoding}: {size} KiB, peak {peak} KiB");
            // A page of protobuf cannot be compressed before the length of its families is
            // known. The largest family is almost the whole page.
            let most = match encoding {
                "gzip" if accept.contains("protobuf") => plain + size,
                _ => size,
            };
            assert!(size > if encoding == "gzip" { 300 } else { 5_000 });
            assert!(
                peak <= most + most / 5 + FIXED / 1024,
                "{accept} {encoding}: {peak} KiB for a page of {size} KiB"
            );
            plain = size;
        }
    }
}

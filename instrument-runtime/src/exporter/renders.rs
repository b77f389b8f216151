//! Joined renders: however many scrapers wait, the page is made once.

use std::cell::{OnceCell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::exporter::health::{self, Health};
use crate::recorder::Page;

/// A page is followed by a rest as long as it took, between these: whatever is
/// asked, the application keeps most of the core, and more scrapers join.
const LEAST_REST: Duration = Duration::from_millis(1);
const MOST_REST: Duration = Duration::from_secs(1);

/// One page, and its compressed form once somebody has asked for it.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Rises from page to page.
    number: u64,
    plain: Bytes,
    gzip: OnceCell<Option<Bytes>>,
}

impl Rendered {
    pub(crate) fn new(number: u64, text: String) -> Self {
        Self {
            number,
            plain: Bytes::from(text),
            gzip: OnceCell::new(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// In bytes.
    pub(crate) fn size(&self) -> usize {
        let gzip = self.gzip.get().and_then(Option::as_ref);
        self.plain.len() + gzip.map_or(0, Bytes::len)
    }

    pub(crate) fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    pub(crate) fn gzip(&self) -> Option<Bytes> {
        self.gzip.get_or_init(|| gzip(&self.plain)).clone()
    }
}

/// Compressed, for `Content-Encoding: gzip`.
pub(crate) fn gzip(page: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(page).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Lives on the exporter's thread alone.
pub(crate) struct Renders {
    page: Page,
    health: RefCell<Health>,
    waiting: RefCell<Vec<oneshot::Sender<Rc<Rendered>>>>,
    asked: Notify,
}

impl Renders {
    pub(crate) fn new(page: Page) -> Self {
        Self {
            page,
            health: RefCell::new(Health::default()),
            waiting: RefCell::new(Vec::new()),
            asked: Notify::new(),
        }
    }

    pub(crate) fn page(&self) -> &Page {
        &self.page
    }

    /// A page that is made after this call. `None` once the exporter stops.
    pub(crate) async fn next(&self) -> Option<Rc<Rendered>> {
        let scrape = crate::discovery::departure::Scrape::begin();
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        self.asked.notify_one();
        let rendered = receiver.await.ok()?;
        scrape.answered();
        Some(rendered)
    }

    /// Makes pages for as long as it is polled.
    pub(crate) async fn run(&self) {
        let mut rested = Instant::now();
        for number in 0_u64.. {
            self.asked.notified().await;
            // Lets the requests that have arrived by now join in.
            sleep_until(rested).await;
            tokio::task::yield_now().await;
            let waiting = self.waiting.take();
            let started = Instant::now();
            let text = self.page.render_with(health::FIRST, || {
                let elapsed = started.elapsed();
                rested = Instant::now() + elapsed.clamp(LEAST_REST, MOST_REST);
                let mut health = self.health.borrow_mut();
                health.count(waiting.len(), elapsed);
                health.text(self.page.series())
            });
            let rendered = Rc::new(Rendered::new(number, text));
            for scraper in waiting {
                // One that has hung up needs no page.
                let _ = scraper.send(Rc::clone(&rendered));
            }
        }
    }
}

//! Joined renders: however many scrapers wait, the page is made once.

use std::cell::{OnceCell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::exporter::health::Health;
use crate::recorder::Page;

/// One page, and its compressed form once somebody has asked for it.
pub(crate) struct Rendered {
    plain: Bytes,
    gzip: OnceCell<Option<Bytes>>,
}

impl Rendered {
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
        loop {
            self.asked.notified().await;
            // Lets the requests that have arrived by now join in.
            tokio::task::yield_now().await;
            let waiting = self.waiting.take();
            let started = Instant::now();
            let mut text = self.page.render();
            self.health
                .borrow_mut()
                .append(&mut text, waiting.len(), started.elapsed());
            let rendered = Rc::new(Rendered {
                plain: Bytes::from(text),
                gzip: OnceCell::new(),
            });
            for scraper in waiting {
                // One that has hung up needs no page.
                let _ = scraper.send(Rc::clone(&rendered));
            }
        }
    }
}

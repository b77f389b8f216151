//! Joined renders: however many scrapers wait, the page is made once.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::exporter::health::{self, Health};
use crate::exporter::panics::{self, Panicked};
use crate::recorder::Page;

/// A page is followed by a rest as long as it took, between these: whatever is
/// asked, the application keeps most of the core, and more scrapers join.
const LEAST_REST: Duration = Duration::from_millis(1);
const MOST_REST: Duration = Duration::from_secs(1);

/// `took` is the time for the page and for its compression.
pub(crate) fn rest_after(took: Duration) -> Duration {
    took.clamp(LEAST_REST, MOST_REST)
}

/// One page, and its compressed form if a scraper asked for it.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Rises from page to page.
    number: u64,
    plain: Bytes,
    gzip: Option<Bytes>,
}

impl Rendered {
    pub(crate) fn new(number: u64, text: String, with_gzip: bool) -> Self {
        let plain = Bytes::from(text);
        Self {
            number,
            gzip: if with_gzip { gzip(&plain) } else { None },
            plain,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// In bytes.
    pub(crate) fn size(&self) -> usize {
        self.plain.len() + self.gzip.as_ref().map_or(0, Bytes::len)
    }

    pub(crate) fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// For a scraper that asked for it.
    pub(crate) fn gzip(&self) -> Option<Bytes> {
        self.gzip.clone()
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
    waiting: RefCell<Vec<Waiting>>,
    asked: Notify,
    state: Cell<State>,
    #[cfg(test)]
    pub(crate) panics: Cell<bool>,
    #[cfg(test)]
    compression_takes: Cell<Duration>,
}

struct Waiting {
    scraper: oneshot::Sender<Result<Rc<Rendered>, Panicked>>,
    accepts_gzip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The last page was made, or none was asked for yet.
    Good,
    LastPanicked,
    /// No page will be made any more.
    Ended,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPage {
    Panicked,
    /// The exporter stops.
    Ended,
}

impl Renders {
    pub(crate) fn new(page: Page) -> Self {
        Self {
            page,
            health: RefCell::new(Health::default()),
            waiting: RefCell::new(Vec::new()),
            asked: Notify::new(),
            state: Cell::new(State::Good),
            #[cfg(test)]
            panics: Cell::new(false),
            #[cfg(test)]
            compression_takes: Cell::default(),
        }
    }

    pub(crate) fn page(&self) -> &Page {
        &self.page
    }

    /// Whether the last page could be made, and the next one will be tried.
    pub(crate) fn is_healthy(&self) -> bool {
        self.state.get() == State::Good
    }

    /// A page that is made after this call.
    pub(crate) async fn next(&self, accepts_gzip: bool) -> Result<Rc<Rendered>, NoPage> {
        if self.state.get() == State::Ended {
            return Err(NoPage::Ended);
        }
        let (scraper, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiting {
            scraper,
            accepts_gzip,
        });
        self.asked.notify_one();
        match receiver.await {
            Ok(Ok(rendered)) => Ok(rendered),
            Ok(Err(Panicked)) => Err(NoPage::Panicked),
            Err(_) => Err(NoPage::Ended),
        }
    }

    /// Makes pages for as long as it is polled.
    pub(crate) async fn run(&self) {
        /// However it ends, nobody waits for a page that does not come.
        struct End<'a>(&'a Renders);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.state.set(State::Ended);
                self.0.waiting.take();
            }
        }
        let _end = End(self);

        let mut rested = Instant::now();
        for number in 0_u64.. {
            self.asked.notified().await;
            // Lets the requests that have arrived by now join in.
            sleep_until(rested).await;
            tokio::task::yield_now().await;
            let waiting = self.waiting.take();
            let started = Instant::now();
            let rendered = panics::caught(|| self.render(number, started, &waiting));
            rested = Instant::now() + rest_after(started.elapsed());
            self.state.set(match rendered {
                Ok(_) => State::Good,
                Err(Panicked) => State::LastPanicked,
            });
            let rendered = rendered.map(Rc::new);
            for Waiting { scraper, .. } in waiting {
                // A scraper that has hung up needs no page.
                let _ = scraper.send(rendered.clone());
            }
        }
    }

    fn render(&self, number: u64, started: Instant, waiting: &[Waiting]) -> Rendered {
        #[cfg(test)]
        assert!(!self.panics.get(), "on purpose");
        let text = self.page.render_with(health::FIRST, || {
            let mut health = self.health.borrow_mut();
            health.count(waiting.len(), started.elapsed());
            health.text(self.page.series())
        });
        let with_gzip = waiting
            .iter()
            .any(|one| one.accepts_gzip && !one.scraper.is_closed());
        #[cfg(test)]
        if with_gzip {
            std::thread::sleep(self.compression_takes.get());
        }
        Rendered::new(number, text, with_gzip)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recorder::Recorder;
    use crate::settings::Settings;

    /// Which takes much longer than the page.
    const COMPRESSION: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn the_rest_is_as_long_as_page_and_compression_took() {
        let renders = Renders::new(Recorder::new(Arc::new(Settings::default())).page());
        renders.compression_takes.set(COMPRESSION);
        let asking = async {
            let first = renders.next(true).await.expect("a page");
            assert!(first.gzip().is_some());
            let answered = Instant::now();
            let second = renders.next(false).await.expect("a page");
            assert!(second.gzip().is_none(), "nobody asked for it");
            answered.elapsed()
        };
        tokio::select! {
            () = renders.run() => panic!("it goes on"),
            rest = asking => assert!(rest >= COMPRESSION.mul_f32(0.9), "{rest:?}"),
        }
    }
}

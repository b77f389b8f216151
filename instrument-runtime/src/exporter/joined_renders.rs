//! Request coalescing: one render of the page answers all scrapers that wait for the same
//! dialect of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
#[cfg(test)]
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::page::encoding::{Encodings, Wanted};
use crate::page::format::Dialect;
use crate::page::health::Health;
use crate::page::panics::{self, Panicked};
use crate::page::{Page, rest_after};

/// One rendered page, in the encodings that its scrapers want.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Increases from page to page.
    number: u64,
    dialect: Dialect,
    encodings: Encodings,
}

impl Rendered {
    pub(crate) fn new(number: u64, dialect: Dialect, encodings: Encodings) -> Self {
        Self {
            number,
            dialect,
            encodings,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn encodings(&self) -> &Encodings {
        &self.encodings
    }

    /// Returns the size of both encodings together, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.encodings.size()
    }
}

/// The scrapers that wait for the next page, and the loop that renders the page. Used only
/// on the exporter's thread.
pub(crate) struct JoinedRenders {
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
    dialect: Dialect,
    accepts_gzip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The last render succeeded, or there was none yet.
    Good,
    /// The last render panicked.
    LastPanicked,
    /// The render loop has ended, and no further page will be rendered.
    Ended,
}

/// The reason why a scraper gets no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPage {
    /// The render panicked.
    Panicked,
    /// The exporter is shutting down.
    Ended,
}

impl JoinedRenders {
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

    /// Returns `false` if the last render panicked, or if the render loop has ended.
    pub(crate) fn is_healthy(&self) -> bool {
        self.state.get() == State::Good
    }

    /// Waits for a page whose render begins after this call.
    pub(crate) async fn next(
        &self,
        dialect: Dialect,
        accepts_gzip: bool,
    ) -> Result<Rc<Rendered>, NoPage> {
        if self.state.get() == State::Ended {
            return Err(NoPage::Ended);
        }
        let (scraper, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiting {
            scraper,
            dialect,
            accepts_gzip,
        });
        self.asked.notify_one();
        match receiver.await {
            Ok(Ok(rendered)) => Ok(rendered),
            Ok(Err(Panicked)) => Err(NoPage::Panicked),
            Err(_) => Err(NoPage::Ended),
        }
    }

    /// Renders pages on demand. Never completes.
    ///
    /// Renders once for each dialect that is asked for, then pauses (see [`rest_after`]).
    /// Rendering and compression block the exporter's thread.
    pub(crate) async fn run(&self) {
        /// Answers the waiting scrapers with [`NoPage::Ended`] when the loop is dropped or
        /// unwinds.
        struct End<'a>(&'a JoinedRenders);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.state.set(State::Ended);
                self.0.waiting.take();
            }
        }
        let _end = End(self);

        let mut rested = Instant::now();
        let mut numbers = 0_u64..;
        loop {
            self.asked.notified().await;
            // Requests that arrive during the pause share the renders below.
            sleep_until(rested).await;
            tokio::task::yield_now().await;
            let mut waiting = self.waiting.take();
            let first_started = Instant::now();
            let mut state = State::Good;
            // Usually, all scrapers ask for the same dialect.
            while let Some(&Waiting { dialect, .. }) = waiting.first() {
                let joined: Vec<Waiting> = waiting
                    .extract_if(.., |one| one.dialect == dialect)
                    .collect();
                let started = Instant::now();
                let number = numbers.next().unwrap_or_default();
                let rendered = panics::caught(|| self.render(number, dialect, started, &joined));
                if rendered.is_err() {
                    state = State::LastPanicked;
                }
                let rendered = rendered.map(Rc::new);
                for Waiting { scraper, .. } in joined {
                    // Sending fails only if the scraper has hung up.
                    let _ = scraper.send(rendered.clone());
                }
            }
            rested = Instant::now() + rest_after(first_started.elapsed());
            self.state.set(state);
        }
    }

    fn render(
        &self,
        number: u64,
        dialect: Dialect,
        started: Instant,
        waiting: &[Waiting],
    ) -> Rendered {
        #[cfg(test)]
        assert!(!self.panics.get(), "on purpose");
        let mut wanted = Wanted::default();
        for one in waiting.iter().filter(|one| !one.scraper.is_closed()) {
            wanted.add(one.accepts_gzip);
        }
        let encodings = Encodings::new(wanted, |sink| {
            self.page.write(dialect, sink, |page| {
                let mut health = self.health.borrow_mut();
                health.count(waiting.len(), started.elapsed());
                health.write(page, self.page.calls());
            });
        });
        #[cfg(test)]
        if wanted.gzip {
            std::thread::sleep(self.compression_takes.get());
        }
        Rendered::new(number, dialect, encodings)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recorder::Recorder;
    use crate::settings::Settings;

    /// The simulated compression time, much longer than rendering the page takes.
    const COMPRESSION: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn the_rest_is_as_long_as_page_and_compression_took() {
        let renders = JoinedRenders::new(Page::of(&Recorder::new(Arc::new(Settings::default()))));
        renders.compression_takes.set(COMPRESSION);
        let asking = async {
            let first = renders
                .next(Dialect::default(), true)
                .await
                .expect("a page");
            assert_ne!(first.encodings().gzip.size(), 0);
            let answered = Instant::now();
            let second = renders
                .next(Dialect::default(), false)
                .await
                .expect("a page");
            assert_eq!(second.encodings().gzip.size(), 0, "nobody asked for it");
            answered.elapsed()
        };
        tokio::select! {
            () = renders.run() => panic!("it goes on"),
            rest = asking => assert!(rest >= COMPRESSION.mul_f32(0.9), "{rest:?}"),
        }
    }
}

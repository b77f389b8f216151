//! Renders the page for a handler in the application's own router: `axum::metrics` and
//! `actix_web::metrics`.
//!
//! Renders are shared, as on the exporter's own thread. A request waits for a render that
//! starts after its arrival, together with all other waiting requests, and there is only
//! one render at a time. Renders run on a thread of their own, so that they do not block
//! the runtime. The thread ends when no request waits. If all waiting requests are
//! dropped, the render that they wait for is skipped.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
#[cfg(test)]
use std::time::Duration;
use std::time::Instant;

use http::HeaderMap;
use tokio::sync::watch;

use crate::diagnostics::Message;
use crate::page::encoding::{Encodings, Pieces, Wanted, accepts_gzip};
use crate::page::format::{Dialect, Format};
use crate::page::panics::{self, PANICKED, Panicked};
use crate::page::{Page, rest_after};

static PAGE: OnceLock<Arc<Pages>> = OnceLock::new();

const NOT_INSTALLED: &str =
    "503: metrics are not installed; call `instrument_runtime::init` early in `main`\n";
const NO_THREAD: &str =
    "503: could not start a thread to render the page; check the process's thread limit\n";

/// Sets the page of the process's installation.
pub(crate) fn set(page: Page) {
    // A process has one installation.
    let _ = PAGE.set(Pages::new(move |dialect, wanted| {
        Encodings::new(wanted, |sink| page.write_unscraped(dialect, sink))
    }));
}

/// A page in the format and the encoding that a request accepts.
pub(crate) struct Encoded {
    pub(crate) content_type: &'static str,
    pub(crate) body: Pieces,
    pub(crate) is_gzip: bool,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    NotInstalled,
    Panicked,
    NoThread,
}

impl Unavailable {
    /// Returns the status and the body of the response.
    pub(crate) fn answer(self) -> (u16, &'static str) {
        match self {
            Self::NotInstalled => (503, NOT_INSTALLED),
            Self::Panicked => (500, PANICKED),
            Self::NoThread => (503, NO_THREAD),
        }
    }
}

/// Returns the page for a request with these headers.
///
/// # Errors
///
/// Returns [`Unavailable`] if metrics are not installed, if the render panicked, or if its
/// thread could not be started.
pub(crate) async fn asked_for(headers: &HeaderMap) -> Result<Encoded, Unavailable> {
    let Some(pages) = PAGE.get() else {
        static NO_PAGE: Message = Message::new();
        NO_PAGE.write(format_args!(
            "a request for the metrics page was answered with 503, because metrics are not \
             installed. Call `instrument_runtime::init(\"…\")` early in `main`"
        ));
        return Err(Unavailable::NotInstalled);
    };
    let accepts_gzip = accepts_gzip(headers);
    let format = Format::negotiate(headers);
    let page = pages.next(format.dialect(), accepts_gzip).await?;
    Ok(Encoded {
        content_type: format.content_type(),
        body: page.body(accepts_gzip).clone(),
        is_gzip: accepts_gzip,
    })
}

/// The result of the renders for one round of requests, or `None` until there is one.
type Made = Option<Result<Vec<(Dialect, Encodings)>, Panicked>>;

/// Renders pages for requests, on a thread that runs while requests wait.
struct Pages {
    make: Box<dyn Fn(Dialect, Wanted) -> Encodings + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    /// Sends the next page. Its receivers are the requests that wait for that page.
    next: watch::Sender<Made>,
    /// The dialects that those requests ask for, each with the encodings that they want.
    next_asked: Vec<(Dialect, Wanted)>,
    has_thread: bool,
}

impl Pages {
    fn new(make: impl Fn(Dialect, Wanted) -> Encodings + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            make: Box::new(make),
            state: Mutex::new(State {
                next: watch::Sender::new(None),
                next_asked: Vec::new(),
                has_thread: false,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a page whose render starts after this call.
    async fn next(
        self: &Arc<Self>,
        dialect: Dialect,
        accepts_gzip: bool,
    ) -> Result<Encodings, Unavailable> {
        let mut made = {
            let mut state = self.state();
            let asked = state.next_asked.iter_mut().find(|(of, _)| *of == dialect);
            if let Some((_, wanted)) = asked {
                wanted.add(accepts_gzip);
            } else {
                let mut wanted = Wanted::default();
                wanted.add(accepts_gzip);
                state.next_asked.push((dialect, wanted));
            }
            if !state.has_thread {
                let pages = Arc::clone(self);
                thread::Builder::new()
                    .name("instrument-page".to_owned())
                    .spawn(move || pages.make_while_wanted())
                    .map_err(|_| Unavailable::NoThread)?;
                state.has_thread = true;
            }
            state.next.subscribe()
        };
        match made.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(pages))) => {
                let page = pages.iter().find(|(of, _)| *of == dialect);
                // The dialect was asked for before the render, so its page is there. The
                // error only avoids a panicking path.
                page.map(|(_, page)| page.clone())
                    .ok_or(Unavailable::Panicked)
            }
            // The render panicked. The other error, a sender that is dropped without a
            // value, does not occur.
            _ => Err(Unavailable::Panicked),
        }
    }

    /// Renders pages until no request waits.
    fn make_while_wanted(&self) {
        loop {
            let (next, asked) = {
                let mut state = self.state();
                if state.next.receiver_count() == 0 {
                    state.next_asked.clear();
                    state.has_thread = false;
                    return;
                }
                let next = std::mem::replace(&mut state.next, watch::Sender::new(None));
                (next, std::mem::take(&mut state.next_asked))
            };
            let started = Instant::now();
            let made = panics::caught(|| {
                let make = |(dialect, wanted)| (dialect, (self.make)(dialect, wanted));
                asked.into_iter().map(make).collect()
            });
            next.send_replace(Some(made));
            drop(next);
            // Requests that arrive during the pause share the next render.
            thread::sleep(rest_after(started.elapsed()));
        }
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn numbered(number: usize, wanted: Wanted) -> Encodings {
        Encodings::new(wanted, |sink| sink.take(&mut number.to_string().into()))
    }

    fn plain(page: &Encodings) -> &str {
        let plain = page.plain.first().unwrap_or_default();
        std::str::from_utf8(plain).expect("text")
    }

    /// Pages whose text is their number. Each render waits until the test releases it.
    struct Held {
        pages: Arc<Pages>,
        made: Arc<AtomicUsize>,
        begun: mpsc::Receiver<()>,
        release: mpsc::Sender<()>,
    }

    impl Held {
        fn new() -> Self {
            let (begin, begun) = mpsc::channel();
            let (release, released) = mpsc::channel();
            let made = Arc::new(AtomicUsize::new(0));
            let number = Arc::clone(&made);
            let guarded = Mutex::new((begin, released));
            let pages = Pages::new(move |_, wanted| {
                let guarded = guarded.lock().expect("one at a time");
                let (begin, released) = &*guarded;
                begin.send(()).expect("the test is still running");
                released.recv_timeout(DEADLINE).expect("is released");
                numbered(number.fetch_add(1, Ordering::Relaxed) + 1, wanted)
            });
            Self {
                pages,
                made,
                begun,
                release,
            }
        }

        fn begun(&self) {
            self.begun.recv_timeout(DEADLINE).expect("a page begins");
        }

        fn release(&self) {
            self.release
                .send(())
                .expect("a render waits to be released");
        }
    }

    fn wait_for_end(pages: &Pages) {
        let started = Instant::now();
        while pages.state().has_thread {
            assert!(started.elapsed() < DEADLINE, "the thread does not end");
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn who_waits_shares_the_next_page() {
        let held = Held::new();
        let next = |accepts_gzip| {
            let pages = Arc::clone(&held.pages);
            tokio::spawn(async move { pages.next(Dialect::default(), accepts_gzip).await })
        };
        let first = next(false);
        tokio::task::yield_now().await;
        held.begun();
        let rest: Vec<_> = (0..10).map(|number| next(number == 3)).collect();
        tokio::task::yield_now().await;
        held.release();
        let page = first.await.expect("no panic").expect("a page");
        assert_eq!((plain(&page), page.gzip.size()), ("1", 0));
        held.begun();
        held.release();
        for (number, one) in rest.into_iter().enumerate() {
            let page = one.await.expect("no panic").expect("a page");
            assert_ne!(page.gzip.size(), 0, "one of the requests accepts gzip");
            if number != 3 {
                assert_eq!(
                    plain(&page),
                    "2",
                    "not the page that was already being rendered"
                );
            }
        }
        wait_for_end(&held.pages);
        assert_eq!(held.made.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn who_hangs_up_asks_for_nothing() {
        let held = Held::new();
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut first = pin!(held.pages.next(Dialect::default(), false));
            assert!(first.as_mut().poll(&mut context).is_pending());
            held.begun();
        }
        for _ in 0..400 {
            let mut one = pin!(held.pages.next(Dialect::default(), true));
            assert!(one.as_mut().poll(&mut context).is_pending());
        }
        held.release();
        wait_for_end(&held.pages);
        assert_eq!(held.made.load(Ordering::Relaxed), 1);
        // The next request is served like the first one: the gzip that the dropped
        // requests accepted is forgotten.
        let mut one = pin!(held.pages.next(Dialect::default(), false));
        assert!(one.as_mut().poll(&mut context).is_pending());
        held.begun();
        held.release();
        wait_for_end(&held.pages);
        let std::task::Poll::Ready(Ok(page)) = one.as_mut().poll(&mut context) else {
            panic!("no page");
        };
        assert_eq!((plain(&page), page.gzip.size()), ("2", 0));
    }

    #[tokio::test]
    async fn a_panic_costs_one_page() {
        let panics = Arc::new(AtomicBool::new(true));
        let told = Arc::clone(&panics);
        let pages = Pages::new(move |_, with_gzip| {
            assert!(!told.load(Ordering::Relaxed), "on purpose");
            numbered(1, with_gzip)
        });
        let before = panics::count();
        for _ in 0..2 {
            assert_eq!(
                pages.next(Dialect::default(), false).await.err(),
                Some(Unavailable::Panicked)
            );
        }
        assert!(panics::count() >= before + 2);
        panics.store(false, Ordering::Relaxed);
        let page = pages.next(Dialect::default(), false).await;
        assert_eq!(plain(&page.expect("a page")), "1");
    }

    #[test]
    fn each_reason_has_its_status() {
        for (reason, status) in [
            (Unavailable::NotInstalled, 503),
            (Unavailable::Panicked, 500),
            (Unavailable::NoThread, 503),
        ] {
            let (code, text) = reason.answer();
            assert_eq!(code, status);
            assert!(text.starts_with(&format!("{status}: ")), "{text}");
        }
    }
}

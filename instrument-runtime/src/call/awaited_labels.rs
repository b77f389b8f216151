//! Calls whose labels await.
//!
//! Evaluating such labels may take several polls. A panic in one of the polls is counted
//! as panicked. A future that is dropped between two polls has not started and is not
//! counted, even while its thread is unwinding from another panic. The destructor of a
//! local variable cannot tell the two cases apart: in both, `std::thread::panicking()` is
//! true.
//!
//! Therefore the expansion evaluates these labels at the start of the body, and the future
//! that polls the body handles each way in which a poll can end:
//!
//! ```text
//!  the async fn                                   the body
//!
//!  let labels = &AwaitedLabels::of(site);
//!  let mut call = labels.call();
//!  RunningWithLabels::new(…).await
//!        │                           poll
//!        ├──────────────────────────────────────► evaluates the labels
//!        │   unwinds: counted as panicked         │  │
//!        │ ◄──────────────────────────────────────┤  │
//!        │   Pending: a label awaits              │  │
//!        │ ◄──────────────────────────────────────┤  │
//!        │   Ready: a label left the function     │  │
//!        │ ◄──────────────────────────────────────┘  ▼
//!        │                                        labels.evaluated(&[…]).await
//!        │   Pending, with the values                │
//!        │ ◄─────────────────────────────────────────┘
//!   the call starts
//!        │                           poll
//!        └──────────────────────────────────────► the user's code
//! ```

use std::fmt::Display;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::call::arguments::{Arguments, Carried};
use crate::call::site::CallSite;
use crate::call::{Call, CountedBy, Running};
use crate::outcome::probe::Teller;

/// The labels of one call, which its body evaluates.
#[derive(Debug)]
pub struct AwaitedLabels {
    site: &'static CallSite,
    /// `None` until the labels are evaluated. A mutex, because the body holds a reference
    /// to it and must stay `Send` and `Sync`.
    counted: Mutex<Option<CountedBy>>,
}

impl AwaitedLabels {
    /// Creates the labels of one call, not evaluated yet.
    #[must_use]
    pub fn of(site: &'static CallSite) -> Self {
        Self {
            site,
            counted: Mutex::new(None),
        }
    }

    /// Creates the call, which has not started.
    #[must_use]
    pub fn call(&self) -> Call {
        Call::unlabelled(self.site)
    }

    /// Stores the values. The call starts when the body awaits the returned future.
    pub fn evaluated(&self, values: &[&dyn Display]) -> Evaluated {
        let counted = CountedBy::values(self.site, values);
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
        Evaluated { is_polled: false }
    }

    /// Takes the stored values, if the labels have been evaluated.
    fn take(&self) -> Option<CountedBy> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.take()
    }
}

// For the same reason as `Call`: a panic in the body cannot leave the labels in a broken
// state.
impl UnwindSafe for AwaitedLabels {}
impl RefUnwindSafe for AwaitedLabels {}

/// A future that is pending once, while the call starts.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Evaluated {
    is_polled: bool,
}

impl Future for Evaluated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        // Does not register the waker: `RunningWithLabels` polls the body again at once.
        if std::mem::replace(&mut self.is_polled, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Polls a body that evaluates the labels first, and is then a [`Running`].
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct RunningWithLabels<'a, F, T> {
    /// `None` once the labels are evaluated.
    labels: Option<&'a AwaitedLabels>,
    running: Running<'a, F, T>,
}

impl<F, T> std::fmt::Debug for RunningWithLabels<'_, F, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningWithLabels")
            .field("labels", &self.labels)
            .field("running", &self.running)
            .finish()
    }
}

impl<'a, F: Future, T: Teller<F::Output> + Arguments> RunningWithLabels<'a, F, T> {
    /// Borrows the body and a call that has not started.
    pub fn new(
        labels: &'a AwaitedLabels,
        call: &'a mut Call,
        body: Pin<&'a mut F>,
        teller: T,
    ) -> Self {
        Self {
            labels: Some(labels),
            running: Running::new(call, body, teller),
        }
    }
}

impl<F: Future, T: Teller<F::Output> + Arguments + Unpin> Future for RunningWithLabels<'_, F, T> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { labels, running } = self.get_mut();
        if let Some(evaluating) = *labels {
            let unwinding = Unwinding {
                labels: evaluating,
                call: running.call,
                carried: running.teller.carried(),
            };
            let output = running.body.as_mut().poll(context);
            std::mem::forget(unwinding);
            let Some(counted) = evaluating.take() else {
                // A label awaits, or has left the function with `return` or `?`.
                return output;
            };
            *labels = None;
            running.call.counted = counted;
        }
        Pin::new(running).poll(context)
    }
}

/// Counts the call as panicked when it is dropped, which only unwinding does.
struct Unwinding<'a> {
    labels: &'a AwaitedLabels,
    call: &'a mut Call,
    carried: Option<&'a Carried>,
}

impl Drop for Unwinding<'_> {
    #[cold]
    fn drop(&mut self) {
        // The values are known if the destructor of one of them panics.
        if let Some(counted) = self.labels.take() {
            self.call.counted = counted;
        }
        self.call.enter(self.carried);
        self.call.give_up();
    }
}

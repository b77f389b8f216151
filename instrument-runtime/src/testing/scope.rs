//! [`Scope`]: a future that is recorded on every thread on which it runs.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::testing::Recording;

pin_project! {
    /// A future that runs inside a [`Recording`]. Created by [`Recording::scope`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Scope<F> {
        recording: Recording,
        // `None` after completion.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // Dropping the future counts its unfinished calls as cancelled. The recording
            // must receive these counts too.
            this.recording.run(|| this.future.set(None));
        }
    }
}

impl<F> Scope<F> {
    pub(super) fn new(recording: Recording, future: F) -> Self {
        Self {
            recording,
            future: Some(future),
        }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.recording.run(|| {
            let future = this.future.as_mut().as_pin_mut();
            let output = future
                .expect("`Scope` polled after completion")
                .poll(context);
            if output.is_ready() {
                this.future.set(None);
            }
            output
        })
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("recording", &self.recording)
            .finish_non_exhaustive()
    }
}

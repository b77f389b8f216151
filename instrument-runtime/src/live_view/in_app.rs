//! The live view for a handler in the application's own router: `axum::live_view` and
//! `actix_web::live_view`.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::live_view::{Facts, LiveView, METRICS};
use crate::page::in_app::Unavailable;

static FACTS: OnceLock<Facts> = OnceLock::new();

/// Sets the facts of the process's installation.
pub(crate) fn set(facts: Facts) {
    // A process has one installation.
    let _ = FACTS.set(facts);
}

/// A live view that an application serves. It may be created before the installation.
#[derive(Debug)]
pub(crate) struct InApp {
    metrics: Cow<'static, str>,
    view: OnceLock<LiveView>,
}

/// The view that finds the metrics next to it.
pub(crate) static NEXT_TO_METRICS: InApp = InApp::new(Cow::Borrowed(METRICS));

impl InApp {
    /// `metrics` is the URL of the metrics, relative to the URL of the view.
    pub(crate) const fn new(metrics: Cow<'static, str>) -> Self {
        Self {
            metrics,
            view: OnceLock::new(),
        }
    }

    /// Returns the view.
    ///
    /// # Errors
    ///
    /// Returns [`Unavailable::NotInstalled`] before the installation.
    pub(crate) fn view(&self) -> Result<&LiveView, Unavailable> {
        let facts = FACTS.get().ok_or(Unavailable::NotInstalled)?;
        let view = || LiveView::new(facts.clone(), self.metrics.clone());
        Ok(self.view.get_or_init(view))
    }
}

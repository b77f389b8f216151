//! Stands in for the module `push` when the feature `push` is disabled.
//!
//! No internal signature changes with the feature, so the callers need no `cfg`. An
//! installation never pushes.

use std::convert::Infallible;

use tokio::sync::watch;

use crate::error::InitError;
use crate::page::Page;

#[derive(Clone, Debug, Default)]
pub(crate) struct PushSettings {}

impl PushSettings {
    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "has the signature of the real method"
    )]
    pub(crate) fn check(
        self,
        _app_name: &str,
        _reserved: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Option<Push>, InitError> {
        Ok(None)
    }
}

/// Cannot be constructed, because nothing is ever pushed.
#[derive(Debug)]
pub(crate) struct Push(Infallible);

#[derive(Debug)]
pub(crate) struct Begin;

#[derive(Debug)]
pub(crate) struct Installed;

pub(crate) fn channel() -> (Begin, Installed) {
    (Begin, Installed)
}

impl Begin {
    #[allow(clippy::unused_self, reason = "has the signature of the real method")]
    pub(crate) fn begin(self, push: Option<Push>) {
        if let Some(Push(never)) = push {
            match never {}
        }
    }
}

#[allow(clippy::unused_async, reason = "has the signature of the real method")]
pub(crate) async fn run(_installed: Installed, _page: Page, _stop: watch::Receiver<bool>) {}

//! Stands in for the module `push` when the feature `push` is disabled.
//!
//! No internal signature changes with the feature, so the callers need no `cfg`. An
//! installation never pushes. Calling one of the public methods is a compile error that
//! names the feature, instead of "no method named `push` found".

use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

use tokio::sync::watch;

use crate::builder::Builder;
use crate::error::{InitError, PushError};
use crate::exporter::Exporter;
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

/// A bound that no type satisfies. Its diagnostic names the feature.
#[diagnostic::on_unimplemented(
    message = "this method needs the feature `push` of `instrument-runtime`",
    label = "the feature `push` is not enabled",
    note = "enable it in Cargo.toml: `instrument-runtime = {{ …, features = [\"push\"] }}`"
)]
pub trait Enabled {}

/// The type in the bound that cannot be satisfied.
///
/// It has a lifetime parameter, because the compiler checks a bound without parameters
/// where the method is declared, and a higher-ranked bound (`for<'a>`) where the method
/// is called.
#[derive(Debug)]
pub struct PushFeature<'a>(PhantomData<&'a ()>);

#[allow(
    missing_docs,
    clippy::must_use_candidate,
    clippy::needless_pass_by_value
)]
#[doc(hidden)]
impl Builder {
    pub fn push(self, _url: impl Into<String>) -> Self
    where
        for<'a> PushFeature<'a>: Enabled,
    {
        self
    }

    pub fn push_interval(self, _interval: Duration) -> Self
    where
        for<'a> PushFeature<'a>: Enabled,
    {
        self
    }

    pub fn push_job(self, _job: impl Into<String>) -> Self
    where
        for<'a> PushFeature<'a>: Enabled,
    {
        self
    }

    pub fn push_group(self, _label: impl Into<String>, _value: impl Into<String>) -> Self
    where
        for<'a> PushFeature<'a>: Enabled,
    {
        self
    }
}

#[allow(missing_docs, clippy::must_use_candidate)]
#[doc(hidden)]
impl Exporter {
    pub fn last_push_error(&self) -> Option<PushError>
    where
        for<'a> PushFeature<'a>: Enabled,
    {
        None
    }
}

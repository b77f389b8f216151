//! What stands in for `push` when the feature is not enabled, so that no signature
//! changes with it: an installation never pushes, and calling one of the public
//! methods is a compile error that names the feature, instead of "no method named
//! `push` found".

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
        reason = "as with the feature"
    )]
    pub(crate) fn check(
        self,
        _app_name: &str,
        _reserved: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Option<Push>, InitError> {
        Ok(None)
    }
}

/// There is nothing to push.
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
    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn begin(self, push: Option<Push>) {
        if let Some(Push(never)) = push {
            match never {}
        }
    }
}

#[allow(clippy::unused_async, reason = "as with the feature")]
pub(crate) async fn run(_installed: Installed, _page: Page, _stop: watch::Receiver<bool>) {}

/// Not implemented for anything.
#[diagnostic::on_unimplemented(
    message = "this method needs the feature `push` of `instrument-runtime`",
    label = "the feature `push` is not enabled",
    note = "enable it in Cargo.toml: `instrument-runtime = {{ …, features = [\"push\"] }}`"
)]
pub trait Enabled {}

/// A type with a lifetime, because a bound without any parameter is checked where the
/// method is declared, not where it is called.
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

//! The public methods of the feature `push`, in builds without it. Calling one of them is
//! a compile error that names the feature, instead of "no method named `push` found".

use std::marker::PhantomData;
use std::time::Duration;

use crate::builder::Builder;
use crate::error::PushError;
use crate::exporter::Exporter;

/// A bound that no type satisfies. Its diagnostic names the feature.
#[diagnostic::on_unimplemented(
    message = "this method needs the feature `push` of `instrument-runtime`",
    label = "the feature `push` is not enabled",
    note = "enable it in Cargo.toml: `instrument-runtime = {{ …, features = [\"push\"] }}`"
)]
pub trait Enabled {}

/// The type that the bound requires to implement [`Enabled`].
///
/// It has a lifetime parameter, because the compiler checks a bound without parameters
/// where the method is declared, but a higher-ranked bound (`for<'a>`) only where the
/// method is called.
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

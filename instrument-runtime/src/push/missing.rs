//! The methods of the feature `push` where it is not enabled: calling one is an error
//! that names the feature, instead of "no method named `push` found".

use std::marker::PhantomData;
use std::time::Duration;

use crate::{Builder, Exporter};

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
pub struct Push<'a>(PhantomData<&'a ()>);

#[allow(
    missing_docs,
    clippy::must_use_candidate,
    clippy::needless_pass_by_value
)]
#[doc(hidden)]
impl Builder {
    pub fn push(self, _url: impl Into<String>) -> Self
    where
        for<'a> Push<'a>: Enabled,
    {
        self
    }

    pub fn push_interval(self, _interval: Duration) -> Self
    where
        for<'a> Push<'a>: Enabled,
    {
        self
    }

    pub fn push_job(self, _job: impl Into<String>) -> Self
    where
        for<'a> Push<'a>: Enabled,
    {
        self
    }

    pub fn push_group(self, _label: impl Into<String>, _value: impl Into<String>) -> Self
    where
        for<'a> Push<'a>: Enabled,
    {
        self
    }
}

#[allow(missing_docs, clippy::must_use_candidate)]
#[doc(hidden)]
impl Exporter {
    pub fn last_push_error(&self) -> Option<String>
    where
        for<'a> Push<'a>: Enabled,
    {
        None
    }
}

//! Stands in for the runtime's `diagnostics`.

use std::fmt;

/// A message that is not written.
pub(crate) struct Message;

impl Message {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) fn write(&self, _message: fmt::Arguments<'_>) {}
}

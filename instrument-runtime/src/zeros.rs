//! Zeros from the start for the handlers that are known when the program is
//! compiled, so that `rate()` sees a handler's first request.

use crate::call_site::CallSite;

/// An annotated handler whose labels are all known, as the linker collects them.
#[derive(Clone, Copy, Debug)]
pub struct Known(pub &'static CallSite);

inventory::collect!(Known);

/// Puts them on the page.
pub(crate) fn show() {
    for Known(site) in inventory::iter::<Known> {
        site.show_zeros();
    }
}

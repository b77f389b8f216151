//! The probe, which carries the type of the return value.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use crate::output::{Shape, named, of_returned_future};
use crate::plan::Plan;

impl Plan {
    // Input:
    //     future: async move { … }, in `async fn f() -> R`
    //
    // Output, the statement and the probe:
    //     let future = async move { … };
    //     rt::Probe::<R>::NEW
    //
    // Input:
    //     future: async move { … }, in `async fn f() -> impl Trait`
    //
    // Output, the statement and the probe:
    //     let (future, probe) = rt::probe(async move { … });
    //     probe
    pub(super) fn future_and_probe(&self, future: &TokenStream) -> (TokenStream, TokenStream) {
        let runtime = &self.runtime;
        match named(&self.function.sig.output) {
            Some(output) => (
                quote_spanned!(Span::mixed_site()=> let future = #future;),
                quote_spanned!(Span::mixed_site()=> #runtime::Probe::<#output>::NEW),
            ),
            None => {
                let probed = self.probe(future);
                (
                    quote_spanned!(Span::mixed_site()=> let (future, probe) = #probed;),
                    quote_spanned!(Span::mixed_site()=> probe),
                )
            }
        }
    }

    // Input:
    //     future, in `fn f() -> impl Future<Output = R>`
    //
    // Output:
    //     rt::probe::<R, _>(future)
    //
    /// Returns an expression for the pair of the future and the probe of its output.
    pub(super) fn probe(&self, future: &TokenStream) -> TokenStream {
        let runtime = &self.runtime;
        // In a function that returns a future, the compiler cannot infer the output type
        // of an async block from the signature. The type parameter of the probe states
        // it.
        let output = match self.shape {
            Shape::Plain | Shape::AsyncFn => None,
            Shape::ImplFuture | Shape::BoxedFuture => of_returned_future(&self.function.sig.output),
        }
        .map(|output| quote!(::<#output, _>));
        quote_spanned!(Span::mixed_site()=> #runtime::probe #output(#future))
    }
}

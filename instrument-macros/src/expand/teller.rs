//! The teller, which reads the outcome from the return value.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use crate::output::returns_never;
use crate::plan::Plan;

impl Plan {
    // Input:
    //     #[instrumented]
    //     async fn f(id: u32) -> R { … }
    //
    // Output:
    //     rt::WithArguments::of(
    //         {
    //             let sides = probe.sides();
    //             (sides.0, sides.1.told(), sides.2.told())
    //         },
    //         rt::arguments!((); u32),
    //     )
    //
    // Input:
    //     #[instrumented(outcome = judge, handler)]
    //     async fn f(id: u32) -> R { … }
    //
    // Output:
    //     rt::by_function(probe, judge)
    //
    // `sides()` and `told()` are resolved by autoderef specialization: the type of the
    // probe decides which implementation the compiler finds.
    pub(super) fn teller(&self, probe: &TokenStream) -> TokenStream {
        let runtime = &self.runtime;
        let teller = match &self.outcome {
            Some(outcome) => {
                quote_spanned!(Span::mixed_site()=> #runtime::by_function(#probe, #outcome))
            }
            // There is no value to read, and `!` implements none of the traits on the
            // ladder.
            None if returns_never(&self.function.sig.output) => {
                quote_spanned!(Span::mixed_site()=> #runtime::BY_NOTHING)
            }
            None => quote_spanned! {Span::mixed_site()=>
                {
                    let sides = #probe.sides();
                    (sides.0, sides.1.told(), sides.2.told())
                }
            },
        };
        self.handler.with_arguments(teller, runtime)
    }
}

//! The teller, which reads the outcome from the return value.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;
use syn::ReturnType;
use syn::spanned::Spanned;

use crate::output::{Shape, returns_never};
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
            None if self.shape == Shape::Plain => {
                // If the function returns a future, rustc shows the error at this method.
                let at_output = match &self.function.sig.output {
                    ReturnType::Type(_, ty) => Span::mixed_site().located_at(ty.span()),
                    ReturnType::Default => Span::mixed_site(),
                };
                let sides = Ident::new("sides", at_output);
                quote_spanned! {Span::mixed_site()=>
                    {
                        let sides = #runtime::ProbeOfPlain(#probe).#sides();
                        (sides.0, sides.1.told(), sides.2.told())
                    }
                }
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

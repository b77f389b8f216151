//! A future that is wrapped in the runtime's `Instrumented`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;

use crate::expand::call::CallExpr;
use crate::plan::Plan;
use crate::tokens::located_at;

impl Plan {
    // Input:
    //     future
    //
    // Output, the statement:
    //     let (body, probe) = /* future and its probe */;
    //
    // Output, the expression:
    //     rt::Instrumented::new(/* call site */, body, /* teller of `probe` */)
    //
    /// Wraps the future at the end of the function. Returns the statements that come
    /// before it, which include the statements of the call, and the expression.
    pub(super) fn wrapped_at_end(&self, future: &TokenStream) -> (TokenStream, TokenStream) {
        let (mut before, call) = self.call();
        let probed = self.probe(future);
        before.extend(quote_spanned! {Span::mixed_site()=>
            let (body, probe) = #probed;
        });
        (before, self.instrumented(&call))
    }

    // Input:
    //     future
    //
    // Output:
    //     match /* future and its probe */ {
    //         (body, probe) =>
    //             rt::Instrumented::new(/* call site */, body, /* teller of `probe` */)
    //     }
    //
    /// Wraps a future where it stands, in one expression that is valid anywhere in the
    /// body.
    pub(super) fn wrapped_in_place(&self, call: &CallExpr, future: &TokenStream) -> TokenStream {
        let probed = self.probe(future);
        let instrumented = self.instrumented(call);
        quote_spanned! {Span::mixed_site()=>
            match #probed { (body, probe) => #instrumented }
        }
    }

    /// Returns the expression that wraps the variable `body`. Uses the variable `probe`.
    fn instrumented(&self, call: &CallExpr) -> TokenStream {
        let (body, probe) = (
            quote_spanned!(Span::mixed_site()=> body),
            quote_spanned!(Span::mixed_site()=> probe),
        );
        let teller = self.teller(&probe);
        let at_body = Span::mixed_site().located_at(self.body.braces.join());
        let runtime = located_at(&self.runtime, at_body);
        let new = Ident::new(call.constructor(), at_body);
        let argument = call.argument();
        quote_spanned! {at_body=>
            #runtime::Instrumented::#new(#argument, #body, #teller)
        }
    }
}

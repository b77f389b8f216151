//! The body of an `async fn`.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::Signature;

use crate::captures::Captures;
use crate::expand::located_at;
use crate::plan::Plan;

impl Plan {
    // Input:
    //     async fn f(id: u32) -> R {
    //         g(id).await
    //     }
    //
    // Output:
    //     async fn f(id: u32) -> R {
    //         let mut call = rt::Call::unlabelled(/* the call site */);
    //         let future = async move { /* the capturing block */ };
    //         let teller = /* the teller of R */;
    //         let body = rt::pin!(future);
    //         rt::Running::new(&mut call, body, teller).await
    //     }
    pub(super) fn async_fn(&self, sig: &mut Signature) -> TokenStream {
        let captures = Captures::of(sig);
        let runtime = &self.runtime;
        let block = self.capturing_block(&captures);
        let allow = self.allow_on_future(&captures);
        let (mut before, call) = self.call();
        let call = call.into_call(runtime);
        let future = quote_spanned!(Span::mixed_site()=> async move #block);
        let (future, probe) = self.future_and_probe(&future);
        let teller = self.teller(&probe);
        // `future` remains a separate variable until the teller exists. rustc then proves
        // for each function separately that its future is `Freeze`, so a chain of calls
        // of any depth stays within `recursion_limit`.
        //
        // `call` is declared before `body`, so it is dropped after `body`. The
        // destructors of the body's variables are part of the call.
        before.extend(quote_spanned! {Span::mixed_site()=>
            let mut call = #call;
            #allow #future
            let teller = #teller;
            let body = #runtime::pin!(future);
        });
        // If the type of the value does not match the signature, rustc shows the error at
        // the body.
        let at_body = Span::mixed_site().located_at(self.body.braces.join());
        let runtime_at_body = located_at(runtime, at_body);
        quote_spanned! {at_body=>
            #before
            #runtime_at_body::Running::new(&mut call, body, teller).await
        }
    }
}

//! The body of an `async fn`.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::Signature;

use crate::captures::Captures;
use crate::plan::Plan;
use crate::tokens::located_at;

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
    //
    // With a label that awaits, the body evaluates the labels:
    //     async fn f(id: u32) -> R {
    //         let labels = &rt::AwaitedLabels::of(/* the call site */);
    //         let mut call = labels.call();
    //         let future = async move { /* the capturing block, with the labels */ };
    //         let teller = /* the teller of R */;
    //         let body = rt::pin!(future);
    //         rt::RunningWithLabels::new(labels, &mut call, body, teller).await
    //     }
    pub(super) fn async_fn(&self, sig: &mut Signature) -> TokenStream {
        let captures = Captures::of(sig);
        let runtime = &self.runtime;
        let labels = self.awaited_labels();
        let block = self.capturing_block(&captures, labels.as_ref());
        let allow = self.allow_on_future(&captures);
        let future = quote_spanned!(Span::mixed_site()=> async move #block);
        let (future, probe) = self.future_and_probe(&future);
        let teller = self.teller(&probe);
        let (call, running) = if labels.is_some() {
            self.call_awaiting_labels()
        } else {
            self.call_at_once()
        };
        // `future` remains a separate variable until the teller exists. rustc then proves
        // for each function separately that its future is `Freeze`, so a chain of calls
        // of any depth stays within `recursion_limit`.
        //
        // `call` is declared before `body`, so it is dropped after `body`. The
        // destructors of the body's variables are part of the call.
        let before = quote_spanned! {Span::mixed_site()=>
            #call
            #allow #future
            let teller = #teller;
            let body = #runtime::pin!(future);
        };
        quote_spanned! {self.at_body()=>
            #before
            #running.await
        }
    }

    /// Returns the statements that create the call, and the future to await.
    fn call_at_once(&self) -> (TokenStream, TokenStream) {
        let (mut before, call) = self.call();
        let call = call.into_call(&self.runtime);
        before.extend(quote_spanned!(Span::mixed_site()=> let mut call = #call;));
        let runtime = located_at(&self.runtime, self.at_body());
        let running = quote_spanned! {self.at_body()=>
            #runtime::Running::new(&mut call, body, teller)
        };
        (before, running)
    }

    /// The same, for a body that evaluates the labels.
    fn call_awaiting_labels(&self) -> (TokenStream, TokenStream) {
        let runtime = &self.runtime;
        let site = self.call_site();
        let carried = self.handler.carried(runtime);
        let before = quote_spanned! {Span::mixed_site()=>
            #carried
            let labels = &#runtime::AwaitedLabels::of(#site);
            let mut call = labels.call();
        };
        let runtime = located_at(runtime, self.at_body());
        let running = quote_spanned! {self.at_body()=>
            #runtime::RunningWithLabels::new(labels, &mut call, body, teller)
        };
        (before, running)
    }

    /// Returns the location of the body. If the type of the value does not match the
    /// signature, rustc shows the error there.
    pub(super) fn at_body(&self) -> Span {
        Span::mixed_site().located_at(self.body.braces.join())
    }
}

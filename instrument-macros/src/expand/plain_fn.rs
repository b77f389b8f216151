//! The body of a function that is not async.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Lifetime, Signature};

use crate::captures::Captures;
use crate::leaves::Leaves;
use crate::output::{nameable, named, returns_closure, returns_never, returns_unit};
use crate::plan::Plan;
use crate::tokens::located_at;

impl Plan {
    /// Runs the body in a closure, or in place where a closure would change what the body
    /// means.
    pub(super) fn plain_fn(&self, sig: &mut Signature) -> TokenStream {
        let output = &sig.output;
        // rustc infers the signature of a closure from `impl Fn(…)` only if the closure is
        // the last expression of the function itself. The body of a function that never
        // returns needs no closure, because it has no `return`.
        let is_closure = returns_closure(output) && self.outcome.is_none();
        if is_closure || returns_never(output) {
            return self.guarded();
        }
        // A closure does not see the function's caller, and cannot be inlined into a
        // function with other target features.
        if self.may_have_attr("track_caller") || self.may_have_attr("target_feature") {
            if returns_unit(output) && self.outcome.is_none() {
                return self.guarded();
            }
            if let Some(in_place) = self.in_place(sig) {
                return in_place;
            }
        }
        self.in_closure(sig)
    }

    // Input:
    //     fn f(id: u32) -> R {
    //         g(id)?
    //     }
    //
    // Output:
    //     fn f(id: u32) -> R {
    //         rt::Call::run(
    //             rt::Call::unlabelled(/* the call site */),
    //             /* the teller of R */,
    //             move || -> R { /* the capturing block */ },
    //         )
    //     }
    //
    // If the return type contains `impl Trait`, the closure is a variable. An unreachable
    // `return` unifies its output with the return type, before method resolution examines
    // the output. Otherwise, `Vec::new()` as an `impl Extend<u16>` would become a `Vec<u8>`:
    //     let (body, probe) = rt::probe_fn(move || -> _ { /* the capturing block */ });
    //     if false {
    //         return rt::never_of(&probe);
    //     }
    //
    /// Runs the body in a closure, which keeps the meaning of `return` and `?`. The
    /// variables of the body and the arguments are dropped before the call ends.
    fn in_closure(&self, sig: &mut Signature) -> TokenStream {
        let mixed = Span::mixed_site();
        let captures = Captures::of(sig);
        let runtime = &self.runtime;
        let output = nameable(&sig.output, runtime);
        let block = self.capturing_block(&captures, None);
        let unused = captures
            .may_be_unread(&self.body.tokens)
            .then(|| quote!(unused_assignments,));
        let mut body = quote_spanned! {mixed=>
            #[allow(#unused clippy::type_complexity)]
            move || -> #output #block
        };
        let (mut before, call) = self.call();
        let call = call.into_call(runtime);
        let probe = named(&sig.output).map_or_else(
            || {
                before.extend(quote_spanned! {mixed=>
                    let (body, probe) = #runtime::probe_fn(#body);
                    if false {
                        return #runtime::never_of(&probe);
                    }
                });
                body = quote_spanned!(mixed=> body);
                quote_spanned!(mixed=> probe)
            },
            |output| quote_spanned!(mixed=> #runtime::Probe::<#output>::NEW),
        );
        let teller = self.teller(&probe);
        let runtime = located_at(runtime, self.at_body());
        let run = Ident::new("run", self.at_body());
        quote_spanned! {self.at_body()=>
            #before
            #runtime::Call::#run(#call, #teller, #body)
        }
    }

    // Input:
    //     fn f(id: u32) -> R {
    //         if id == 0 {
    //             return g();
    //         }
    //         h(id)
    //     }
    //
    // Output:
    //     fn f(id: u32) -> R {
    //         let entered = rt::Entered::of(
    //             rt::Call::unlabelled(/* the call site */),
    //             rt::Probe::<R>::NEW,
    //             /* the teller of R */,
    //         );
    //         let value: R = 'body: {
    //             if false {
    //                 break 'body rt::never();
    //             }
    //             if id == 0 {
    //                 break 'body g();
    //             }
    //             h(id)
    //         };
    //         entered.returned(&value);
    //         value
    //     }
    //
    // The unreachable `break` keeps rustc from reporting the statements after the block as
    // unreachable, if the body never ends.
    //
    // A `?` leaves the block by such a `break`, too.
    //
    // If the return type contains `impl Trait`, the teller is made from the value:
    //     let entered = rt::Opened::of(rt::Call::unlabelled(/* the call site */));
    //     let value: _ = 'body: { … };
    //     if false {
    //         return rt::never_like(&value);
    //     }
    //     let probe = rt::probe_of(&value);
    //     entered.returned(&value, /* the teller of `probe` */);
    //     value
    //
    /// Runs the body in place. Returns `None` if a `return` may be hidden in a macro.
    ///
    /// The variables of the body are dropped before the call ends, the arguments after it.
    fn in_place(&self, sig: &Signature) -> Option<TokenStream> {
        let mixed = Span::mixed_site();
        let runtime = &self.runtime;
        let leaves = Leaves::of(&self.body.tokens).filter(|leaves| !leaves.may_hide_break())?;
        let label = Lifetime::new("'body", mixed);
        let block = self.inner_block(leaves.breaking(&label, runtime));
        let (before, call) = self.call();
        let call = call.into_call(runtime);
        let (entered, output, end) = match named(&sig.output) {
            Some(output) => {
                let probe = quote_spanned!(mixed=> #runtime::Probe::<#output>::NEW);
                let teller = self.teller(&probe);
                (
                    quote_spanned!(mixed=> #runtime::Entered::of(#call, #probe, #teller)),
                    output,
                    quote_spanned!(mixed=> entered.returned(&value);),
                )
            }
            None => {
                let teller = self.teller(&quote_spanned!(mixed=> probe));
                (
                    quote_spanned!(mixed=> #runtime::Opened::of(#call)),
                    nameable(&sig.output, runtime),
                    quote_spanned! {mixed=>
                        if false {
                            return #runtime::never_like(&value);
                        }
                        let probe = #runtime::probe_of(&value);
                        entered.returned(&value, &#teller);
                    },
                )
            }
        };
        // If the value does not live as long as the signature says, rustc shows the error
        // where the value is returned.
        let value = Ident::new("value", self.at_body());
        Some(quote_spanned! {mixed=>
            #before
            let entered = #entered;
            let value: #output = #label: {
                #[allow(unreachable_code)]
                if false {
                    break #label #runtime::never();
                }
                #block
            };
            #end
            #value
        })
    }

    // Input:
    //     fn f(id: u32) -> impl Fn(&str) -> bool {
    //         move |text| g(id, text)
    //     }
    //
    // Output:
    //     fn f(id: u32) -> impl Fn(&str) -> bool {
    //         let _guard = rt::Guard::of(rt::Call::unlabelled(/* the call site */));
    //         { move |text| g(id, text) }
    //     }
    //
    /// Runs the body in place, for a return type whose values all have the outcome `ok`.
    ///
    /// The variables of the body are dropped before the call ends, the arguments after it.
    fn guarded(&self) -> TokenStream {
        let runtime = &self.runtime;
        let (before, call) = self.call();
        let call = call.into_call(runtime);
        let block = self.inner_block(self.body.tokens.clone());
        quote_spanned! {Span::mixed_site()=>
            #before
            let _guard = #runtime::Guard::of(#call);
            #block
        }
    }
}

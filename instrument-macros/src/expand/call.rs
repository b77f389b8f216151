//! The call, and the values of its labels.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::labels::LabelExpr;
use crate::output::Shape;
use crate::plan::Plan;
use crate::tokens::may_await;

/// An expression from which the runtime makes its future.
pub(super) enum CallExpr {
    /// The call site, for a function without labels to evaluate.
    Site(TokenStream),
    /// A `Call` whose labels have been evaluated.
    Labelled(TokenStream),
}

impl CallExpr {
    /// Returns the constructor of `Instrumented` that takes the expression.
    pub(super) fn constructor(&self) -> &'static str {
        match self {
            Self::Site(_) => "new",
            Self::Labelled(_) => "labelled",
        }
    }

    /// Returns the constructor's first argument.
    pub(super) fn argument(&self) -> &TokenStream {
        match self {
            Self::Site(argument) | Self::Labelled(argument) => argument,
        }
    }

    /// Returns an expression of type `Call`.
    pub(super) fn into_call(self, runtime: &TokenStream) -> TokenStream {
        match self {
            Self::Site(site) => {
                quote_spanned!(Span::mixed_site()=> #runtime::Call::unlabelled(#site))
            }
            Self::Labelled(call) => call,
        }
    }
}

impl Plan {
    // Input:
    //     #[instrumented(labels(tenant = id))]
    //     async fn f(id: u32, request: Request) -> R { … }
    //
    // Output, the statements:
    //     let carried = rt::Argument(&request).carried();
    //     let call = /* the labelled call */;
    //
    // Output, the expression:
    //     call
    //
    // Without labels to evaluate there is no `call`, and the expression is the call site.
    //
    /// Returns the statements that look at the arguments before the body takes them, and
    /// the expression that the call is made from.
    pub(super) fn call(&self) -> (TokenStream, CallExpr) {
        let site = self.call_site();
        let carried = self.handler.carried(&self.runtime);
        let values = self.label_values();
        if values.is_empty() {
            return (carried, CallExpr::Site(site));
        }
        let call = self.call_with_labels(&site, &values);
        let before = quote_spanned! {Span::mixed_site()=>
            #carried
            let call = #call;
        };
        let call = quote_spanned!(Span::mixed_site()=> call);
        (before, CallExpr::Labelled(call))
    }

    /// Returns a reference to the value of each label that is not a literal.
    fn label_values(&self) -> Vec<TokenStream> {
        self.labels()
            .filter_map(|label| match &label.value {
                LabelExpr::Literal(_) => None,
                // An error about a value that is not `Display` points at the value.
                LabelExpr::Dynamic(expression) => {
                    Some(quote_spanned!(expression.span()=> &(#expression)))
                }
            })
            .collect()
    }

    // Input:
    //     labels(tenant = id)
    //
    // Output:
    //     rt::Labelling::of(/* the call site */).call(&[rt::shown(&(id))])
    fn call_with_labels(&self, site: &TokenStream, values: &[TokenStream]) -> TokenStream {
        let runtime = &self.runtime;
        let method = self.labelling_method();
        let shown = values.iter().map(|value| shown(runtime, value));
        quote_spanned! {Span::mixed_site()=>
            #runtime::Labelling::of(#site).#method(&[#(#shown),*])
        }
    }

    // Input:
    //     labels(tenant = id.get().await, shard = shard)
    //
    // Output:
    //     let evaluated = match (&(id.get().await), &(shard),) {
    //         (value0, value1,) => labels.evaluated(&[rt::shown(value0), rt::shown(value1)]),
    //     };
    //     evaluated.await;
    //
    // A `&dyn Display` that is held over the `.await` of another label would keep the
    // future from being `Send`. References to the values themselves do not.
    //
    /// Returns the statements that evaluate the labels at the start of the body, if a
    /// label may await.
    ///
    /// Their `labels` is the variable that `async_fn` declares.
    pub(super) fn awaited_labels(&self) -> Option<TokenStream> {
        let values = self.label_values();
        if !values.iter().any(|value| may_await(value.clone())) {
            return None;
        }
        let runtime = &self.runtime;
        let names: Vec<Ident> = values
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let span = Span::mixed_site().located_at(value.span());
                Ident::new(&format!("value{index}"), span)
            })
            .collect();
        let shown = names
            .iter()
            .map(|name| shown(runtime, &name.to_token_stream()));
        Some(quote_spanned! {Span::mixed_site()=>
            let evaluated = match (#(#values,)*) {
                (#(#names,)*) => labels.evaluated(&[#(#shown),*]),
            };
            evaluated.await;
        })
    }

    /// Returns the method of `Labelling` that makes the call. An `async fn` makes it in
    /// its first poll, and a plain function when it is called. A function that returns a
    /// future makes it ahead of a poll that may never come.
    fn labelling_method(&self) -> TokenStream {
        match self.shape {
            Shape::Plain | Shape::AsyncFn => quote!(call),
            Shape::ImplFuture | Shape::BoxedFuture => quote!(call_ahead),
        }
    }
}

/// Returns the value of a label as a `&dyn Display`. The error about a value that is not
/// `Display` points at the value.
fn shown(runtime: &TokenStream, value: &TokenStream) -> TokenStream {
    let span = Span::mixed_site().located_at(value.span());
    quote_spanned!(span=> #runtime::shown(#value))
}

//! Generates the code of one annotated function.
//!
//! | file | generates |
//! |---|---|
//! | `plain_fn.rs` | the body of a function that is not async |
//! | `async_fn.rs` | the body of an `async fn` |
//! | `returned.rs` | the body of a function that returns a future |
//! | `block.rs` | the user's body, in a block that captures every argument |
//! | `expectations.rs` | the `#[expect(…)]` attributes of a plain function |
//! | `call_site.rs` | the `static` that names the function and its labels |
//! | `call.rs` | the call, and the values of its labels |
//! | `probe.rs` | the probe, which carries the type of the return value |
//! | `teller.rs` | the teller, which reads the outcome from the return value |
//! | `wrap.rs` | a future that is wrapped in the runtime's `Instrumented` |
//!
//! In the comments that show an input and its output, `rt` stands for
//! `::instrument_runtime::__private`.
//!
//! The user's crate compiles every item and every function call in the expansion, so
//! there are as few as possible.
//!
//! The future of the body is pinned or moved right where it is created. It is never
//! moved after it has been borrowed: the compiler would then keep a second copy of it,
//! with all arguments, in the function's own future.

mod async_fn;
mod block;
mod call;
mod call_site;
mod expectations;
mod plain_fn;
mod probe;
mod returned;
mod teller;
mod wrap;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Attribute;

use crate::captures::Captures;
use crate::expand::expectations::without_silent_lints;
use crate::function::{Function, braced};
use crate::output::Shape;
use crate::plan::Plan;
use crate::tokens::mentions;

impl ToTokens for Plan {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Function {
            attrs,
            vis,
            defaultness,
            sig,
            ..
        } = &self.function;
        let inner_attrs = &self.body.inner_attrs;
        let mut sig = sig.clone();
        let expanded = match self.shape {
            Shape::Plain => self.plain_fn(&mut sig),
            Shape::AsyncFn => self.async_fn(&mut sig),
            Shape::ImplFuture | Shape::BoxedFuture => self.returned(&mut sig),
        };
        // `#[tracing::instrument]` puts the expansion into an async block of its own, so
        // every argument is captured a second time.
        let allow = (self.is_traced() && Captures::of(&mut sig).may_be_unread(&self.body.tokens))
            .then(|| quote!(#[allow(unused_assignments)]));
        let attrs = match self.shape {
            Shape::Plain => without_silent_lints(attrs),
            Shape::AsyncFn | Shape::ImplFuture | Shape::BoxedFuture => attrs.clone(),
        };
        tokens.extend(quote!(#allow #(#attrs)* #vis #defaultness #sig));
        braced(self.body.braces, quote!(#(#inner_attrs)* #expanded)).to_tokens(tokens);
    }
}

impl Plan {
    /// Whether `#[tracing::instrument]` will expand after this attribute.
    fn is_traced(&self) -> bool {
        self.has_attr("instrument")
    }

    /// Whether the function has an attribute of this name, under any path.
    fn has_attr(&self, name: &str) -> bool {
        self.function.attrs.iter().any(|attr| {
            let last = attr.path().segments.last();
            last.is_some_and(|last| last.ident == name)
        })
    }

    /// Whether the function has an attribute of this name, perhaps in a `#[cfg_attr(…)]`.
    fn may_have_attr(&self, name: &str) -> bool {
        let in_condition = |attr: &Attribute| {
            attr.path().is_ident("cfg_attr") && mentions(attr.meta.to_token_stream(), name)
        };
        self.has_attr(name) || self.function.attrs.iter().any(in_condition)
    }
}

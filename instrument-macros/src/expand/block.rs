//! The user's body, in a block that captures every argument as a whole.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};

use crate::captures::Captures;
use crate::function::braced;
use crate::output::Shape;
use crate::output::{nameable, returns_awaitable, returns_never};
use crate::plan::Plan;
use crate::tokens::is_punct;

impl Plan {
    // Input:
    //     { g(first, second).await }
    //
    // Output:
    //     {
    //         #[allow(unreachable_code, …)]
    //         if false {
    //             return rt::never::<R>();
    //             let _ = &second;
    //             let _ = &first;
    //         };
    //         { g(first, second).await }
    //     }
    //
    // Labels that await are evaluated between the two statements.
    pub(super) fn capturing_block(
        &self,
        captures: &Captures,
        labels: Option<&TokenStream>,
    ) -> TokenTree {
        let never_reached = self.never_reached(captures);
        let body = captures.without_false_warnings(&self.body.tokens);
        let reads = captures.extra_reads(&self.body.tokens);
        if never_reached.is_empty() && labels.is_none() {
            return braced(self.body.braces, body);
        }
        let body = self.inner_block(body);
        braced(
            self.body.braces,
            quote!(#never_reached #reads #labels #body),
        )
    }

    /// Returns the body as a block of its own. Items at the start of the body then come
    /// first in a block, as Clippy's `items_after_statements` demands.
    pub(super) fn inner_block(&self, body: TokenStream) -> TokenTree {
        let has_statements = body.clone().into_iter().any(|token| is_punct(&token, ";"));
        if has_statements {
            return braced(self.body.braces, body);
        }
        // Around a single expression rustc would report the braces as unnecessary
        // (`unused_braces`) if they came from the user.
        let mut body = Group::new(Delimiter::Brace, body);
        body.set_span(Span::mixed_site().located_at(self.body.braces.join()));
        body.into()
    }

    /// Returns the first statement of the block. The statement never runs. From it, the
    /// compiler infers which type the body returns and in which order the future captures
    /// the arguments.
    fn never_reached(&self, captures: &Captures) -> TokenStream {
        let runtime = &self.runtime;
        let captures = captures.in_reverse();
        let output = nameable(&self.function.sig.output, runtime);
        if captures.is_empty() && self.shape != Shape::AsyncFn {
            return TokenStream::new();
        }
        let allow = if captures.is_empty() {
            quote!(unreachable_code)
        } else {
            quote!(
                unreachable_code,
                unused_assignments,
                clippy::used_underscore_binding
            )
        };
        let diverges = returns_never(&self.function.sig.output)
            .then(|| quote!(, clippy::diverging_sub_expression));
        quote_spanned! {Span::mixed_site()=>
            #[allow(#allow #diverges)]
            if false {
                return #runtime::never::<#output>();
                #captures
            };
        }
    }

    /// Returns the lints to allow on the async block of an `async fn`.
    pub(super) fn allow_on_future(&self, captures: &Captures) -> Option<TokenStream> {
        // rustc already warns about the argument, so the capture must not cause a second
        // warning.
        let unused = captures
            .may_be_unread(&self.body.tokens)
            .then(|| quote!(unused_assignments,));
        // A function may return a value that can be awaited. If an async block returns
        // such a value, Clippy suspects a forgotten `.await`.
        let awaitable = returns_awaitable(&self.function.sig.output)
            .then(|| quote!(clippy::async_yields_async));
        (unused.is_some() || awaitable.is_some()).then(|| quote!(#[allow(#unused #awaitable)]))
    }
}

//! Checks one function and finds its labels, its `Shape` and whether it can be a handler.
//! A plan has passed all checks: its expansion (`expand`) cannot fail.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, LitStr};

use crate::args::{Args, Endpoint};
use crate::function::{Body, Function};
use crate::handler::Handler;
use crate::labels::Labels;
use crate::output::{self, Shape};
use crate::route;
use crate::tokens::mentions;

/// The decisions for one function.
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    /// `function`, or `Type::function` in an annotated `impl` block.
    pub(crate) name: String,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) method: Option<String>,
    /// Whether the function can be the handler of a request.
    pub(crate) handler: Handler,
    pub(crate) labels: Option<Labels>,
    pub(crate) outcome: Option<Expr>,
    pub(crate) runtime: TokenStream,
    pub(crate) function: Function,
    pub(crate) body: Body,
}

impl Plan {
    /// Checks the arguments against the function. `owner` is the type of the annotated
    /// `impl` block that the function is in.
    pub(crate) fn new(
        args: Args,
        mut function: Function,
        owner: Option<&str>,
    ) -> syn::Result<Self> {
        let shape = measurable(&function)?;
        let Some(body) = function.body.take() else {
            return Err(syn::Error::new(
                function.sig.ident.span(),
                format!(
                    "`{}` has no body to measure: put `#[instrumented]` on the methods that \
                     implement it",
                    function.sig.ident
                ),
            ));
        };
        if let (Some(span), None) = (args.skip, owner) {
            return Err(syn::Error::new(
                span,
                "`skip` applies only to a method in an annotated `impl` block: remove \
                 `#[instrumented]` from this function instead",
            ));
        }
        let name = function.sig.ident.unraw();
        let route = route::of(&function.attrs);
        let route_endpoint =
            |path: String| Endpoint::Literal(LitStr::new(&path, Span::call_site()));
        let endpoint = args
            .endpoint
            .map(|(_, endpoint)| endpoint)
            .or(route.endpoint.map(route_endpoint));
        let method = args
            .method
            .map(|(_, method)| method.value())
            .or(route.method);
        let is_path = match &endpoint {
            Some(Endpoint::Literal(path)) => path.value().starts_with('/'),
            Some(Endpoint::Constant(_)) | None => true,
        };
        let is_named = endpoint.is_some() && method.is_some();
        Ok(Self {
            handler: Handler::new(
                args.handler.map(|(_, is_handler)| is_handler),
                &function.sig,
                &body,
                is_path,
                is_named,
            ),
            shape,
            name: owner.map_or_else(|| name.to_string(), |owner| format!("{owner}::{name}")),
            endpoint,
            method,
            labels: args.labels.map(|(_, labels)| labels),
            outcome: args.outcome.map(|(_, outcome)| outcome),
            runtime: args.runtime.map_or_else(
                || quote!(::instrument_runtime::__private),
                |(_, path)| quote!(#path::__private),
            ),
            function,
            body,
        })
    }
}

/// Returns how the function is async, or an error if it is not.
fn measurable(function: &Function) -> syn::Result<Shape> {
    let sig = &function.sig;
    if let Some(constness) = sig.constness {
        return Err(syn::Error::new(
            constness.span(),
            format!(
                "`{}` is a `const fn`, which can run at compile time and is never async: \
                 remove `#[instrumented]`, or write `async fn {0}`",
                sig.ident
            ),
        ));
    }
    output::shape(sig).ok_or_else(|| {
        let body = function.body.as_ref();
        if body.is_some_and(|body| mentions(body.tokens.clone(), "block_on")) {
            return syn::Error::new(
                Span::call_site(),
                format!(
                    "`{name}` is no longer async: an attribute above this one, such as \
                     `#[tokio::main]`, has already expanded it; write `#[instrumented]` above that \
                     attribute, or move the body to a separate `async fn` and annotate that \
                     function",
                    name = sig.ident
                ),
            );
        }
        syn::Error::new(
            sig.fn_token.span(),
            format!(
                "`{name}` is not async, so `#[instrumented]` cannot measure it: write \
                 `async fn {name}`, or return `impl Future` or `Pin<Box<dyn Future>>`",
                name = sig.ident
            ),
        )
    })
}

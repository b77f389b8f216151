//! What is to be expanded: everything that can be wrong has been refused.

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

pub(crate) struct Plan {
    pub(crate) shape: Shape,
    /// `function`, or `Type::function` in an annotated `impl` block.
    pub(crate) name: String,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) method: Option<String>,
    /// Whether it can be a request's handler.
    pub(crate) handler: Handler,
    pub(crate) labels: Option<Labels>,
    pub(crate) outcome: Option<Expr>,
    pub(crate) runtime: TokenStream,
    pub(crate) function: Function,
    pub(crate) body: Body,
}

impl Plan {
    /// `owner` is the type of an annotated `impl` block.
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
                    "`{}` has no body to measure: put `#[instrumented]` on its implementations",
                    function.sig.ident
                ),
            ));
        };
        if let (Some(span), None) = (args.skip, owner) {
            return Err(syn::Error::new(
                span,
                "`skip` leaves a method of an annotated `impl` block out; a function is left \
                 out by not annotating it",
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

/// How the function is async; an error that says why it is not.
fn measurable(function: &Function) -> syn::Result<Shape> {
    let sig = &function.sig;
    if let Some(constness) = sig.constness {
        return Err(syn::Error::new(
            constness.span(),
            format!(
                "`{}` is a `const fn`, which runs at compile time and has no duration: \
                 `#[instrumented]` goes on an `async fn`",
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
                    "`{name}` is not async any more: an attribute above this one, such as \
                     `#[tokio::main]`, has already expanded it; write `#[instrumented]` above that \
                     attribute, or move the body to an `async fn` of its own and annotate that",
                    name = sig.ident
                ),
            );
        }
        syn::Error::new(
            sig.fn_token.span(),
            format!(
                "`{}` is not async: `#[instrumented]` goes on an `async fn`, or on a function \
                 that returns `impl Future` or `Pin<Box<dyn Future>>`; write `async fn {}`",
                sig.ident, sig.ident
            ),
        )
    })
}

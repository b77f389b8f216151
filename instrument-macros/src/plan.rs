//! Checks one function and finds its labels, its `Shape` and whether it can be a handler.
//! A plan has passed all checks: its expansion (`expand`) cannot fail.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, LitStr};

use crate::args::{Args, Endpoint, Objectives};
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
    /// `None` also for an empty list.
    pub(crate) objectives: Option<Objectives>,
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
        refuse_unmeasurable(&function)?;
        let shape = output::shape(&function.sig);
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
        if let (Some((span, objectives)), None) = (&args.objectives, owner)
            && objectives.each.is_empty()
        {
            return Err(syn::Error::new(
                *span,
                "the list of `objective` is empty: write `objective = CHECKOUT`, or leave \
                 `objective` out",
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
                shape,
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
            objectives: args
                .objectives
                .map(|(_, objectives)| objectives)
                .filter(|objectives| !objectives.each.is_empty()),
            runtime: args.runtime.map_or_else(
                || quote!(::instrument_runtime::__private),
                |(_, path)| quote!(#path::__private),
            ),
            function,
            body,
        })
    }
}

/// Refuses a `const fn`, because the calls that run at compile time could not be counted,
/// and a naked function, whose body can contain only assembly.
fn refuse_unmeasurable(function: &Function) -> syn::Result<()> {
    let name = &function.sig.ident;
    if let Some(constness) = function.sig.constness {
        return Err(syn::Error::new(
            constness.span(),
            format!(
                "`{name}` is a `const fn`, which can run at compile time, where no call can be \
                 counted: write `fn {name}`; or keep the `const fn`, and annotate a `fn` that \
                 calls it"
            ),
        ));
    }
    let naked = function.attrs.iter().find(|attr| {
        let is_unsafe = attr.path().is_ident("unsafe");
        is_unsafe && mentions(attr.meta.to_token_stream(), "naked")
    });
    if let Some(naked) = naked {
        return Err(syn::Error::new(
            naked.span(),
            format!(
                "`{name}` is a naked function, whose body can contain only assembly: annotate a \
                 `fn` that calls it"
            ),
        ));
    }
    Ok(())
}

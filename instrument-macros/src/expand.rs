//! One function's expansion.
//!
//! ```text
//! async fn f(arguments) -> R {
//!     let mut call = Call::unlabelled(&SITE);
//!     let body = pin!(async move { /* the body */ });
//!     Running::new(&mut call, body, /* the teller, by R */).await
//! }
//! ```
//!
//! Labels that are expressions are evaluated before, into a call. Every item and
//! every call of a function here is paid for by whoever compiles an annotated
//! function, so there are few.
//!
//! The body's future is pinned where it is made, or moved, but never moved after it
//! was borrowed: that would keep a second place for it, arguments and all, in the
//! function's future.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::Signature;
use syn::spanned::Spanned;

use crate::args::Endpoint;
use crate::body::{boxed_future, ends_in_async_block, is_async_block};
use crate::captures::Captures;
use crate::function::{Function, braced};
use crate::labels::{Label, LabelExpr};
use crate::leaves::{Leaf, Leaves};
use crate::output::{Shape, nameable, named, of_returned_future, returns_awaitable, returns_never};
use crate::plan::Plan;
use crate::tokens::{is_punct, mentions};

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
            Shape::AsyncFn => self.async_fn(&mut sig),
            Shape::ImplFuture | Shape::BoxedFuture => self.returned(&mut sig),
        };
        // `#[tracing::instrument]` captures what the expansion captures once more.
        let allow = (self.is_traced() && Captures::of(&mut sig).may_be_unread(&self.body.tokens))
            .then(|| quote!(#[allow(unused_assignments)]));
        tokens.extend(quote!(#allow #(#attrs)* #vis #defaultness #sig));
        braced(self.body.braces, quote!(#(#inner_attrs)* #expanded)).to_tokens(tokens);
    }
}

impl Plan {
    fn async_fn(&self, sig: &mut Signature) -> TokenStream {
        let captures = Captures::of(sig);
        let runtime = &self.runtime;
        let block = self.hinted_body(&captures);
        let allow = self.allow_on_block(&captures);
        let (mut before, Call(new, call)) = self.call();
        let call = match new {
            "labelled" => call,
            _ => quote_spanned!(Span::mixed_site()=> #runtime::Call::unlabelled(#call)),
        };
        let future = quote_spanned!(Span::mixed_site()=> async move #block);
        let (future, probe) = match named(&self.function.sig.output) {
            Some(output) => (
                quote_spanned!(Span::mixed_site()=> let future = #future;),
                quote_spanned!(Span::mixed_site()=> #runtime::Probe::<#output>::NEW),
            ),
            None => {
                let probed = self.probe(&future);
                (
                    quote_spanned!(Span::mixed_site()=> let (future, probe) = #probed;),
                    quote_spanned!(Span::mixed_site()=> probe),
                )
            }
        };
        let teller = self.teller(&probe);
        let at_body = Span::mixed_site().located_at(self.body.braces.join());
        let runtime_at_body = located_at(runtime, at_body);
        // The future is a variable of its own while the teller is made: rustc then
        // learns of each function alone that its future is `Freeze`, and the depth of
        // a chain of calls does not count. The call is dropped after the body, so that
        // what the body drops is part of it.
        before.extend(quote_spanned! {Span::mixed_site()=>
            let mut call = #call;
            #allow #future
            let teller = #teller;
            let body = #runtime::pin!(future);
        });
        // What does not fit the signature is the body's fault, and shown there.
        quote_spanned! {at_body=>
            #before
            #runtime_at_body::Running::new(&mut call, body, teller).await
        }
    }

    /// A function that returns a future: what it does before runs as it did,
    /// and what it returns is wrapped.
    fn returned(&self, sig: &mut Signature) -> TokenStream {
        let runtime = &self.runtime;
        let body = &self.body.tokens;
        if self.shape == Shape::ImplFuture && is_async_block(body) {
            let (before, instrumented) = self.as_written(self.instrumented(body));
            return quote!(#before #instrumented);
        }
        if let Some((pin, future)) = boxed_future(body)
            && self.shape == Shape::BoxedFuture
        {
            let (before, instrumented) = self.as_written(self.instrumented(&future));
            return quote!(#before #pin(#instrumented));
        }
        if let Some(leaves) = Leaves::of(body)
            && !self.is_traced()
        {
            // A closure would take the place of the caller, and a hidden `return` is
            // less likely than a question for the caller.
            let is_tracked = self.has_attr("track_caller");
            let is_seen = !leaves.may_hide_return();
            match self.shape {
                Shape::BoxedFuture if is_seen || is_tracked => return self.leaves(leaves),
                Shape::ImplFuture if is_seen && !leaves.has_return() => {
                    let (before, call) = self.call();
                    let block = self.as_block(body.clone());
                    let instrumented = self.probed(&call, &block.into());
                    return quote!(#before #instrumented);
                }
                Shape::ImplFuture if is_seen && is_tracked => return self.leaves(leaves),
                _ => {}
            }
        }
        let captures = Captures::of(sig);
        let output = nameable(&sig.output, runtime);
        let block = self.hinted_body(&captures);
        let unused = captures
            .may_be_unread(body)
            .then(|| quote!(unused_assignments,));
        let future = quote_spanned! {Span::mixed_site()=>
            #runtime::call_once(
                #[allow(#unused clippy::type_complexity)]
                move || -> #output #block
            )
        };
        let (before, instrumented) = self.as_written(self.instrumented(&future));
        match self.shape {
            Shape::BoxedFuture => {
                quote_spanned!(Span::mixed_site()=> #before #runtime::Box::pin(#instrumented))
            }
            _ => quote!(#before #instrumented),
        }
    }

    /// Each value that the function returns is wrapped where it stands. A future that it boxes itself is wrapped inside its box, so
    /// that there is no second box, and the compiler asks of the wrapped future what
    /// it asked of the future itself.
    fn leaves(&self, leaves: Leaves) -> TokenStream {
        let runtime = &self.runtime;
        let output = nameable(&self.function.sig.output, runtime);
        let (mut before, mut call) = self.call();
        if self.is_unlabelled() {
            // Several leaves share it.
            let site = call.1;
            before.extend(quote_spanned!(Span::mixed_site()=> let site = #site;));
            call.1 = quote_spanned!(Span::mixed_site()=> site);
        }
        let body = leaves.wrapped(&mut |leaf| match leaf {
            Leaf::Other(future) if self.shape == Shape::ImplFuture => self.probed(&call, &future),
            Leaf::BoxPin(pin, future) => {
                let instrumented = self.probed(&call, &future);
                quote!(#pin(#instrumented))
            }
            Leaf::Boxed(future, method) => {
                let instrumented = self.probed(&call, &future);
                quote_spanned!(Span::mixed_site()=> (#instrumented).#method())
            }
            Leaf::Other(expr) => {
                let future = quote_spanned! {Span::mixed_site()=>
                    #runtime::returned::<#output>(#expr)
                };
                let instrumented = self.probed(&call, &future);
                quote_spanned!(Span::mixed_site()=> #runtime::Box::pin(#instrumented))
            }
        });
        let body = self.as_block(body);
        quote!(#before #body)
    }

    /// The body as the user wrote it, in a block with what is never reached.
    fn hinted_body(&self, captures: &Captures) -> TokenTree {
        let hints = self.never_reached(captures);
        let body = captures.without_false_warnings(&self.body.tokens);
        let reads = captures.extra_reads(&self.body.tokens);
        if hints.is_empty() {
            return braced(self.body.braces, body);
        }
        let body = self.as_block(body);
        braced(self.body.braces, quote!(#hints #reads #body))
    }

    /// The body as a block of its own, in which items come first, if they did. The
    /// braces of a lone expression are not the user's: rustc would say that they are
    /// unnecessary.
    fn as_block(&self, body: TokenStream) -> TokenTree {
        let has_statements = body.clone().into_iter().any(|token| is_punct(&token, ";"));
        if has_statements {
            return braced(self.body.braces, body);
        }
        let mut body = Group::new(Delimiter::Brace, body);
        body.set_span(Span::mixed_site().located_at(self.body.braces.join()));
        body.into()
    }

    fn allow_on_block(&self, captures: &Captures) -> Option<TokenStream> {
        // That an argument is captured all the same would be a second remark.
        let unused = captures
            .may_be_unread(&self.body.tokens)
            .then(|| quote!(unused_assignments,));
        // A function may return what can be awaited; in a block it looks odd.
        let awaitable = returns_awaitable(&self.function.sig.output)
            .then(|| quote!(clippy::async_yields_async));
        (unused.is_some() || awaitable.is_some()).then(|| quote!(#[allow(#unused #awaitable)]))
    }

    /// `#[tracing::instrument]` below ours looks for an async block at the end of
    /// the function, and takes a function without one for a sync one. So there is one
    /// where there was one.
    fn as_written(
        &self,
        (before, instrumented): (TokenStream, TokenStream),
    ) -> (TokenStream, TokenStream) {
        if !self.is_traced() || !ends_in_async_block(&self.body.tokens) {
            return (before, instrumented);
        }
        let mixed = Span::mixed_site();
        (
            quote_spanned!(mixed=> #before let instrumented = #instrumented;),
            quote_spanned!(mixed=> async move { instrumented.await }),
        )
    }

    fn is_traced(&self) -> bool {
        self.has_attr("instrument")
    }

    /// Whether an attribute of this name is on the function, under any path.
    fn has_attr(&self, name: &str) -> bool {
        self.function.attrs.iter().any(|attr| {
            let last = attr.path().segments.last();
            last.is_some_and(|last| last.ident == name)
        })
    }

    /// The function's static.
    fn call_site(&self) -> TokenStream {
        let Self {
            runtime,
            name,
            endpoint,
            method,
            ..
        } = self;
        let is_known = endpoint.is_some() && method.is_some() && self.labels.is_none();
        let known = is_known
            .then(|| quote_spanned!(Span::mixed_site()=> #runtime::submit!(#runtime::Known(&__CALL_SITE));));
        let role = self.handler.on_call_site();
        let method = method.as_deref().unwrap_or_default();
        let new = match endpoint {
            Some(Endpoint::Literal(endpoint)) => quote!(of_endpoint(#endpoint, #method)),
            Some(Endpoint::Constant(endpoint)) => quote!(of_endpoint(#endpoint, #method)),
            None => quote!(of_function(#runtime::module_path!(), #name, #method)),
        };

        let (mut literal, mut names) = (Vec::new(), Vec::new());
        for Label { name, value } in self.labels() {
            match value {
                LabelExpr::Literal(value) => literal.push(quote!((#name, #value))),
                LabelExpr::Dynamic(_) => names.push(name),
            }
        }
        let labels = (!literal.is_empty() || !names.is_empty())
            .then(|| quote!(.labels(&[#(#literal),*], &[#(#names),*])));
        quote_spanned! {Span::mixed_site()=>
            {
                static __CALL_SITE: #runtime::CallSite = #runtime::CallSite::#new #role #labels;
                #known
                &__CALL_SITE
            }
        }
    }

    fn labels(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter().flat_map(|labels| &labels.0)
    }

    /// Whether no label has to be evaluated for a call.
    fn is_unlabelled(&self) -> bool {
        self.labels()
            .all(|label| matches!(label.value, LabelExpr::Literal(_)))
    }

    /// What a call is made from: the statements before, and the constructor of the
    /// runtime's future with its first argument.
    fn call(&self) -> (TokenStream, Call) {
        let runtime = &self.runtime;
        let site = self.call_site();
        let values: Vec<TokenStream> = self
            .labels()
            .filter_map(|label| match &label.value {
                LabelExpr::Literal(_) => None,
                // What is no `Display` is pointed at itself.
                LabelExpr::Dynamic(expression) => {
                    Some(quote_spanned!(expression.span()=> &(#expression)))
                }
            })
            .collect();
        // What the arguments say, before the body takes them.
        let carried = self.handler.carried(runtime);
        if values.is_empty() {
            return (carried, Call("new", site));
        }
        let new = match self.shape {
            Shape::AsyncFn => quote!(call),
            Shape::ImplFuture | Shape::BoxedFuture => quote!(call_ahead),
        };
        // Before the body takes the arguments.
        let call = if values.iter().any(|value| mentions(value.clone(), "await")) {
            // A `&dyn Display` that is held while another label is awaited would keep
            // the future from being `Send`. References to the values themselves do not.
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
            quote_spanned! {Span::mixed_site()=>
                #carried
                let call = match (#(#values,)*) {
                    (#(#names,)*) => #runtime::Labelling::of(#site).#new(&[#(#shown),*]),
                };
            }
        } else {
            let shown = values.iter().map(|value| shown(runtime, value));
            quote_spanned! {Span::mixed_site()=>
                #carried
                let call = #runtime::Labelling::of(#site).#new(&[#(#shown),*]);
            }
        };
        let name = quote_spanned!(Span::mixed_site()=> call);
        (call, Call("labelled", name))
    }

    /// `future` with the call around it, and the statements before.
    fn instrumented(&self, future: &TokenStream) -> (TokenStream, TokenStream) {
        let (mut before, call) = self.call();
        let probed = self.probe(future);
        before.extend(quote_spanned! {Span::mixed_site()=>
            let (body, probe) = #probed;
        });
        let (body, probe) = (
            quote_spanned!(Span::mixed_site()=> body),
            quote_spanned!(Span::mixed_site()=> probe),
        );
        (before, self.around(&call, &body, &probe))
    }

    /// The same in one expression, for one that may stand anywhere in the body.
    fn probed(&self, call: &Call, future: &TokenStream) -> TokenStream {
        let probed = self.probe(future);
        let (body, probe) = (
            quote_spanned!(Span::mixed_site()=> body),
            quote_spanned!(Span::mixed_site()=> probe),
        );
        let instrumented = self.around(call, &body, &probe);
        quote_spanned! {Span::mixed_site()=>
            match #probed { (body, probe) => #instrumented }
        }
    }

    /// A future beside the probe of its output.
    fn probe(&self, future: &TokenStream) -> TokenStream {
        let runtime = &self.runtime;
        // An async block is not told its type by the signature; the probe is.
        let output = match self.shape {
            Shape::AsyncFn => None,
            Shape::ImplFuture | Shape::BoxedFuture => of_returned_future(&self.function.sig.output),
        }
        .map(|output| quote!(::<#output, _>));
        quote_spanned!(Span::mixed_site()=> #runtime::probe #output(#future))
    }

    fn around(&self, call: &Call, body: &TokenStream, probe: &TokenStream) -> TokenStream {
        let runtime = &self.runtime;
        let teller = self.teller(probe);
        let at_body = Span::mixed_site().located_at(self.body.braces.join());
        let runtime = located_at(runtime, at_body);
        let Call(new, call) = call;
        let new = Ident::new(new, at_body);
        quote_spanned! {at_body=>
            #runtime::Instrumented::#new(#call, #body, #teller)
        }
    }

    /// What reads the outcome off the value that the body comes to.
    fn teller(&self, probe: &TokenStream) -> TokenStream {
        let runtime = &self.runtime;
        let teller = match &self.outcome {
            Some(outcome) => {
                quote_spanned!(Span::mixed_site()=> #runtime::by_function(#probe, #outcome))
            }
            // There is no value to read, and `!` satisfies no bound on stable.
            None if returns_never(&self.function.sig.output) => {
                quote_spanned!(Span::mixed_site()=> #runtime::BY_NOTHING)
            }
            None => quote_spanned! {Span::mixed_site()=>
                {
                    let sides = #probe.sides();
                    (sides.0, sides.1.told(), sides.2.told())
                }
            },
        };
        self.handler.around(teller, runtime)
    }

    /// Tells the compiler the type that the body returns, and the order in
    /// which its future takes the arguments.
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
}

/// A reference to a label's value as a `&dyn Display`. What is not `Display` is shown
/// at the value.
fn shown(runtime: &TokenStream, value: &TokenStream) -> TokenStream {
    let span = Span::mixed_site().located_at(value.span());
    quote_spanned!(span=> #runtime::shown(#value))
}

/// The name of a constructor of the runtime's future, and its first argument.
struct Call(&'static str, TokenStream);

/// The same tokens, which errors show elsewhere.
fn located_at(tokens: &TokenStream, span: Span) -> TokenStream {
    tokens
        .clone()
        .into_iter()
        .map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        })
        .collect()
}

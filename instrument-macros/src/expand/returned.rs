//! The body of a function that returns a future.
//!
//! The statements before the future run when the function is called, as they would
//! without the attribute. Only the future is wrapped.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Signature;

use crate::body::{boxed_future, ends_in_async_block, is_async_block};
use crate::captures::Captures;
use crate::expand::call::CallExpr;
use crate::leaves::{Leaf, Leaves};
use crate::output::{Shape, nameable};
use crate::plan::Plan;

impl Plan {
    /// Wraps the future in the first of four ways that suits the body. Each way suits
    /// more bodies than the one before, and adds more code.
    pub(super) fn returned(&self, sig: &mut Signature) -> TokenStream {
        self.async_block()
            .or_else(|| self.boxed_body())
            .or_else(|| self.visible_values())
            .unwrap_or_else(|| self.called_once(sig))
    }

    // Input:
    //     fn f() -> impl Future<Output = R> {
    //         async move { … }
    //     }
    //
    // Output:
    //     fn f() -> impl Future<Output = R> {
    //         let (body, probe) = rt::probe::<R, _>(async move { … });
    //         rt::Instrumented::new(/* call site */, body, /* teller */)
    //     }
    fn async_block(&self) -> Option<TokenStream> {
        let body = &self.body.tokens;
        if self.shape != Shape::ImplFuture || !is_async_block(body) {
            return None;
        }
        let (before, instrumented) = self.with_async_block(self.wrapped_at_end(body));
        Some(quote!(#before #instrumented))
    }

    // Input:
    //     fn f() -> Pin<Box<dyn Future<Output = R> + Send>> {
    //         Box::pin(async move { … })
    //     }
    //
    // Output:
    //     fn f() -> Pin<Box<dyn Future<Output = R> + Send>> {
    //         let (body, probe) = rt::probe::<R, _>(async move { … });
    //         Box::pin(rt::Instrumented::new(/* call site */, body, /* teller */))
    //     }
    fn boxed_body(&self) -> Option<TokenStream> {
        if self.shape != Shape::BoxedFuture {
            return None;
        }
        let (pin, future) = boxed_future(&self.body.tokens)?;
        let (before, instrumented) = self.with_async_block(self.wrapped_at_end(&future));
        Some(quote!(#before #pin(#instrumented)))
    }

    /// Wraps the values of a body in which every `return` is visible.
    ///
    /// `#[track_caller]` does not reach into a closure: a body in a closure would read
    /// the location of the expansion as its caller. A body that reads its caller is more
    /// likely than a macro that hides a `return`, so a tracked function that boxes its
    /// future is treated as if every `return` were visible.
    fn visible_values(&self) -> Option<TokenStream> {
        // `#[tracing::instrument]` needs an async block at the end of the function, which
        // only `with_async_block` creates.
        if self.is_traced() {
            return None;
        }
        let leaves = Leaves::of(&self.body.tokens)?;
        let is_tracked = self.has_attr("track_caller");
        let is_visible = !leaves.may_hide_return();
        match self.shape {
            Shape::BoxedFuture if is_visible || is_tracked => Some(self.each_value(leaves)),
            Shape::ImplFuture if is_visible && !leaves.has_return() => Some(self.only_value()),
            Shape::ImplFuture if is_visible && is_tracked => Some(self.each_value(leaves)),
            _ => None,
        }
    }

    // Input:
    //     fn f(id: u32) -> impl Future<Output = R> {
    //         let user = user(id);
    //         g(user)
    //     }
    //
    // Output:
    //     fn f(id: u32) -> impl Future<Output = R> {
    //         match rt::probe::<R, _>({ let user = user(id); g(user) }) {
    //             (body, probe) =>
    //                 rt::Instrumented::new(/* call site */, body, /* teller */)
    //         }
    //     }
    fn only_value(&self) -> TokenStream {
        let (before, call) = self.call();
        let block = self.inner_block(self.body.tokens.clone());
        let instrumented = self.wrapped_in_place(&call, &block.into());
        quote!(#before #instrumented)
    }

    // Input:
    //     fn f(id: u32) -> BoxFuture<'static, R> {
    //         if id == 0 {
    //             return none();
    //         }
    //         Box::pin(g(id))
    //     }
    //
    // Output, where `{ … }` wraps the future as in `only_value`:
    //     fn f(id: u32) -> BoxFuture<'static, R> {
    //         let site = /* call site */;
    //         {
    //             if id == 0 {
    //                 return rt::Box::pin(match rt::probe::<R, _>(
    //                     rt::returned::<BoxFuture<'static, R>>(none())
    //                 ) { … });
    //             }
    //             Box::pin(match rt::probe::<R, _>(g(id)) { … })
    //         }
    //     }
    fn each_value(&self, leaves: Leaves) -> TokenStream {
        let (mut before, mut call) = self.call();
        if let CallExpr::Site(site) = &mut call {
            // All values share the call site.
            before.extend(quote_spanned!(Span::mixed_site()=> let site = #site;));
            *site = quote_spanned!(Span::mixed_site()=> site);
        }
        let body = leaves.wrapped(&mut |leaf| self.value(leaf, &call));
        let body = self.inner_block(body);
        quote!(#before #body)
    }

    /// Wraps one value of the function. A future that the function boxes is wrapped
    /// inside its box. So there is no second box, and the bounds that the box puts on its
    /// content (such as `Send`) apply to the wrapped future.
    fn value(&self, leaf: Leaf, call: &CallExpr) -> TokenStream {
        match leaf {
            Leaf::Other(future) if self.shape == Shape::ImplFuture => {
                self.wrapped_in_place(call, &future)
            }
            Leaf::BoxPin(pin, future) => {
                let instrumented = self.wrapped_in_place(call, &future);
                quote!(#pin(#instrumented))
            }
            Leaf::Boxed(future, method) => {
                let instrumented = self.wrapped_in_place(call, &future);
                quote_spanned!(Span::mixed_site()=> (#instrumented).#method())
            }
            Leaf::Other(boxed) => {
                let runtime = &self.runtime;
                let output = nameable(&self.function.sig.output, runtime);
                let future = quote_spanned! {Span::mixed_site()=>
                    #runtime::returned::<#output>(#boxed)
                };
                let instrumented = self.wrapped_in_place(call, &future);
                quote_spanned!(Span::mixed_site()=> #runtime::Box::pin(#instrumented))
            }
        }
    }

    // Input:
    //     fn f(id: u32) -> BoxFuture<'static, R> {
    //         ensure!(id > 0);
    //         Box::pin(g(id))
    //     }
    //
    // Output:
    //     fn f(id: u32) -> BoxFuture<'static, R> {
    //         let (body, probe) = rt::probe::<R, _>(rt::call_once(
    //             #[allow(clippy::type_complexity)]
    //             move || -> BoxFuture<'static, R> { /* the capturing block */ }
    //         ));
    //         rt::Box::pin(rt::Instrumented::new(/* call site */, body, /* teller */))
    //     }
    fn called_once(&self, sig: &mut Signature) -> TokenStream {
        let runtime = &self.runtime;
        let captures = Captures::of(sig);
        let output = nameable(&sig.output, runtime);
        let block = self.capturing_block(&captures, None);
        let unused = captures
            .may_be_unread(&self.body.tokens)
            .then(|| quote!(unused_assignments,));
        let future = quote_spanned! {Span::mixed_site()=>
            #runtime::call_once(
                #[allow(#unused clippy::type_complexity)]
                move || -> #output #block
            )
        };
        let (before, instrumented) = self.with_async_block(self.wrapped_at_end(&future));
        match self.shape {
            Shape::BoxedFuture => {
                quote_spanned!(Span::mixed_site()=> #before #runtime::Box::pin(#instrumented))
            }
            Shape::ImplFuture | Shape::AsyncFn | Shape::Plain => quote!(#before #instrumented),
        }
    }

    // Input:
    //     #[tracing::instrument]
    //     fn f() -> impl Future<Output = R> {
    //         async move { … }
    //     }
    //
    // Output:
    //     #[tracing::instrument]
    //     fn f() -> impl Future<Output = R> {
    //         /* the statements */
    //         let instrumented = /* the wrapped future */;
    //         async move { instrumented.await }
    //     }
    //
    // `#[tracing::instrument]` expands after this attribute. It instruments an async
    // block at the end of the function, and treats any other function as synchronous. So
    // if the body ends in an async block, the expansion ends in an async block too.
    fn with_async_block(
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
}

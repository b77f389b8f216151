//! The `static` that names the function and its labels.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::args::{Endpoint, Objectives};
use crate::labels::{Label, LabelExpr};
use crate::plan::Plan;
use crate::tokens::located_at;

impl Plan {
    // Input:
    //     #[instrumented(labels(region = "eu", tenant = id))]
    //     async fn f(id: u32) -> R { … }
    //
    // Output:
    //     {
    //         static __CALL_SITE: rt::CallSite =
    //             rt::CallSite::of_function(rt::module_path!(), "f", "")
    //                 .labels(&[("region", "eu")], &["tenant"]);
    //         &__CALL_SITE
    //     }
    //
    // Input:
    //     #[instrumented(endpoint = "/users", method = "GET", handler)]
    //     async fn f() -> R { … }
    //
    // Output:
    //     {
    //         static __CALL_SITE: rt::CallSite =
    //             rt::CallSite::of_endpoint("/users", "GET").handler();
    //         rt::submit!(rt::Known(&__CALL_SITE));
    //         &__CALL_SITE
    //     }
    //
    // Input:
    //     #[instrumented(objective = [A, B])]
    //     async fn f() -> R { … }
    //
    // Output:
    //     {
    //         static __OBJECTIVES: [rt::Objective; 2] =
    //             rt::objectives([rt::objective(A), rt::objective(B)]);
    //         static __CALL_SITE: rt::CallSite =
    //             rt::CallSite::of_function(rt::module_path!(), "f", "")
    //                 .must_meet(&__OBJECTIVES);
    //         rt::submit!(rt::Known(&__CALL_SITE));
    //         &__CALL_SITE
    //     }
    pub(super) fn call_site(&self) -> TokenStream {
        let runtime = &self.runtime;
        // Without labels of its own, a function whose endpoint and method were given has
        // its series on the page, with the value 0, before the first call. Objectives are on
        // the page before the first call, too.
        let is_known = self.endpoint.is_some() && self.method.is_some() && self.labels.is_none();
        let has_objectives = self.objectives.is_some();
        let known = (is_known || has_objectives)
            .then(|| quote_spanned!(Span::mixed_site()=> #runtime::submit!(#runtime::Known(&__CALL_SITE));));
        let new = self.call_site_constructor();
        let role = self.handler.on_call_site();
        let labels = self.call_site_labels();
        let objectives = self.objectives();
        let must_meet = has_objectives.then(|| quote!(.must_meet(&__OBJECTIVES)));
        quote_spanned! {Span::mixed_site()=>
            {
                #objectives
                static __CALL_SITE: #runtime::CallSite =
                    #runtime::CallSite::#new #role #labels #must_meet;
                #known
                &__CALL_SITE
            }
        }
    }

    /// Returns the `static` with the objectives. rustc shows the error at the objective if
    /// it is invalid, and at the list if two objectives have the same name.
    fn objectives(&self) -> Option<TokenStream> {
        let runtime = &self.runtime;
        let Objectives { span, each } = self.objectives.as_ref()?;
        let count = each.len();
        let call = |name: &str, span: Span| {
            let span = Span::mixed_site().located_at(span);
            let (runtime, name) = (located_at(runtime, span), Ident::new(name, span));
            quote_spanned!(span=> #runtime::#name)
        };
        let each = each.iter().map(|objective| {
            let checked = call("objective", objective.span());
            quote_spanned!(objective.span()=> #checked(#objective))
        });
        let checked = call("objectives", *span);
        let all = quote_spanned!(*span=> #checked([#(#each),*]));
        Some(quote_spanned! {Span::mixed_site()=>
            static __OBJECTIVES: [#runtime::Objective; #count] = #all;
        })
    }

    fn call_site_constructor(&self) -> TokenStream {
        let Self { runtime, name, .. } = self;
        let method = self.method.as_deref().unwrap_or_default();
        match &self.endpoint {
            Some(Endpoint::Literal(endpoint)) => quote!(of_endpoint(#endpoint, #method)),
            Some(Endpoint::Constant(endpoint)) => quote!(of_endpoint(#endpoint, #method)),
            None => quote!(of_function(#runtime::module_path!(), #name, #method)),
        }
    }

    fn call_site_labels(&self) -> Option<TokenStream> {
        let (mut literal, mut names) = (Vec::new(), Vec::new());
        for Label { name, value } in self.labels() {
            match value {
                LabelExpr::Literal(value) => literal.push(quote!((#name, #value))),
                LabelExpr::Dynamic(_) => names.push(name),
            }
        }
        (!literal.is_empty() || !names.is_empty())
            .then(|| quote!(.labels(&[#(#literal),*], &[#(#names),*])))
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter().flat_map(|labels| &labels.0)
    }
}

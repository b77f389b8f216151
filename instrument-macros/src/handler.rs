//! Whether a function can be a request's handler, as far as its attribute and its
//! signature say it. What is left open the runtime asks of the types and, when the
//! function is called, of the request.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::visit_mut::VisitMut;
use syn::{
    FnArg, GenericArgument, Ident, Lifetime, Pat, PatIdent, PatType, PathArguments, Signature,
    Type, TypeImplTrait, TypeInfer, TypeReference,
};

use crate::function::{Body, is_cfg};
use crate::output::last_name;
use crate::tokens::may_use;

/// What the function's static is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The types and the request decide.
    Open,
    /// No framework can call it, so only its names can make it a handler.
    Helper,
    /// `handler`
    Handler,
    /// `handler = false`, and middleware.
    Never,
}

pub(crate) struct Handler {
    role: Role,
    types: ArgumentTypes,
    /// An argument that may be the request itself.
    request: Option<Ident>,
}

/// Of the arguments.
enum ArgumentTypes {
    /// Nothing depends on them, or there are none.
    NotAsked,
    CannotBeAsked,
    Asked(Vec<Type>),
}

impl Handler {
    /// `said` is the attribute's argument; `is_path`: the endpoint, if there is one,
    /// is a path; `is_named`: there are both a method and an endpoint.
    pub(crate) fn new(
        said: Option<bool>,
        sig: &Signature,
        body: &Body,
        is_path: bool,
        is_named: bool,
    ) -> Self {
        let role = match said {
            Some(true) => Role::Handler,
            Some(false) => Role::Never,
            None if takes_next(sig) => Role::Never,
            // An endpoint that is no path names a function.
            None if !is_path || !takes_requests(sig) => Role::Helper,
            None => Role::Open,
        };
        let request = matches!(role, Role::Open | Role::Helper)
            .then(|| request(sig, &body.tokens))
            .flatten();
        let is_asked = role == Role::Open && (!is_named || request.is_some());
        Self {
            role,
            types: match types(sig) {
                _ if !is_asked || sig.inputs.is_empty() => ArgumentTypes::NotAsked,
                Some(types) => ArgumentTypes::Asked(types),
                None => ArgumentTypes::CannotBeAsked,
            },
            request,
        }
    }

    /// The call on the function's static.
    pub(crate) fn on_call_site(&self) -> Option<TokenStream> {
        match self.role {
            Role::Open => None,
            Role::Helper => Some(quote!(.helper())),
            Role::Handler => Some(quote!(.handler())),
            Role::Never => Some(quote!(.never_a_handler())),
        }
    }

    /// The statement that looks for the request among the arguments.
    pub(crate) fn carried(&self, runtime: &TokenStream) -> TokenStream {
        let Some(request) = &self.request else {
            return TokenStream::new();
        };
        quote_spanned! {Span::mixed_site()=>
            #[allow(clippy::used_underscore_binding)]
            let carried = #runtime::Argument(&#request).carried();
        }
    }

    /// The teller with what the arguments say. It stands after
    /// [`carried`](Self::carried).
    pub(crate) fn with_arguments(&self, teller: TokenStream, runtime: &TokenStream) -> TokenStream {
        let mixed = Span::mixed_site();
        let arguments = match &self.types {
            // Nothing can be inferred from them, nor from the request.
            ArgumentTypes::NotAsked if self.request.is_none() => return teller,
            ArgumentTypes::NotAsked | ArgumentTypes::CannotBeAsked => {
                quote_spanned!(mixed=> #runtime::Unknown)
            }
            ArgumentTypes::Asked(types) => {
                let state = types.iter().find_map(state_of);
                let state = state.map_or_else(|| quote!(()), ToTokens::to_token_stream);
                quote_spanned!(mixed=> #runtime::arguments!(#state; #(#types),*))
            }
        };
        let teller = quote_spanned!(mixed=> #runtime::WithArguments::of(#teller, #arguments));
        match &self.request {
            None => teller,
            Some(_) => quote_spanned!(mixed=> #teller.carrying(carried)),
        }
    }
}

/// Whether a framework can call it: what it extracts from a request is owned.
fn takes_requests(sig: &Signature) -> bool {
    sig.inputs.iter().all(|input| match input {
        FnArg::Receiver(_) => false,
        FnArg::Typed(arg) => !matches!(
            *arg.ty,
            Type::Reference(_) | Type::Ptr(_) | Type::ImplTrait(_)
        ),
    })
}

/// The `Next` of axum's and actix-web's middleware.
fn takes_next(sig: &Signature) -> bool {
    typed(sig).any(|arg| last_name(&arg.ty).is_some_and(|name| name == "Next"))
}

fn typed(sig: &Signature) -> impl Iterator<Item = &PatType> {
    sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(arg) => Some(arg),
        FnArg::Receiver(_) => None,
    })
}

/// The arguments' types. `None` if one cannot be written again in the body, or is
/// not always there.
fn types(sig: &Signature) -> Option<Vec<Type>> {
    typed(sig)
        .map(|arg| {
            let mut ty = (*arg.ty).clone();
            let mut written = CanBeWritten(true);
            // It changes nothing; `syn` has one visitor less to compile.
            written.visit_type_mut(&mut ty);
            (written.0 && !is_conditional(arg)).then_some(ty)
        })
        .collect()
}

fn is_conditional(arg: &PatType) -> bool {
    arg.attrs.iter().any(is_cfg)
}

/// Bounds of `'static` behind a type that borrows would be errors in the body, and
/// what borrows is not extracted.
struct CanBeWritten(bool);

impl VisitMut for CanBeWritten {
    fn visit_lifetime_mut(&mut self, _lifetime: &mut Lifetime) {
        self.0 = false;
    }

    fn visit_type_reference_mut(&mut self, _reference: &mut TypeReference) {
        self.0 = false;
    }

    fn visit_type_impl_trait_mut(&mut self, _ty: &mut TypeImplTrait) {
        self.0 = false;
    }

    fn visit_type_infer_mut(&mut self, _ty: &mut TypeInfer) {
        self.0 = false;
    }
}

/// The `X` of a `State<X>`.
fn state_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else {
        return None;
    };
    let last = path
        .path
        .segments
        .last()
        .filter(|last| last.ident == "State")?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
        }
        _ => None,
    }
}

/// An owned argument whose type is called as a request's or as what holds a
/// request's extensions. To look at it is a use, so an argument that the compiler
/// is to call unused is left alone.
fn request(sig: &Signature, body: &TokenStream) -> Option<Ident> {
    typed(sig).find_map(|arg| {
        let name = last_name(&arg.ty)?;
        let Pat::Ident(PatIdent {
            by_ref: None,
            ident,
            subpat: None,
            ..
        }) = &*arg.pat
        else {
            return None;
        };
        let is_request = ["Request", "Extensions", "Parts"]
            .iter()
            .any(|of| name == of);
        let text = ident.to_string();
        let is_used = text.starts_with('_') || may_use(body.clone(), &text);
        (is_request && is_used && !is_conditional(arg)).then(|| ident.clone())
    })
}

//! Decides from the attribute and the signature whether a function can be the handler of
//! a request. If the attribute and the signature do not decide, the runtime examines the
//! types of the arguments and, when the function is called, the request.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::visit_mut::VisitMut;
use syn::{
    FnArg, GenericArgument, Ident, Lifetime, Pat, PatIdent, PatType, PathArguments, Signature,
    Type, TypeImplTrait, TypeInfer, TypeReference,
};

use crate::function::{Body, is_cfg};
use crate::output::{Shape, last_name};
use crate::tokens::may_use;

/// Whether the function can be a handler. The call site in the expansion states the role.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The types of the arguments and the request decide.
    Open,
    /// No framework but tonic can call the function, or its endpoint is not a path. The
    /// function is the handler of a request that has the same method and endpoint. On
    /// tonic, evidence counts too.
    Helper,
    /// `handler` is among the arguments of the attribute.
    Handler,
    /// `handler = false` is among the arguments of the attribute, or the function is
    /// middleware.
    Never,
}

/// The parts of the expansion with which the runtime decides whether the function is a
/// handler.
pub(crate) struct Handler {
    role: Role,
    types: ArgumentTypes,
    /// The argument that may be the request itself.
    request: Option<Ident>,
}

/// The types of the function's arguments, as far as they are in the expansion.
enum ArgumentTypes {
    /// The expansion contains no types, because the decision does not depend on them or
    /// because there are no arguments.
    NotAsked,
    /// The expansion says that the types are unknown, because one type cannot be repeated
    /// in the body.
    CannotBeAsked,
    /// The expansion contains the types. The runtime finds out whether each is an
    /// extractor.
    Asked(Vec<Type>),
}

impl Handler {
    /// Decides which role the function has, and which evidence the expansion contains.
    ///
    /// `said` is the value of the argument `handler`. `shape` is the shape of the function:
    /// the frameworks with a layer call only functions that return a future. `is_path` is false if the endpoint
    /// is a literal that does not begin with `/`. `is_named` is true if the function has
    /// both a method and an endpoint.
    pub(crate) fn new(
        said: Option<bool>,
        sig: &Signature,
        shape: Shape,
        body: &Body,
        is_path: bool,
        is_named: bool,
    ) -> Self {
        let is_plain = shape == Shape::Plain;
        let role = match said {
            Some(true) => Role::Handler,
            Some(false) => Role::Never,
            None if takes_next(sig) => Role::Never,
            // An endpoint without a leading `/` names a function, not a route.
            None if !is_path || is_plain || !takes_requests(sig) => Role::Helper,
            None => Role::Open,
        };
        let request = (!is_plain && matches!(role, Role::Open | Role::Helper))
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

    /// Returns the method call on the `CallSite` that states the role.
    pub(crate) fn on_call_site(&self) -> Option<TokenStream> {
        match self.role {
            Role::Open => None,
            Role::Helper => Some(quote!(.helper())),
            Role::Handler => Some(quote!(.handler())),
            Role::Never => Some(quote!(.never_a_handler())),
        }
    }

    /// Returns the statement that looks up the layer's request in the request argument.
    /// It runs before the body moves the argument.
    pub(crate) fn carried(&self, runtime: &TokenStream) -> TokenStream {
        let Some(request) = &self.request else {
            return TokenStream::new();
        };
        quote_spanned! {Span::mixed_site()=>
            #[allow(clippy::used_underscore_binding)]
            let carried = #runtime::Argument(&#request).carried();
        }
    }

    /// Adds the evidence in the arguments to the teller. The returned expression is valid
    /// after the statement of [`carried`](Self::carried).
    pub(crate) fn with_arguments(&self, teller: TokenStream, runtime: &TokenStream) -> TokenStream {
        let mixed = Span::mixed_site();
        let arguments = match &self.types {
            // Neither the types nor a request argument decide anything.
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

/// Whether a framework can call the function. Frameworks extract the arguments from the
/// request and pass them by value.
fn takes_requests(sig: &Signature) -> bool {
    sig.inputs.iter().all(|input| match input {
        FnArg::Receiver(_) => false,
        FnArg::Typed(arg) => !matches!(
            *arg.ty,
            Type::Reference(_) | Type::Ptr(_) | Type::ImplTrait(_)
        ),
    })
}

/// Whether the function takes the `Next` of axum's or actix-web's middleware.
fn takes_next(sig: &Signature) -> bool {
    typed(sig).any(|arg| last_name(&arg.ty).is_some_and(|name| name == "Next"))
}

fn typed(sig: &Signature) -> impl Iterator<Item = &PatType> {
    sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(arg) => Some(arg),
        FnArg::Receiver(_) => None,
    })
}

/// Returns the types of the arguments, or `None` if one of them cannot be repeated in the
/// body or depends on a `#[cfg(…)]`.
fn types(sig: &Signature) -> Option<Vec<Type>> {
    typed(sig)
        .map(|arg| {
            let mut ty = (*arg.ty).clone();
            let mut written = CanBeWritten(true);
            // The visitor changes nothing. `VisitMut` saves the compile time of `syn`'s
            // feature `visit`: this crate needs `visit-mut` anyway.
            written.visit_type_mut(&mut ty);
            (written.0 && !is_conditional(arg)).then_some(ty)
        })
        .collect()
}

fn is_conditional(arg: &PatType) -> bool {
    arg.attrs.iter().any(is_cfg)
}

/// Whether a type can be repeated in the body.
///
/// A type that borrows cannot: it would not meet the `'static` bounds of the frameworks'
/// traits, and no extractor borrows. `impl Trait` and `_` cannot either, because they are
/// not allowed in the body.
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

/// Returns the `S` of a `State<S>`.
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

/// Returns the owned argument whose type has the name of a request or of a type that
/// holds the extensions of a request.
///
/// Reading the argument in the expansion is a use of it. So an argument that the body
/// does not use is not returned: rustc should report it as unused.
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

//! What a signature says about the value or the future that comes back.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit_mut::VisitMut;
use syn::{GenericArgument, PathArguments, ReturnType, Signature, Type, TypeParamBound, TypePath};

/// How a function is async.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    AsyncFn,
    /// `-> impl Future`
    ImplFuture,
    /// `-> Pin<Box<dyn Future>>`, by name or by an alias of the futures crates
    BoxedFuture,
}

pub(crate) fn shape(sig: &Signature) -> Option<Shape> {
    if sig.asyncness.is_some() {
        return Some(Shape::AsyncFn);
    }
    let ReturnType::Type(_, ty) = &sig.output else {
        return None;
    };
    match peel(ty) {
        Type::ImplTrait(ty) if has_future(&ty.bounds) => Some(Shape::ImplFuture),
        Type::Path(path) => is_boxed_future(path).then_some(Shape::BoxedFuture),
        _ => None,
    }
}

fn peel(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        }
    }
}

fn has_future<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>) -> bool {
    bounds.into_iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound
            .path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == "Future"),
        _ => false,
    })
}

fn is_boxed_future(path: &TypePath) -> bool {
    let Some(last) = path.path.segments.last() else {
        return false;
    };
    if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
        return true;
    }
    last.ident == "Pin"
        && argument(&last.arguments).is_some_and(|pinned| match pinned {
            Type::Path(boxed) => boxed.path.segments.last().is_some_and(|boxed| {
                boxed.ident == "Box"
                    && argument(&boxed.arguments).is_some_and(|inner| match inner {
                        Type::TraitObject(ty) => has_future(&ty.bounds),
                        Type::ImplTrait(ty) => has_future(&ty.bounds),
                        _ => false,
                    })
            }),
            _ => false,
        })
}

fn argument(arguments: &PathArguments) -> Option<&Type> {
    match arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(peel(ty)),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn returns_never(output: &ReturnType) -> bool {
    matches!(output, ReturnType::Type(_, ty) if matches!(peel(ty), Type::Never(_)))
}

/// The declared return type, where code in the body may write it: `impl Trait`
/// may not stand there and becomes `_`.
pub(crate) fn nameable(output: &ReturnType, runtime: &TokenStream) -> TokenStream {
    let ReturnType::Type(_, ty) = output else {
        return quote!(());
    };
    if returns_never(output) {
        // `!` is a type only as a function's return.
        return quote!(<fn() -> #ty as #runtime::Returns>::Output);
    }
    let mut ty = (**ty).clone();
    Erase.visit_type_mut(&mut ty);
    ty.into_token_stream()
}

struct Erase;

impl VisitMut for Erase {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        match ty {
            Type::ImplTrait(_) => *ty = syn::parse_quote!(_),
            _ => syn::visit_mut::visit_type_mut(self, ty),
        }
    }
}

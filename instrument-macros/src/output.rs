//! Reads the return type of a signature.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit_mut::VisitMut;
use syn::{
    GenericArgument, GenericParam, Ident, Lifetime, ParenthesizedGenericArguments, PathArguments,
    PathSegment, ReturnType, Signature, TraitBound, Type, TypeFnPtr, TypeParamBound, TypePath,
};

/// How a function is async, if it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The function is not async: a call ends when the function returns.
    Plain,
    AsyncFn,
    /// The function returns `impl Future`.
    ImplFuture,
    /// The function returns `Pin<Box<dyn Future>>`, spelled out or by an alias of the
    /// `futures` crate.
    BoxedFuture,
}

/// Returns the shape of the function, judging by its signature. A future that the return
/// type hides behind an alias is not recognized.
pub(crate) fn shape(sig: &Signature) -> Shape {
    if sig.asyncness.is_some() {
        return Shape::AsyncFn;
    }
    let ReturnType::Type(_, ty) = &sig.output else {
        return Shape::Plain;
    };
    match peel(ty) {
        Type::ImplTrait(ty) if has_future(&ty.bounds) => Shape::ImplFuture,
        Type::Path(path) if is_boxed_future(path) => Shape::BoxedFuture,
        _ => Shape::Plain,
    }
}

/// Removes the parentheses and invisible groups around a type.
fn peel(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        }
    }
}

/// Returns the last segment of a type's path: the `State` of `axum::extract::State<S>`.
pub(crate) fn last_name(ty: &Type) -> Option<&Ident> {
    match peel(ty) {
        Type::Path(path) => Some(&path.path.segments.last()?.ident),
        _ => None,
    }
}

fn has_future<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>) -> bool {
    future_bound(bounds).is_some()
}

/// Returns the `Future<Output = …>` among the bounds.
fn future_bound<'a>(
    bounds: impl IntoIterator<Item = &'a TypeParamBound>,
) -> Option<&'a PathSegment> {
    bounds.into_iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => bound
            .path
            .segments
            .last()
            .filter(|segment| segment.ident == "Future"),
        _ => None,
    })
}

fn is_boxed_future(path: &TypePath) -> bool {
    let Some(last) = path.path.segments.last() else {
        return false;
    };
    is_future_alias(last) || pinned_future(last).is_some()
}

fn is_future_alias(segment: &PathSegment) -> bool {
    segment.ident == "BoxFuture" || segment.ident == "LocalBoxFuture"
}

/// Returns the `Future<…>` of a `Pin<Box<dyn Future<…>>>` or `Pin<Box<impl Future<…>>>`.
fn pinned_future(pin: &PathSegment) -> Option<&PathSegment> {
    if pin.ident != "Pin" {
        return None;
    }
    let Type::Path(boxed) = argument(&pin.arguments)? else {
        return None;
    };
    let boxed = boxed.path.segments.last()?;
    if boxed.ident != "Box" {
        return None;
    }
    match argument(&boxed.arguments)? {
        Type::TraitObject(ty) => future_bound(&ty.bounds),
        Type::ImplTrait(ty) => future_bound(&ty.bounds),
        _ => None,
    }
}

/// Returns the output type of the future that a function returns, if the signature
/// contains it.
pub(crate) fn of_returned_future(output: &ReturnType) -> Option<TokenStream> {
    let ReturnType::Type(_, ty) = output else {
        return None;
    };
    let output = match peel(ty) {
        Type::ImplTrait(ty) => associated_output(future_bound(&ty.bounds)?)?,
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            if is_future_alias(last) {
                argument(&last.arguments)?
            } else {
                associated_output(pinned_future(last)?)?
            }
        }
        _ => return None,
    };
    if matches!(output, Type::Never(_)) {
        return None;
    }
    Some(without_lifetimes(erased(output).0).into_token_stream())
}

/// Returns the `T` of a `Future<Output = T>`.
fn associated_output(future: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &future.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(assoc) if assoc.ident == "Output" => Some(peel(&assoc.ty)),
        _ => None,
    })
}

/// Returns the first type among the generic arguments of a path.
fn argument(arguments: &PathArguments) -> Option<&Type> {
    match arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(peel(ty)),
                _ => None,
            })
        }
        _ => None,
    }
}

/// Whether the return type is `!`.
pub(crate) fn returns_never(output: &ReturnType) -> bool {
    matches!(output, ReturnType::Type(_, ty) if matches!(peel(ty), Type::Never(_)))
}

/// Whether the return type is `()`.
pub(crate) fn returns_unit(output: &ReturnType) -> bool {
    match output {
        ReturnType::Type(_, ty) => {
            matches!(peel(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
        }
        ReturnType::Default => true,
    }
}

/// Whether the return type is `impl Fn(…)`, `impl FnMut(…)` or `impl FnOnce(…)`.
pub(crate) fn returns_closure(output: &ReturnType) -> bool {
    let ReturnType::Type(_, ty) = output else {
        return false;
    };
    let Type::ImplTrait(ty) = peel(ty) else {
        return false;
    };
    ty.bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| {
            matches!(last.arguments, PathArguments::Parenthesized(_))
                && last.ident.to_string().starts_with("Fn")
        }),
        _ => false,
    })
}

/// Whether the return type itself looks like a future, judging by its name.
pub(crate) fn returns_awaitable(output: &ReturnType) -> bool {
    let ReturnType::Type(_, ty) = output else {
        return false;
    };
    match peel(ty) {
        Type::ImplTrait(ty) => has_future(&ty.bounds),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let name = last.ident.to_string();
            matches!(name.as_str(), "Pin" | "JoinHandle" | "Ready" | "Receiver")
                || name.ends_with("Future")
        }),
        _ => false,
    }
}

/// Returns the return type in a form that code in the body can contain. `impl Trait` is
/// not allowed there and becomes `_`.
pub(crate) fn nameable(output: &ReturnType, runtime: &TokenStream) -> TokenStream {
    match output {
        // On stable Rust, `!` is allowed only as the return type of a function or of a
        // function pointer.
        ReturnType::Type(_, ty) if returns_never(output) => {
            quote!(<fn() -> #ty as #runtime::Returns>::Output)
        }
        ReturnType::Type(_, ty) => erased(ty).0.into_token_stream(),
        ReturnType::Default => quote!(()),
    }
}

/// Returns the return type if code in the body can name all of it.
pub(crate) fn named(output: &ReturnType) -> Option<TokenStream> {
    match output {
        ReturnType::Type(..) if returns_never(output) => None,
        ReturnType::Type(_, ty) => match erased(ty) {
            (ty, false) => Some(without_lifetimes(ty).into_token_stream()),
            (_, true) => None,
        },
        ReturnType::Default => Some(quote!(())),
    }
}

/// Replaces each named lifetime except `'static` by `'_`, where the compiler can infer
/// it.
///
/// The expansion tests bounds on the type, and a bound must hold for the lifetimes of the
/// type too: a framework may implement its trait only for `&'static [u8; 32]`. With
/// inferred lifetimes, the test does not constrain the lifetimes of the function.
fn without_lifetimes(mut ty: Type) -> Type {
    Inferred::default().visit_type_mut(&mut ty);
    ty
}

/// A visitor that replaces named lifetimes.
#[derive(Default)]
struct Inferred {
    /// The lifetimes that an enclosing `for<'a>` binds. They keep their names.
    bound: Vec<Ident>,
}

impl VisitMut for Inferred {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" && !self.bound.contains(&lifetime.ident) {
            lifetime.ident = Ident::new("_", lifetime.ident.span());
        }
    }

    // In the arguments of `fn(…)` and `Fn(…)`, `'_` is a new lifetime instead of an
    // inferred one.
    fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}
    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut ParenthesizedGenericArguments) {
    }

    fn visit_trait_bound_mut(&mut self, bound: &mut TraitBound) {
        let outer = self.bound.len();
        if let Some(lifetimes) = &bound.lifetimes {
            self.bound
                .extend(lifetimes.lifetimes.iter().filter_map(|param| match param {
                    GenericParam::Lifetime(param) => Some(param.lifetime.ident.clone()),
                    _ => None,
                }));
        }
        self.visit_path_mut(&mut bound.path);
        self.bound.truncate(outer);
    }
}

/// Replaces each `impl Trait` in the type by `_`, and returns whether there was one.
fn erased(ty: &Type) -> (Type, bool) {
    let mut ty = ty.clone();
    let mut erase = Erase { has_erased: false };
    erase.visit_type_mut(&mut ty);
    (ty, erase.has_erased)
}

/// A visitor that replaces `impl Trait`.
struct Erase {
    has_erased: bool,
}

impl VisitMut for Erase {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        match ty {
            Type::ImplTrait(_) => {
                *ty = syn::parse_quote!(_);
                self.has_erased = true;
            }
            _ => syn::visit_mut::visit_type_mut(self, ty),
        }
    }
}

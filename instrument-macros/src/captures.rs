//! Which arguments the body's future captures, how, and in which order.
//!
//! Since edition 2021 an async block or a closure captures only the fields that
//! its body uses ([RFC 2229]). A `Copy` field of an argument would be copied, and
//! a change to the copy would be lost. And a function drops its arguments in
//! reverse, whether the body uses them or not, but a future drops its captures in
//! the order in which its body first uses them.
//!
//! Both are settled by unreachable statements that borrow each argument as a
//! whole, in reverse order. Unreachable code does not count as a use: the lint on
//! unused variables still fires.
//!
//! [RFC 2229]: https://rust-lang.github.io/rfcs/2229-capture-disjoint-fields.html

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::{Attribute, FnArg, Ident, Pat, PatIdent, Receiver, ReceiverKind, Signature, Type};

pub(crate) struct Captures {
    /// In the order of their declaration.
    bindings: Vec<Binding>,
}

struct Binding {
    cfgs: Vec<Attribute>,
    ident: Ident,
}

impl Captures {
    /// Gives a `_` argument a name, which cannot be captured without one.
    pub(crate) fn of(sig: &mut Signature) -> Self {
        let mut bindings = Vec::new();
        let mut wild = Vec::new();
        for (index, arg) in sig.inputs.iter_mut().enumerate() {
            match arg {
                FnArg::Receiver(receiver) => {
                    if owns(receiver) {
                        bindings.push(Binding {
                            cfgs: cfgs(&receiver.attrs),
                            ident: Ident::new("self", receiver.self_token.span),
                        });
                    }
                }
                FnArg::Typed(arg) if matches!(*arg.ty, Type::Reference(_) | Type::Ptr(_)) => {}
                FnArg::Typed(arg) => {
                    let cfgs = cfgs(&arg.attrs);
                    if let Pat::Wild(_) = *arg.pat {
                        let ident = Ident::new(&format!("__arg{index}"), Span::mixed_site());
                        wild.push((index, ident.clone()));
                        bindings.push(Binding { cfgs, ident });
                    } else {
                        let mut idents = Vec::new();
                        match &*arg.pat {
                            Pat::Ident(pat) if !names_type(&pat.ident, &arg.ty) => {
                                if pat.by_ref.is_none() {
                                    idents.push(pat.ident.clone());
                                }
                                if let Some((_, subpat)) = &pat.subpat {
                                    bound(subpat, &mut idents);
                                }
                            }
                            pat => bound(pat, &mut idents),
                        }
                        bindings.extend(idents.into_iter().map(|ident| Binding {
                            cfgs: cfgs.clone(),
                            ident,
                        }));
                    }
                }
            }
        }
        for (index, ident) in wild {
            if let FnArg::Typed(arg) = &mut sig.inputs[index] {
                *arg.pat = syn::parse_quote!(#ident);
            }
        }
        Self { bindings }
    }

    /// The statements that name them, for a place that is never reached.
    pub(crate) fn in_reverse(&self) -> TokenStream {
        self.bindings
            .iter()
            .rev()
            .map(|Binding { cfgs, ident }| {
                quote_spanned!(Span::mixed_site()=> #(#cfgs)* let _ = &#ident;)
            })
            .collect()
    }

    /// Whether the body leaves out one whose name does not begin with `_`. That
    /// it is captured all the same would be a second remark on the same thing.
    pub(crate) fn has_unused(&self, body: &TokenStream) -> bool {
        self.bindings.iter().any(|Binding { ident, .. }| {
            let name = ident.to_string();
            !name.starts_with('_') && !mentions(body.clone(), &name)
        })
    }
}

/// Whether the pattern of an argument is the unit struct that is its type.
fn names_type(ident: &Ident, ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == *ident),
        Type::Group(group) => names_type(ident, &group.elem),
        Type::Paren(paren) => names_type(ident, &paren.elem),
        _ => false,
    }
}

fn owns(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Value => true,
        ReceiverKind::Typed(_, ty) => !matches!(**ty, Type::Reference(_)),
        _ => false,
    }
}

fn cfgs(attrs: &[Attribute]) -> Vec<Attribute> {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("cfg"))
        .cloned()
        .collect()
}

fn bound(pat: &Pat, idents: &mut Vec<Ident>) {
    match pat {
        Pat::Ident(PatIdent {
            by_ref,
            mutability,
            ident,
            subpat,
            ..
        }) => {
            // A name in capitals is most likely a constant or a unit struct.
            let binds = mutability.is_some()
                || subpat.is_some()
                || !ident.to_string().starts_with(char::is_uppercase);
            if by_ref.is_none() && binds {
                idents.push(ident.clone());
            }
            if let Some((_, subpat)) = subpat {
                bound(subpat, idents);
            }
        }
        Pat::Paren(pat) => bound(&pat.pat, idents),
        Pat::Slice(pat) => pat.elems.iter().for_each(|pat| bound(pat, idents)),
        Pat::Struct(pat) => pat
            .fields
            .iter()
            .for_each(|field| bound(&field.pat, idents)),
        Pat::Tuple(pat) => pat.elems.iter().for_each(|pat| bound(pat, idents)),
        Pat::TupleStruct(pat) => pat.elems.iter().for_each(|pat| bound(pat, idents)),
        Pat::Type(pat) => bound(&pat.pat, idents),
        // All alternatives bind the same names.
        Pat::Or(pat) => pat.cases.iter().take(1).for_each(|pat| bound(pat, idents)),
        _ => {}
    }
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        // A format string's `{name}`.
        TokenTree::Literal(literal) => literal.to_token_stream().to_string().contains(name),
        TokenTree::Punct(_) => false,
    })
}

//! Controls which arguments the future of the body captures, and in which order.
//!
//! Two rules of Rust would change what an annotated function does:
//!
//! - Since edition 2021, an async block or a closure captures only the fields that its
//!   body uses ([RFC 2229]). It would copy a `Copy` field of an argument, and a change to
//!   the copy would be lost.
//! - A function drops its arguments in reverse order, whether its body uses them or not.
//!   A future drops its captures in the order in which its body first uses them.
//!
//! So the block begins with unreachable statements that borrow each argument as a whole,
//! in reverse order. Unreachable code does not count as a use: `unused_variables` still
//! fires.
//!
//! [RFC 2229]: https://rust-lang.github.io/rfcs/2229-capture-disjoint-fields.html

use proc_macro2::{Delimiter, Group, Spacing, Span, TokenStream, TokenTree};
use quote::quote_spanned;
use syn::{Attribute, FnArg, Ident, Pat, PatIdent, Receiver, ReceiverKind, Signature, Type};

use crate::function::is_cfg;
use crate::output::last_name;
use crate::tokens::{is_ident, is_punct, may_format};

/// The variables that the arguments of a function bind and that its future must own.
pub(crate) struct Captures {
    /// In the order of declaration.
    bindings: Vec<Binding>,
}

struct Binding {
    /// The `#[cfg(…)]` attributes of the argument.
    cfgs: Vec<Attribute>,
    ident: Ident,
}

impl Captures {
    /// Collects the variables that the arguments bind. Replaces each `_` pattern with a
    /// name, because an argument without a name cannot be captured.
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

    /// Returns the statements that borrow every variable, the last one first, for code
    /// that is never reached.
    pub(crate) fn in_reverse(&self) -> TokenStream {
        self.bindings
            .iter()
            .rev()
            .map(|Binding { cfgs, ident }| {
                quote_spanned!(Span::mixed_site()=> #(#cfgs)* let _ = &#ident;)
            })
            .collect()
    }

    /// Whether rustc's lint `unused_assignments` may warn about the capture of a
    /// variable: the body does not read the variable, or assigns to it.
    ///
    /// The expansion allows the lint in this case. rustc already reports an unread
    /// argument with another lint. An assignment that causes no warning in the plain
    /// function may cause one once the variable is captured.
    pub(crate) fn may_be_unread(&self, body: &TokenStream) -> bool {
        self.bindings.iter().any(|Binding { ident, .. }| {
            let name = ident.to_string();
            let uses = Uses::of(&name, body);
            (uses.assigns || !uses.reads && !uses.assigns_fields) && !name.starts_with('_')
        })
    }

    /// Returns statements that read each variable whose fields the body only assigns.
    /// rustc reports such a variable as unused once it is captured, even if its `Drop`
    /// reads the fields.
    pub(crate) fn extra_reads(&self, body: &TokenStream) -> TokenStream {
        self.bindings
            .iter()
            .filter(|Binding { ident, .. }| {
                let uses = Uses::of(&ident.to_string(), body);
                uses.assigns_fields && !uses.reads && !uses.assigns
            })
            .map(|Binding { cfgs, ident }| {
                quote_spanned!(Span::mixed_site()=> #(#cfgs)* let _ = &#ident;)
            })
            .collect()
    }

    /// Returns the body with each assignment to a field in a block that allows
    /// `unused_assignments`.
    ///
    /// An assigned field that the body does not read again may be read by the argument's
    /// `Drop`. rustc takes that into account for a local variable, but not for a captured
    /// variable.
    pub(crate) fn without_false_warnings(&self, body: &TokenStream) -> TokenStream {
        let names: Vec<String> = self
            .bindings
            .iter()
            .map(|Binding { ident, .. }| ident.to_string())
            .filter(|name| Uses::of(name, body).assigns_fields)
            .collect();
        if names.is_empty() {
            body.clone()
        } else {
            allow_field_assignments(body.clone(), &names)
        }
    }
}

/// Whether the pattern of an argument is a unit struct: it has the same name as the type.
fn names_type(ident: &Ident, ty: &Type) -> bool {
    last_name(ty).is_some_and(|name| name == ident)
}

/// Whether the method takes `self` by value or in a smart pointer.
fn owns(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Value => true,
        ReceiverKind::Typed(_, ty) => !matches!(**ty, Type::Reference(_)),
        _ => false,
    }
}

fn cfgs(attrs: &[Attribute]) -> Vec<Attribute> {
    attrs.iter().filter(|attr| is_cfg(attr)).cloned().collect()
}

/// Adds the variables that a pattern binds by value.
fn bound(pat: &Pat, idents: &mut Vec<Ident>) {
    match pat {
        Pat::Ident(PatIdent {
            by_ref,
            mutability,
            ident,
            subpat,
            ..
        }) => {
            // A name that begins with a capital letter is most likely a constant or a
            // unit struct.
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
        // All alternatives of an or-pattern bind the same names.
        Pat::Or(pat) => pat.cases.iter().take(1).for_each(|pat| bound(pat, idents)),
        _ => {}
    }
}

/// The ways in which a body uses one variable.
#[derive(Debug, Default, PartialEq, Eq)]
struct Uses {
    /// Any use but an assignment.
    reads: bool,
    /// `name = …`, or a compound assignment such as `name += …`.
    assigns: bool,
    /// `name.field = …`, or a compound assignment such as `name.field += …`.
    assigns_fields: bool,
}

impl Uses {
    fn of(name: &str, body: &TokenStream) -> Self {
        let mut uses = Self::default();
        uses.add(name, body.clone());
        uses
    }

    fn add(&mut self, name: &str, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(ident) if ident == name => match assigned_part(&tokens, index) {
                    Some(Assigned::Whole) => self.assigns = true,
                    Some(Assigned::Field) => self.assigns_fields = true,
                    None => self.reads = true,
                },
                TokenTree::Group(group) => self.add(name, group.stream()),
                token => self.reads |= may_format(token, name),
            }
        }
    }
}

/// The part of a variable that a statement assigns.
enum Assigned {
    Whole,
    Field,
}

/// Returns which part of the variable at `start` is assigned there, if a statement
/// `name = …` or `name.field.field = …` begins at `start`.
fn assigned_part(tokens: &[TokenTree], start: usize) -> Option<Assigned> {
    let is_start = match start.checked_sub(1).map(|before| &tokens[before]) {
        None => true,
        Some(TokenTree::Punct(punct)) => punct.as_char() == ';',
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
        Some(_) => false,
    };
    if !is_start {
        return None;
    }
    let mut rest = tokens[start + 1..].iter().peekable();
    let mut assigned = Assigned::Whole;
    while rest.next_if(|token| is_punct(token, ".")).is_some() {
        rest.next_if(|token| matches!(token, TokenTree::Ident(_) | TokenTree::Literal(_)))?;
        assigned = Assigned::Field;
    }
    let operator = rest.next()?;
    let is_assignment = if is_punct(operator, "=") {
        // Not `==` or `=>`.
        !matches!(operator, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint)
    } else if is_punct(operator, "+-*/%^&|") {
        rest.next().is_some_and(|token| is_punct(token, "="))
    } else if is_punct(operator, "<>") {
        let repeated = rest.next().map(ToString::to_string);
        repeated == Some(operator.to_string())
            && rest.next().is_some_and(|token| is_punct(token, "="))
    } else {
        false
    };
    is_assignment.then_some(assigned)
}

/// Puts each `name.field = …;` into a block that allows `unused_assignments`.
fn allow_field_assignments(tokens: TokenStream, names: &[String]) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut allowed = TokenStream::new();
    let mut index = 0;
    while index < tokens.len() {
        let is_named = names.iter().any(|name| is_ident(&tokens[index], name));
        if is_named && matches!(assigned_part(&tokens, index), Some(Assigned::Field)) {
            let rest = &tokens[index..];
            let length = rest
                .iter()
                .position(|token| is_punct(token, ";"))
                .map_or(rest.len(), |semicolon| semicolon + 1);
            let statement = allow_field_assignments_within(&rest[..length], names);
            allowed.extend(quote_spanned! {Span::mixed_site()=>
                #[allow(unused_assignments)] { #statement }
            });
            index += length;
        } else {
            allowed.extend(allow_field_assignments_within(
                &tokens[index..=index],
                names,
            ));
            index += 1;
        }
    }
    allowed
}

/// Calls [`allow_field_assignments`] for the content of each block among the tokens.
fn allow_field_assignments_within(tokens: &[TokenTree], names: &[String]) -> TokenStream {
    tokens
        .iter()
        .map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let content = allow_field_assignments(group.stream(), names);
                let mut allowed = Group::new(Delimiter::Brace, content);
                allowed.set_span(group.span());
                allowed.into()
            }
            other => other.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn a_use_is_a_read_or_an_assignment() {
        let uses = |body| {
            let Uses {
                reads,
                assigns,
                assigns_fields,
            } = Uses::of("t", &body);
            (reads, assigns, assigns_fields)
        };
        for (body, expected) in [
            (quote!(u = 1; u.t()), (true, false, false)),
            (quote!(t = 1), (false, true, false)),
            (quote!(t == 1), (true, false, false)),
            (
                quote!(if x {
                    t.n = 1;
                }),
                (false, false, true),
            ),
            (quote!(if x { } t.0.n <<= 1; t.0 += 1), (false, false, true)),
            (quote!(t.n(1); t.n < 1), (true, false, false)),
            (quote!(t += 1), (false, true, false)),
            (
                quote!(match t {
                    _ => t.n = 1,
                }),
                (true, false, false),
            ),
            (quote!(println!("{t}")), (true, false, false)),
        ] {
            assert_eq!(uses(body.clone()), expected, "{body}");
        }
    }

    #[test]
    fn an_assignment_to_a_field_gets_a_block() {
        let body = quote!(t.n = f({ t.m = 1; 2 }); loop { t.n += 1 } u.n = 1; t = 1; t.n);
        let names = ["t".to_owned()];
        let expected = quote! {
            #[allow(unused_assignments)] {
                t.n = f({ t.m = 1; 2 });
            }
            loop { #[allow(unused_assignments)] { t.n += 1 } }
            u.n = 1; t = 1; t.n
        };
        let allowed = allow_field_assignments(body, &names);
        assert_eq!(allowed.to_string(), expected.to_string());
    }
}

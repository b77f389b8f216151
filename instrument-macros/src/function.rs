//! Parses a function, and leaves its body as tokens. A body that is still being typed is
//! not valid syntax, but an editor needs the expansion of the function.

use proc_macro2::extra::DelimSpan;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Attribute, Signature, Token, Visibility};

/// A function or method.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) defaultness: Option<Token![default]>,
    pub(crate) sig: Signature,
    /// `None` if the function has a `;` instead of a body.
    pub(crate) body: Option<Body>,
}

/// The body of a function, without its inner attributes.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) braces: DelimSpan,
    pub(crate) inner_attrs: Vec<Attribute>,
    pub(crate) tokens: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            defaultness: input.parse()?,
            sig: input.parse()?,
            body: if input.peek(Token![;]) {
                input.parse::<Token![;]>()?;
                None
            } else {
                Some(input.parse()?)
            },
        })
    }
}

impl Parse for Body {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let (group, has_attrs) = input.step(|cursor| {
            let group = match (cursor.group(Delimiter::Brace), cursor.token_tree()) {
                (Some((content, ..)), Some((TokenTree::Group(group), rest))) => {
                    Some(((without_marks(group), content.punct().is_some()), rest))
                }
                _ => None,
            };
            group.ok_or_else(|| cursor.error("expected a function body"))
        })?;
        let (braces, tokens) = (group.delim_span(), group.stream());
        // Without inner attributes, `split` would only copy the body. Copies cost compile
        // time.
        if !has_attrs {
            return Ok(Self {
                braces,
                inner_attrs: Vec::new(),
                tokens,
            });
        }
        let split = |input: ParseStream<'_>| {
            Ok((
                Attribute::parse_inner(input)?,
                input.parse::<TokenStream>()?,
            ))
        };
        let (inner_attrs, tokens) = split.parse2(tokens)?;
        Ok(Self {
            braces,
            inner_attrs,
            tokens,
        })
    }
}

/// Unwraps a fragment `$body:block` of `macro_rules!`, which arrives in a group without
/// delimiters.
fn without_marks(group: Group) -> Group {
    if group.delimiter() != Delimiter::None {
        return group;
    }
    match group.stream().into_iter().next() {
        Some(TokenTree::Group(inner)) => without_marks(inner),
        _ => group,
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self {
            attrs,
            vis,
            defaultness,
            sig,
            body,
        } = self;
        tokens.extend(quote!(#(#attrs)* #vis #defaultness #sig));
        match body {
            Some(Body {
                braces,
                inner_attrs,
                tokens: body,
            }) => braced(*braces, quote!(#(#inner_attrs)* #body)).to_tokens(tokens),
            None => tokens.extend(quote!(;)),
        }
    }
}

/// Returns the tokens in braces. Errors about the whole block point at `braces`.
pub(crate) fn braced(braces: DelimSpan, tokens: TokenStream) -> TokenTree {
    let mut group = Group::new(Delimiter::Brace, tokens);
    group.set_span(braces.join());
    group.into()
}

/// Whether the attribute is a `#[cfg(…)]`.
pub(crate) fn is_cfg(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg")
}

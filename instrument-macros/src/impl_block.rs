//! An annotated `impl` block: every async method in it is measured under
//! `module::Type::method`.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, ImplItem, ItemImpl, Meta, Type};

use crate::args::Args;
use crate::function::Function;
use crate::output;
use crate::plan::Plan;

pub(crate) struct ImplBlock {
    /// From the attributes to the brace, to be written as it stands.
    header: TokenStream,
    owner: String,
    braces: Span,
    inner_attrs: Vec<Attribute>,
    items: Vec<Item>,
}

enum Item {
    Function(Box<Function>),
    Other(Box<ImplItem>),
}

impl Parse for ImplBlock {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut header: Vec<TokenTree> = input.parse::<TokenStream>()?.into_iter().collect();
        let body = match header.pop() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => group,
            _ => return Err(input.error("expected the braces of an `impl` block")),
        };
        let header: TokenStream = header.into_iter().collect();
        let emptied: ItemImpl = syn::parse2(quote!(#header {}))?;
        let (inner_attrs, items) = parse_items.parse2(body.stream())?;
        Ok(Self {
            header,
            owner: owner(&emptied.self_ty),
            braces: body.span(),
            inner_attrs,
            items,
        })
    }
}

fn parse_items(input: ParseStream<'_>) -> syn::Result<(Vec<Attribute>, Vec<Item>)> {
    let inner_attrs = Attribute::parse_inner(input)?;
    let mut items = Vec::new();
    while !input.is_empty() {
        items.push(if input.fork().parse::<Function>().is_ok() {
            Item::Function(input.parse()?)
        } else {
            Item::Other(input.parse()?)
        });
    }
    Ok((inner_attrs, items))
}

/// The name of the type, without its module and its generics.
fn owner(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map_or_else(String::new, |segment| segment.ident.unraw().to_string()),
        Type::Reference(reference) => owner(&reference.elem),
        Type::Group(group) => owner(&group.elem),
        Type::Paren(paren) => owner(&paren.elem),
        other => other.to_token_stream().to_string().replace(' ', ""),
    }
}

impl ImplBlock {
    /// The block as it stands, less what would expand once more.
    pub(crate) fn unmeasured(self) -> TokenStream {
        let mut content = TokenStream::new();
        content.append_all(&self.inner_attrs);
        for item in self.items {
            match item {
                Item::Function(mut function) => {
                    function.attrs.retain(|attr| !is_own(attr));
                    function.to_tokens(&mut content);
                }
                Item::Other(item) => item.to_tokens(&mut content),
            }
        }
        with_braces(&self.header, self.braces, content)
    }

    pub(crate) fn expand(self, args: &Args) -> syn::Result<TokenStream> {
        refuse_on_block(args)?;
        let mut content = TokenStream::new();
        content.append_all(&self.inner_attrs);
        let mut found_async = false;
        for item in self.items {
            match item {
                Item::Function(function) => {
                    let (function, own) = take_own(*function)?;
                    let own = match own {
                        Some(own) => own,
                        None if output::shape(&function.sig).is_some() => Args::default(),
                        None => {
                            function.to_tokens(&mut content);
                            continue;
                        }
                    };
                    found_async = true;
                    if own.skip.is_some() {
                        function.to_tokens(&mut content);
                    } else {
                        let args = own.or(args);
                        Plan::new(args, function, Some(&self.owner))?.to_tokens(&mut content);
                    }
                }
                Item::Other(item) => item.to_tokens(&mut content),
            }
        }
        if !found_async {
            return Err(syn::Error::new(
                Span::call_site(),
                format!(
                    "this `impl {}` has no async method to measure: take `#[instrumented]` away, \
                     or write `async fn`",
                    self.owner
                ),
            ));
        }
        Ok(with_braces(&self.header, self.braces, content))
    }
}

fn with_braces(header: &TokenStream, braces: Span, content: TokenStream) -> TokenStream {
    let mut group = Group::new(Delimiter::Brace, content);
    group.set_span(braces);
    quote!(#header #group)
}

/// On a block these would be the same for every method of it.
fn refuse_on_block(args: &Args) -> syn::Result<()> {
    let refused = [
        (
            args.endpoint.as_ref().map(|(span, _)| *span),
            "endpoint",
            " = \"…\"",
        ),
        (
            args.method.as_ref().map(|(span, _)| *span),
            "method",
            " = \"…\"",
        ),
        (
            args.outcome.as_ref().map(|(span, _)| *span),
            "outcome",
            " = …",
        ),
        (args.handler.map(|(span, _)| span), "handler", ""),
        (args.skip, "skip", ""),
    ];
    match refused
        .into_iter()
        .find_map(|(span, name, value)| Some((span?, name, value)))
    {
        Some((span, name, value)) => Err(syn::Error::new(
            span,
            format!(
                "`{name}` is about one method: put `#[instrumented({name}{value})]` on that; an \
                 `impl` block takes `labels` and `crate`"
            ),
        )),
        None => Ok(()),
    }
}

fn is_own(attr: &Attribute) -> bool {
    attr.path()
        .segments
        .last()
        .is_some_and(|segment| segment.ident == "instrumented")
}

/// Takes a method's own `#[instrumented(…)]` off it.
fn take_own(mut function: Function) -> syn::Result<(Function, Option<Args>)> {
    let Some(position) = function.attrs.iter().position(is_own) else {
        return Ok((function, None));
    };
    let attr = function.attrs.remove(position);
    if let Some(second) = function.attrs.iter().find(|attr| is_own(attr)) {
        return Err(syn::Error::new(
            second.span(),
            "`#[instrumented]` stands on this method twice",
        ));
    }
    let args = match &attr.meta {
        Meta::List(list) => Args::parse(list.tokens.clone())?,
        _ => Args::default(),
    };
    Ok((function, Some(args)))
}

//! Expands an annotated `impl` block: measures every async method in it, and the other
//! methods that have the attribute themselves, under `module::Type::method`.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, ImplItem, ItemImpl, Meta, Token, Type, parse_quote};

use crate::args::Args;
use crate::function::{Function, is_cfg};
use crate::output::{self, Shape};
use crate::plan::Plan;

pub(crate) struct ImplBlock {
    /// The tokens from the attributes to the brace, which are repeated unchanged.
    header: TokenStream,
    /// The name of the type, for the default endpoint.
    owner: String,
    braces: Span,
    inner_attrs: Vec<Attribute>,
    items: Vec<BlockItem>,
}

enum BlockItem {
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

fn parse_items(input: ParseStream<'_>) -> syn::Result<(Vec<Attribute>, Vec<BlockItem>)> {
    let inner_attrs = Attribute::parse_inner(input)?;
    let mut items = Vec::new();
    while !input.is_empty() {
        items.push(if input.fork().parse::<Function>().is_ok() {
            BlockItem::Function(input.parse()?)
        } else {
            BlockItem::Other(input.parse()?)
        });
    }
    Ok((inner_attrs, items))
}

/// Returns the name of the type, without its module and its generic arguments.
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
    /// Returns the block without the `#[instrumented]` attributes of its methods, for a
    /// block that has an error. These attributes would expand again, as if the block were
    /// not annotated.
    pub(crate) fn unmeasured(self) -> TokenStream {
        let mut content = TokenStream::new();
        content.append_all(&self.inner_attrs);
        for item in self.items {
            match item {
                BlockItem::Function(mut function) => {
                    function
                        .attrs
                        .retain(|attr| !is_own(attr) && conditional(attr).is_none());
                    function.to_tokens(&mut content);
                }
                BlockItem::Other(item) => item.to_tokens(&mut content),
            }
        }
        with_braces(&self.header, self.braces, content)
    }

    /// Expands the methods of the block.
    pub(crate) fn expand(self, args: &Args) -> syn::Result<TokenStream> {
        refuse_on_block(args)?;
        let mut content = TokenStream::new();
        content.append_all(&self.inner_attrs);
        let mut is_useful = false;
        for item in self.items {
            match item {
                BlockItem::Function(function) => {
                    for ConfiguredMethod { function, own } in configurations(*function)? {
                        let own = match own {
                            Some(Ok(own)) => own,
                            Some(Err(twice)) => {
                                let cfgs = function.attrs.iter().filter(|attr| is_cfg(attr));
                                let error = twice.into_compile_error();
                                content.extend(quote!(#(#cfgs)* #error));
                                function.to_tokens(&mut content);
                                is_useful = true;
                                continue;
                            }
                            None if output::shape(&function.sig) != Shape::Plain => Args::default(),
                            None => {
                                function.to_tokens(&mut content);
                                continue;
                            }
                        };
                        is_useful = true;
                        if own.skip.is_some() {
                            function.to_tokens(&mut content);
                        } else {
                            let args = own.or(args);
                            Plan::new(args, function, Some(&self.owner))?.to_tokens(&mut content);
                        }
                    }
                }
                BlockItem::Other(item) => item.to_tokens(&mut content),
            }
        }
        if !is_useful {
            return Err(syn::Error::new(
                Span::call_site(),
                format!(
                    "`impl {}` has no async method, and the attribute on a block does not measure \
                     other methods: write `#[instrumented]` on each method to measure",
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

/// Refuses the arguments that would be the same for every method of the block.
fn refuse_on_block(args: &Args) -> syn::Result<()> {
    if let Some((span, objectives)) = &args.objectives
        && objectives.each.is_empty()
    {
        return Err(syn::Error::new(
            *span,
            "the list of `objective` is empty: write `objective = CHECKOUT`, or leave `objective` \
             out; `objective = []` on a method exempts it from the objectives of its block",
        ));
    }
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
                "`{name}` applies to one method, not to an `impl` block, which takes only \
                 `labels`, `objective` and `crate`: write `#[instrumented({name}{value})]` on the \
                 method"
            ),
        )),
        None => Ok(()),
    }
}

/// Whether this is `#[instrumented]`, under any path.
fn is_own(attr: &Attribute) -> bool {
    attr.path()
        .segments
        .last()
        .is_some_and(|segment| segment.ident == "instrumented")
}

/// A method as it stands in one configuration, without its own `#[instrumented(…)]`.
struct ConfiguredMethod {
    function: Function,
    /// The arguments of its own attribute, or an error if it has two such attributes.
    own: Option<syn::Result<Args>>,
}

/// Returns the method once for each configuration of its own attribute.
///
/// A macro cannot evaluate the predicate of `#[cfg_attr(predicate, instrumented(…))]`. So
/// the method is written twice: with the arguments under `#[cfg(predicate)]`, and without
/// them under `#[cfg(not(predicate))]`.
fn configurations(function: Function) -> syn::Result<Vec<ConfiguredMethod>> {
    let Some(position) = function
        .attrs
        .iter()
        .position(|attr| conditional(attr).is_some())
    else {
        return take_own(function).map(|method| vec![method]);
    };
    let Some(Conditional {
        predicate,
        attributes,
    }) = conditional(&function.attrs[position])
    else {
        return Ok(Vec::new());
    };
    let (mut with, mut without) = (function.clone(), function);
    with.attrs.splice(
        position..=position,
        [vec![parse_quote!(#[cfg(#predicate)])], attributes].concat(),
    );
    without.attrs[position] = parse_quote!(#[cfg(not(#predicate))]);
    let mut found = configurations(with)?;
    found.extend(configurations(without)?);
    Ok(found)
}

/// A `#[cfg_attr(predicate, attributes)]` with `#[instrumented]` among its attributes.
struct Conditional {
    predicate: Meta,
    attributes: Vec<Attribute>,
}

/// Reads an attribute that may be a [`Conditional`].
fn conditional(attr: &Attribute) -> Option<Conditional> {
    if !attr.path().is_ident("cfg_attr") {
        return None;
    }
    let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
    let mut metas = attr.parse_args_with(parse).ok()?.into_iter();
    let predicate = metas.next()?;
    let attributes: Vec<Attribute> = metas.map(|meta| parse_quote!(#[#meta])).collect();
    attributes
        .iter()
        .any(|attr| is_own(attr) || conditional(attr).is_some())
        .then_some(Conditional {
            predicate,
            attributes,
        })
}

/// Removes the method's own `#[instrumented(…)]` and parses its arguments.
fn take_own(mut function: Function) -> syn::Result<ConfiguredMethod> {
    let Some(position) = function.attrs.iter().position(is_own) else {
        return Ok(ConfiguredMethod {
            function,
            own: None,
        });
    };
    let attr = function.attrs.remove(position);
    let own = match function.attrs.iter().find(|attr| is_own(attr)) {
        Some(second) => Err(syn::Error::new(
            second.span(),
            "this method has `#[instrumented]` twice: put all arguments into one attribute",
        )),
        None => Ok(match &attr.meta {
            Meta::List(list) => Args::parse(list.tokens.clone())?,
            _ => Args::default(),
        }),
    };
    function.attrs.retain(|attr| !is_own(attr));
    Ok(ConfiguredMethod {
        function,
        own: Some(own),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(item: TokenStream) -> Vec<(String, bool)> {
        let function: Function = syn::parse2(item).expect("a function");
        let methods = configurations(function).unwrap_or_else(|error| panic!("{error}"));
        methods
            .into_iter()
            .map(|ConfiguredMethod { function, own }| {
                let attrs = &function.attrs;
                let attrs = quote!(#(#attrs)*).to_string().replace(' ', "");
                (attrs, own.is_some())
            })
            .collect()
    }

    #[test]
    fn a_conditional_attribute_makes_two_methods() {
        let found = methods(quote! {
            #[cfg_attr(test, allow(unused))]
            #[cfg_attr(feature = "x", inline, instrumented(skip))]
            async fn f() {}
        });
        let expected = [
            (
                "#[cfg_attr(test,allow(unused))]#[cfg(feature=\"x\")]#[inline]",
                true,
            ),
            (
                "#[cfg_attr(test,allow(unused))]#[cfg(not(feature=\"x\"))]",
                false,
            ),
        ];
        assert_eq!(found, expected.map(|(attrs, own)| (attrs.to_owned(), own)));
    }

    #[test]
    fn several_conditions_are_all_considered() {
        let found = methods(quote! {
            #[cfg_attr(a, cfg_attr(b, instrument_runtime::instrumented))]
            async fn f() {}
        });
        let expected = [
            ("#[cfg(a)]#[cfg(b)]", true),
            ("#[cfg(a)]#[cfg(not(b))]", false),
            ("#[cfg(not(a))]", false),
        ];
        assert_eq!(found, expected.map(|(attrs, own)| (attrs.to_owned(), own)));
    }
}

//! Expands `#[instrumented]` on any item.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Visibility};

use crate::args::Args;
use crate::function::Function;
use crate::impl_block::ImplBlock;
use crate::plan::Plan;

/// Returns the tokens that replace the item.
///
/// If there is an error, these tokens are the item as the user wrote it and a
/// `compile_error!`. The methods of an `impl` block lose their own `#[instrumented]`.
pub(crate) fn instrumented(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(args, item.clone()).unwrap_or_else(|error| {
        let error = error.into_compile_error();
        let item = syn::parse2(item.clone()).map_or(item, |block: ImplBlock| block.unmeasured());
        quote!(#item #error)
    })
}

fn expand(args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let expand = |input: ParseStream<'_>| {
        let kind = kind(&input.fork())?;
        let args = Args::parse(args)?;
        match kind {
            ItemKind::Function => {
                let plan = Plan::new(args, input.parse::<Function>()?, None)?;
                Ok(plan.into_token_stream())
            }
            ItemKind::Impl => input.parse::<ImplBlock>()?.expand(&args),
        }
    };
    expand.parse2(item)
}

/// The kinds of item that the attribute accepts.
enum ItemKind {
    Function,
    Impl,
}

/// Reads the kind of the item from its first tokens. Does not parse the whole item,
/// because a body that is still being typed is not valid syntax.
fn kind(input: ParseStream<'_>) -> syn::Result<ItemKind> {
    Attribute::parse_outer(input)?;
    input.parse::<Visibility>()?;
    let mut rest = input.cursor();
    while let Some((token, next)) = rest.token_tree() {
        rest = next;
        let found = token.to_string();
        match found.as_str() {
            "fn" => return Ok(ItemKind::Function),
            "impl" => return Ok(ItemKind::Impl),
            "async" | "const" | "default" | "extern" | "safe" | "unsafe" => {}
            // The "C" of `extern "C"`.
            _ if matches!(token, TokenTree::Literal(_)) => {}
            _ => {
                let hint = match found.as_str() {
                    "trait" => ": annotate the methods that have a body, or the `impl` blocks",
                    "mod" => ": annotate the functions in the module",
                    _ => "",
                };
                return Err(syn::Error::new(
                    token.span(),
                    format!(
                        "expected a function or an `impl` block below `#[instrumented]`, found \
                         `{found}`{hint}"
                    ),
                ));
            }
        }
    }
    Err(syn::Error::new(
        Span::call_site(),
        "expected a function or an `impl` block below `#[instrumented]`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(args: &str, item: &str) -> String {
        let tokens = |text: &str| text.parse::<TokenStream>().expect("tokens");
        instrumented(tokens(args), tokens(item)).to_string()
    }

    /// An editor offers completions in such a body only if the macro expands.
    #[test]
    fn a_body_that_is_still_being_typed_is_expanded() {
        for body in ["request.", "let x =", "match x", "if", "a b c ;; let", ""] {
            for (function, runs) in [
                ("async fn f(request: String)", "Running :: new"),
                ("fn f(request: String)", "Call :: run"),
                ("#[track_caller] fn f(request: String) -> u8", "rt"),
                ("fn f(request: String) -> impl Fn(u8)", "Guard :: of"),
            ] {
                let expanded = expanded("crate = rt", &format!("{function} {{ {body} }}"));
                assert!(expanded.contains(runs), "{expanded}");
                assert!(!expanded.contains("compile_error"), "{expanded}");
            }
        }
    }

    /// A handler of Rocket need not be async.
    #[test]
    fn the_route_of_a_plain_function_is_read() {
        let expanded = expanded(
            "",
            "#[get(\"/x/<id>\")] fn f(id: u8) -> String { id.to_string() }",
        );
        let endpoint = "of_endpoint (\"/x/<id>\" , \"GET\")";
        assert!(expanded.contains(endpoint), "{expanded}");
        assert!(expanded.starts_with("# [get (\"/x/<id>\")]"), "{expanded}");
    }

    #[test]
    fn what_is_refused_stands_beside_the_error() {
        for (args, item) in [
            ("", "const fn constant () { let x = }"),
            ("endpoint = 3", "async fn f () { request . }"),
            ("", "struct S ;"),
            ("what", "pub async fn f () -> u8 { 1 }"),
        ] {
            let expanded = expanded(args, item);
            assert!(expanded.starts_with(item), "{expanded}");
            assert_eq!(expanded.matches("compile_error").count(), 1, "{expanded}");
        }
    }

    #[test]
    fn a_refused_block_keeps_its_methods_without_their_attributes() {
        let expanded = expanded(
            "endpoint = \"/x\"",
            "impl S { # [instrumented (skip)] async fn f () { } }",
        );
        assert!(
            expanded.starts_with("impl S { async fn f () { } }"),
            "{expanded}"
        );
        assert_eq!(expanded.matches("compile_error").count(), 1);
    }
}

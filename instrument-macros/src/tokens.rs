//! Searches in token streams, for bodies that `syn` has not parsed, and changes their
//! locations.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;

/// Whether `matches` holds for a token of the stream or of a group in it. Groups
/// themselves are not passed to `matches`.
pub(crate) fn any(tokens: TokenStream, matches: &dyn Fn(&TokenTree) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => any(group.stream(), matches),
        token => matches(&token),
    })
}

/// Whether the identifier or keyword `name` occurs anywhere in the tokens.
pub(crate) fn mentions(tokens: TokenStream, name: &str) -> bool {
    any(tokens, &|token| is_ident(token, name))
}

/// Returns the tokens with the location of `span`, at which rustc then shows errors. The
/// hygiene of the tokens stays the same.
pub(crate) fn located_at(tokens: &TokenStream, span: Span) -> TokenStream {
    tokens
        .clone()
        .into_iter()
        .map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        })
        .collect()
}

/// The macros of the standard library that a function is likely to call. Their expansion
/// adds no `return` and no `.await` to what their arguments contain.
pub(crate) const STD_MACROS: [&str; 32] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "cfg",
    "column",
    "concat",
    "dbg",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "env",
    "eprint",
    "eprintln",
    "file",
    "format",
    "format_args",
    "include_bytes",
    "include_str",
    "line",
    "matches",
    "module_path",
    "option_env",
    "panic",
    "print",
    "println",
    "stringify",
    "todo",
    "unimplemented",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

/// Whether the expression may await: by an `.await`, or in a macro such as `tokio::join!`
/// that expands to an `.await`.
pub(crate) fn may_await(expression: TokenStream) -> bool {
    mentions(expression.clone(), "await") || calls_unknown_macro(expression)
}

/// Whether the tokens call a macro that is not one of `STD_MACROS`.
fn calls_unknown_macro(tokens: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_call = tokens.windows(3).any(|window| {
        matches!(
            window,
            [TokenTree::Ident(name), bang, TokenTree::Group(_)]
                if is_punct(bang, "!") && !STD_MACROS.iter().any(|std| name == std)
        )
    });
    is_call
        || tokens.into_iter().any(
            |token| matches!(token, TokenTree::Group(group) if calls_unknown_macro(group.stream())),
        )
}

/// Whether the tokens may use the variable `name`: by its name, or by the `{name}` of
/// a format string.
pub(crate) fn may_use(tokens: TokenStream, name: &str) -> bool {
    any(tokens, &|token| {
        is_ident(token, name) || may_format(token, name)
    })
}

/// Whether the token is a literal that may be a format string with `{name}` in it.
pub(crate) fn may_format(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Literal(literal) if literal.to_string().contains(name))
}

/// Whether the token is the identifier or keyword `name`.
pub(crate) fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

/// Whether the token is one of these punctuation characters.
pub(crate) fn is_punct(token: &TokenTree, any_of: &str) -> bool {
    matches!(token, TokenTree::Punct(punct) if any_of.contains(punct.as_char()))
}

/// Whether the path is `Box::pin`, possibly with the module in front of it.
pub(crate) fn is_box_pin(path: &impl ToTokens) -> bool {
    matches!(
        path.to_token_stream().to_string().replace(' ', "").as_str(),
        "Box::pin" | "std::boxed::Box::pin" | "::std::boxed::Box::pin"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn groups_are_searched() {
        let body = quote!(f([a, { b.await }]); println!("{c} {}", "?"));
        for found in ["f", "a", "await", "println"] {
            assert!(mentions(body.clone(), found), "{found}");
        }
        for absent in ["c", "wait"] {
            assert!(!mentions(body.clone(), absent), "{absent}");
        }
        assert!(any(body.clone(), &|token| is_punct(token, ".?")));
        assert!(!any(body, &|token| is_punct(token, "?")));
    }

    #[test]
    fn an_unknown_macro_may_await() {
        for awaits in [
            quote!(shard().await),
            quote!(format!("{}", shard().await)),
            quote!(tokio::join!(a(), b()).0),
            quote!(f({
                let (a, _) = join! { a(), b() };
                a
            })),
            quote!(format!("{}", own![a])),
        ] {
            assert!(may_await(awaits.clone()), "{awaits}");
        }
        for other in [
            quote!(shard()),
            quote!(format!("{a}-{}", std::concat!("b", stringify!(c)))),
            quote!(!(a != (b)) && !matches!(a, 1)),
        ] {
            assert!(!may_await(other.clone()), "{other}");
        }
    }

    #[test]
    fn a_format_string_uses_a_variable() {
        let body = quote!(println!("{name}"));
        assert!(may_use(body.clone(), "name"));
        assert!(!may_use(body, "other"));
    }
}

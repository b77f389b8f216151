//! Recognizes bodies that consist of one future. Such a future can be wrapped in place.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tokens::{self, is_box_pin, is_ident, is_punct};

/// Whether the tokens are `async { … }` or `async move { … }` and nothing else. Such a
/// body runs no statement and cannot return before it creates its future.
pub(crate) fn is_async_block(tokens: &TokenStream) -> bool {
    let mut tokens = tokens.clone().into_iter().peekable();
    let starts = tokens.next().is_some_and(|token| is_ident(&token, "async"));
    tokens.next_if(|token| is_ident(token, "move"));
    let block = matches!(
        tokens.next(),
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace
    );
    starts && block && tokens.next().is_none()
}

/// Whether the last expression is an async block, or `Box::pin` of an async block.
pub(crate) fn ends_in_async_block(tokens: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    match tokens.as_slice() {
        [.., word, TokenTree::Group(block)] if block.delimiter() == Delimiter::Brace => {
            is_ident(word, "async") || is_ident(word, "move")
        }
        [.., pin, TokenTree::Group(boxed)] => {
            is_ident(pin, "pin") && is_async_block(&boxed.stream())
        }
        _ => false,
    }
}

/// Splits a body that is only `Box::pin(future)`, as `#[async_trait]` writes it. Returns
/// the path `Box::pin` and the future.
///
/// Returns `None` for any other body, and if the function may return before it has
/// created the future.
pub(crate) fn boxed_future(body: &TokenStream) -> Option<(TokenStream, TokenStream)> {
    let mut tokens: Vec<TokenTree> = body.clone().into_iter().collect();
    let Some(TokenTree::Group(group)) = tokens.pop() else {
        return None;
    };
    let path: TokenStream = tokens.into_iter().collect();
    let future = group.stream();
    let is_whole = is_async_block(&future) || !leaves_early(future.clone());
    (is_box_pin(&path) && group.delimiter() == Delimiter::Parenthesis && is_whole)
        .then_some((path, future))
}

/// Whether the tokens contain a `return` or a `?`.
fn leaves_early(tokens: TokenStream) -> bool {
    tokens::any(tokens, &|token| {
        is_ident(token, "return") || is_punct(token, "?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn only_a_lone_block_counts() {
        assert!(is_async_block(&quote!(async { 1 })));
        assert!(is_async_block(&quote!(async move { 1 })));
        for other in [
            quote!(),
            quote!(async),
            quote!({ 1 }),
            quote!(f(); async { 1 }),
            quote!(async { 1 }.boxed()),
            quote!(async move || { 1 }),
        ] {
            assert!(!is_async_block(&other), "{other}");
        }
    }

    #[test]
    fn only_a_box_around_a_whole_future_counts() {
        for boxed in [
            quote!(Box::pin(async move { return x? })),
            quote!(Box::pin(future)),
            quote!(::std::boxed::Box::pin(self.get(1))),
        ] {
            assert!(boxed_future(&boxed).is_some(), "{boxed}");
        }
        for other in [
            quote!(Box::new(async { 1 })),
            quote!(f(); Box::pin(async { 1 })),
            quote!(Box::pin(async { 1 }) as _),
            quote!(Box::pin(if early { return other() } else { future })),
        ] {
            assert!(boxed_future(&other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_last_expression_is_an_async_block() {
        for block in [
            quote!(async { 1 }),
            quote!(let x = 1; async move { x }),
            quote!(f(); Box::pin(async move { 1 })),
        ] {
            assert!(ends_in_async_block(&block), "{block}");
        }
        for other in [
            quote!(let future = async { 1 }; future),
            quote!(inner(async { 1 })),
            quote!(Box::pin(inner())),
            quote!(async move || { 1 }),
            quote!(if x { async { 1 } } else { other() }),
        ] {
            assert!(!ends_in_async_block(&other), "{other}");
        }
    }
}

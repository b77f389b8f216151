//! Bodies that are one `async` block, which can be wrapped where they stand.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// `async { … }` or `async move { … }` and nothing else: no statement runs and
/// nothing is returned before the future is made.
pub(crate) fn is_async_block(tokens: &TokenStream) -> bool {
    let mut tokens = tokens.clone().into_iter().peekable();
    let starts = matches!(tokens.next(), Some(TokenTree::Ident(ident)) if ident == "async");
    if matches!(tokens.peek(), Some(TokenTree::Ident(ident)) if ident == "move") {
        tokens.next();
    }
    let block = matches!(
        tokens.next(),
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace
    );
    starts && block && tokens.next().is_none()
}

/// For a body that is `Box::pin(async { … })`, as `#[async_trait]` writes it: the
/// path before the parentheses and the block in them.
pub(crate) fn boxed_async_block(body: &TokenStream) -> Option<(TokenStream, TokenStream)> {
    let mut tokens: Vec<TokenTree> = body.clone().into_iter().collect();
    let Some(TokenTree::Group(group)) = tokens.pop() else {
        return None;
    };
    let path: TokenStream = tokens.into_iter().collect();
    let is_box_pin = matches!(
        path.to_string().replace(' ', "").as_str(),
        "Box::pin" | "std::boxed::Box::pin" | "::std::boxed::Box::pin"
    );
    (is_box_pin && group.delimiter() == Delimiter::Parenthesis && is_async_block(&group.stream()))
        .then(|| (path, group.stream()))
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
    fn only_a_box_around_a_lone_block_counts() {
        assert!(boxed_async_block(&quote!(Box::pin(async move { 1 }))).is_some());
        for other in [
            quote!(Box::pin(future)),
            quote!(Box::new(async { 1 })),
            quote!(f(); Box::pin(async { 1 })),
            quote!(Box::pin(async { 1 }) as _),
        ] {
            assert!(boxed_async_block(&other).is_none(), "{other}");
        }
    }
}

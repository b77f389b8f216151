//! `#[expect(…)]` on a function whose body is in a closure.
//!
//! Some lints do not report anything about such a function. rustc would then warn that the
//! lint is expected but missing. So the expansion allows these lints instead of expecting
//! them.

use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token, parse_quote};

/// The lints that report less with the attribute. `instrumented.md` has the same list.
const SILENT: [&str; 11] = [
    "clippy::boxed_local",
    "clippy::elidable_lifetime_names",
    "clippy::missing_const_for_fn",
    "clippy::needless_lifetimes",
    "clippy::needless_pass_by_ref_mut",
    "clippy::needless_pass_by_value",
    "clippy::needless_return",
    "clippy::only_used_in_recursion",
    "clippy::unnecessary_wraps",
    "clippy::unused_self",
    "unconditional_recursion",
];

// Input:
//     #[expect(clippy::unnecessary_wraps, dead_code, reason = "…")]
//
// Output:
//     #[allow(clippy::unnecessary_wraps, reason = "…")]
//     #[expect(dead_code, reason = "…")]
//
/// Returns the attributes, with the silent lints allowed instead of expected.
pub(super) fn without_silent_lints(attrs: &[Attribute]) -> Vec<Attribute> {
    attrs.iter().flat_map(split).collect()
}

fn split(attr: &Attribute) -> Vec<Attribute> {
    let unchanged = vec![attr.clone()];
    if !attr.path().is_ident("expect") {
        return unchanged;
    }
    let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
    let Ok(metas) = attr.parse_args_with(parse) else {
        return unchanged;
    };
    let (reason, lints): (Vec<Meta>, Vec<Meta>) = metas
        .into_iter()
        .partition(|meta| matches!(meta, Meta::NameValue(_)));
    let (silent, heard): (Vec<Meta>, Vec<Meta>) = lints.into_iter().partition(|lint| {
        let name = lint.to_token_stream().to_string().replace(' ', "");
        SILENT.contains(&name.as_str())
    });
    if silent.is_empty() {
        return unchanged;
    }
    let mut attrs = vec![parse_quote!(#[allow(#(#silent,)* #(#reason),*)])];
    if !heard.is_empty() {
        attrs.push(parse_quote!(#[expect(#(#heard,)* #(#reason),*)]));
    }
    attrs
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn only_silent_lints_are_allowed() {
        let attrs = [
            parse_quote!(#[inline]),
            parse_quote!(#[expect(dead_code)]),
            parse_quote!(#[expect(clippy::unused_self, dead_code, reason = "x")]),
            parse_quote!(#[expect(unconditional_recursion)]),
        ];
        let attrs = without_silent_lints(&attrs);
        let expected = quote! {
            #[inline]
            #[expect(dead_code)]
            #[allow(clippy::unused_self, reason = "x")]
            #[expect(dead_code, reason = "x")]
            #[allow(unconditional_recursion,)]
        };
        assert_eq!(quote!(#(#attrs)*).to_string(), expected.to_string());
    }
}

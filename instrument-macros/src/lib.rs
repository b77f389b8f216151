//! The macro side of `instrument-runtime`, which re-exports it: depend on that.
//!
//! A use of the attribute goes through three steps, each of which meets only
//! what the one before has checked: the arguments (`args`) and the item
//! (`item`) are parsed into trees of our own, a function's place in its
//! surroundings is settled (`plan`), and the plan is expanded (`expand`).
//! The derive (`derive`) goes the same way in one file.

mod args;
mod body;
mod captures;
mod derive;
mod expand;
mod function;
mod handler;
mod impl_block;
mod item;
mod labels;
mod leaves;
mod method;
mod output;
mod plan;
mod route;
mod status_code;
mod suggest;
mod tokens;

use proc_macro::TokenStream;

#[doc = include_str!("instrumented.md")]
#[proc_macro_attribute]
pub fn instrumented(args: TokenStream, item: TokenStream) -> TokenStream {
    item::instrumented(args.into(), item.into()).into()
}

#[doc = include_str!("http_status.md")]
#[proc_macro_derive(HttpStatus, attributes(http_status))]
pub fn http_status(input: TokenStream) -> TokenStream {
    derive::http_status(input.into()).into()
}

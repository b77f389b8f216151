//! The macros of `instrument-runtime`, which re-exports them. Depend on
//! `instrument-runtime`, not on this crate.
//!
//! `#[instrumented]` expands in three steps. Each step takes the checked result of the
//! previous step:
//!
//! 1. Parse the arguments (`args`) and the item (`item`).
//! 2. Decide how to expand each function (`plan`): its labels, whether and how it is async,
//!    and whether it can be the handler of a request.
//! 3. Generate the code (`expand`; `expand/returned.rs` for functions that return a
//!    future).
//!
//! `#[derive(HttpStatus)]` takes the same steps in one file (`derive`).

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

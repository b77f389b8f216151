//! The macro side of `instrument-runtime`, which re-exports it: depend on that.
//!
//! A use of the attribute goes through three steps, each of which meets only
//! what the one before has checked: the arguments ([`args`]) and the item
//! ([`item`]) are parsed into trees of our own, a function's place in its
//! surroundings is settled ([`plan`]), and the plan is expanded ([`expand`]).

mod args;
mod body;
mod captures;
mod expand;
mod function;
mod impl_block;
mod item;
mod labels;
mod method;
mod names;
mod output;
mod plan;

use proc_macro::TokenStream;

#[doc = include_str!("instrumented.md")]
#[proc_macro_attribute]
pub fn instrumented(args: TokenStream, item: TokenStream) -> TokenStream {
    item::instrumented(args.into(), item.into()).into()
}

//! A differential test suite. It generates functions from a seed, and writes each
//! function twice: plain, and with the attribute. The two versions must differ only in
//! the metrics.
//!
//! ```text
//! sample     picks the combinations, so that every pair of values occurs
//! case       one combination, and which values are compatible
//!  ├ arguments   the arguments and the variables that they bind
//!  ├ steps       the statements of the body
//!  ├ returns     the return type and the last expression
//!  └ source      the function's text and the code that drives it
//! project    writes the crates, builds them with Clippy, and runs them
//! compare    compares the results of the two sides
//! ```
//!
//! One crate is generated for each edition and set of features. It has the plain
//! functions and the annotated functions in modules of the same names. The line numbers
//! are the same in both: where one side has the attribute, the other has a comment.

pub mod arguments;
pub mod case;
pub mod compare;
pub mod project;
mod random;
pub mod returns;
pub mod sample;
pub mod source;
pub mod steps;

/// Defines an enumeration with a list of its values.
macro_rules! dimension {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names describe the values")]
        pub enum $name {
            $($(#[$value_doc])* $value),*
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value),*];
        }
    };
}
use dimension;

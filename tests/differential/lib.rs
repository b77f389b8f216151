//! A differential suite: functions are generated from a seed, each is written
//! twice, plain and with the attribute, and the two must not differ in anything
//! but metrics.
//!
//! ```text
//! sample     picks the combinations, so that every two values meet
//! case       one combination; its parts say what goes together
//!  ├ arguments   the arguments and the names that they bind
//!  ├ steps       the statements of the body
//!  ├ returns     the return type and the last expression
//!  └ source      the function's text and the code that drives it
//! project    writes the crates, builds them with Clippy, and runs them
//! compare    what the two sides said
//! ```
//!
//! One crate is generated for each edition and set of features, with the plain
//! functions and the annotated ones in modules of the same names. The lines are
//! the same in both: where one has the attribute, the other has a comment.

pub mod arguments;
pub mod case;
pub mod compare;
pub mod project;
mod random;
pub mod returns;
pub mod sample;
pub mod source;
pub mod steps;

/// An enumeration that knows its values.
macro_rules! dimension {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names say what the values are")]
        pub enum $name {
            $($(#[$value_doc])* $value),*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$value),*];
        }
    };
}
use dimension;

//! The pages in `instrument-runtime/src/guide/coming_from`: what they say is what happens.
//!
//! - `chapter`: reads the tables, the queries and the code of a page.
//! - `program`: runs the programs before and after the change.
//! - `traffic`: sends the requests of a page.
//! - `counted`: reads from a metrics page what a table says.
//! - `migration`: sends the same requests to both programs and compares their metrics pages.
//! - `queries`: runs the queries on both metrics pages, in a real Prometheus.
//! - `settings`: compiles the settings of the other libraries that the pages name.
//! - `code`: holds the code in the pages equal to the programs.

mod chapter;
mod code;
mod counted;
mod migration;
mod program;
mod queries;
mod settings;
mod traffic;

/// Returns the text of a page.
macro_rules! text_of {
    ($name:literal) => {
        include_str!(concat!(
            "../../../instrument-runtime/src/guide/coming_from/",
            $name,
            ".md"
        ))
    };
}

/// Returns the path of a program and its source.
macro_rules! program_of {
    ($name:expr) => {
        $crate::program::Built {
            path: env!(concat!("CARGO_BIN_EXE_", $name)),
            source: include_str!(concat!("../src/bin/", $name, ".rs")),
        }
    };
}

/// Returns a page with its two programs.
macro_rules! chapter_of {
    ($name:literal) => {
        $crate::chapter::Chapter {
            text: $crate::text_of!($name),
            programs: [
                $crate::program_of!(concat!($name, "_before")),
                $crate::program_of!(concat!($name, "_after")),
            ],
        }
    };
}

use {chapter_of, program_of, text_of};

#![doc = include_str!("index.md")]

// The guide has no items, and is compiled only by rustdoc. Each chapter is a module, so that
// it has a page of its own and its examples are doctests.

/// Declares the chapters: the name of the module, and the file with its text.
///
/// The examples need these features. Without one of them, the chapters have no doctests.
macro_rules! chapters {
    ($($name:ident: $file:literal;)*) => {
        $(
            #[cfg_attr(
                any(
                    not(doctest),
                    all(
                        unix,
                        feature = "actix-web",
                        feature = "axum",
                        feature = "opentelemetry",
                        feature = "push",
                        feature = "testing",
                        feature = "tonic"
                    )
                ),
                doc = include_str!($file)
            )]
            pub mod $name {}
        )*
    };
}

pub mod coming_from;

chapters! {
    frameworks: "frameworks.md";
    counted_when: "counted_when.md";
    labels: "labels.md";
    naming: "naming.md";
    objectives: "objectives.md";
    formats: "formats.md";
    testing: "testing.md";
    production: "production.md";
    security: "security.md";
    performance: "performance.md";
    troubleshooting: "troubleshooting.md";
    how_it_works: "how_it_works.md";
}

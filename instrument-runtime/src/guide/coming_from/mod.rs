#![doc = include_str!("index.md")]

// The package `instrument-migrations` compares the pages with the other libraries.

/// Declares the pages: the name of the module, and the file with its text.
///
/// The examples need these features. Without one of them, the pages have no doctests.
///
/// The text is inside the module, because a link to the crate `metrics` would otherwise lead to
/// the module of this name.
macro_rules! pages {
    ($($name:ident: $file:literal;)*) => {
        $(
            pub mod $name {
                #![cfg_attr(
                    any(not(doctest), all(feature = "actix-web", feature = "axum")),
                    doc = include_str!($file)
                )]
            }
        )*
    };
}

pages! {
    axum_prometheus: "axum_prometheus.md";
    actix_web_prom: "actix_web_prom.md";
    autometrics: "autometrics.md";
    metrics: "metrics.md";
    opentelemetry: "opentelemetry.md";
}

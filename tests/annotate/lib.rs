//! Puts `#[instrumented]` on every function of a package that supports it.
//!
//! Only the attribute is inserted, and no line moves, so the compiler's messages before
//! and after can be compared. Functions made by macros and `const fn`s are left alone.
//! Tests are left alone unless the options include them. A function whose return type hides
//! a future is annotated too, and does not compile.
//!
//! - `lib`: finds the functions and inserts the attribute.
//! - `main`: the command line.
//! - `annotate`: the test.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{AttrStyle, Attribute, ImplItemFn, ItemFn, ItemMod, Meta, Signature, TraitItemFn};

/// The text that is inserted on the line of the function's first attribute.
const ATTRIBUTE: &str = "#[::instrument_runtime::instrumented] ";

/// What to do to a package.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the crate `instrument-runtime`.
    pub runtime: PathBuf,
    /// Features of the crate `instrument-runtime`.
    pub features: Vec<String>,
    /// Whether tests are annotated too.
    pub tests: bool,
}

/// Annotates the sources of the package in `folder` and adds the dependency to its
/// manifest. Returns the number of functions annotated.
///
/// # Errors
///
/// Returns an error if a file cannot be read, parsed or written, or if the manifest has no
/// section `[package]`.
pub fn annotate_package(folder: &Path, options: &Options) -> anyhow::Result<usize> {
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .with_context(|| format!("{} cannot be read", manifest.display()))?;
    let mut functions = 0;
    for file in sources(folder, options.tests)? {
        let source = fs::read_to_string(&file)?;
        let (annotated, found) = annotate(&source, options.tests)
            .with_context(|| format!("{} cannot be parsed", file.display()))?;
        if found > 0 {
            fs::write(&file, annotated)?;
        }
        functions += found;
    }
    if functions > 0 {
        fs::write(&manifest, with_dependency(&text, options)?)?;
    }
    Ok(functions)
}

fn sources(folder: &Path, tests: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.join("src")];
    if tests {
        folders.push(folder.join("tests"));
    }
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the source with the attribute on every function that supports it, and the
/// number of these functions.
///
/// # Errors
///
/// Returns an error if the source cannot be parsed as Rust.
pub fn annotate(source: &str, tests: bool) -> anyhow::Result<(String, usize)> {
    let file = syn::parse_file(source)?;
    // `syn` skips a byte order mark, so its offsets do not include it.
    let skipped = if source.starts_with('\u{feff}') { 3 } else { 0 };
    let mut places = Places {
        tests,
        found: Vec::new(),
    };
    places.visit_file(&file);
    let mut places: Vec<usize> = places.found.into_iter().map(|at| at + skipped).collect();
    places.sort_unstable();
    places.dedup();
    let mut annotated = source.to_owned();
    for at in places.iter().rev() {
        ensure!(
            annotated.is_char_boundary(*at),
            "the offset of a function is not at a character boundary"
        );
        annotated.insert_str(*at, ATTRIBUTE);
    }
    Ok((annotated, places.len()))
}

/// The byte offsets where the attribute is inserted.
struct Places {
    tests: bool,
    found: Vec<usize>,
}

impl Places {
    /// Adds a function. `start` is where it begins if it has no attributes except docs.
    fn function(&mut self, attrs: &[Attribute], start: Range<usize>, sig: &Signature) {
        let is_annotated = attrs.iter().any(|attr| is_called(attr, "instrumented"));
        let is_test = attrs
            .iter()
            .any(|attr| is_called(attr, "test") || is_cfg_test(attr));
        if is_annotated || (is_test && !self.tests) || sig.constness.is_some() {
            return;
        }
        // `#[instrumented]` goes above all other attributes, because it reads the route
        // attributes below it, and because `#[tokio::main]` removes the `async`.
        let first = attrs
            .iter()
            .find(|attr| !attr.path().is_ident("doc") && matches!(attr.style, AttrStyle::Outer))
            .map_or(start, |attr| attr.span().byte_range());
        self.found.push(first.start);
    }
}

impl<'ast> Visit<'ast> for Places {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if self.tests || !module.attrs.iter().any(is_cfg_test) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        let start = start(function.vis.span(), &function.sig);
        self.function(&function.attrs, start, &function.sig);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        let mut start = start(function.vis.span(), &function.sig);
        if let Some(defaultness) = &function.modifiers.defaultness {
            let of_default = defaultness.span().byte_range();
            if of_default.start < start.start {
                start = of_default;
            }
        }
        self.function(&function.attrs, start, &function.sig);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if function.default.is_some() {
            let start = function.sig.span().byte_range();
            self.function(&function.attrs, start, &function.sig);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}

/// Returns where the function begins. A visibility that is not written has an empty span.
fn start(visibility: proc_macro2::Span, sig: &Signature) -> Range<usize> {
    let visibility = visibility.byte_range();
    if visibility.is_empty() {
        sig.span().byte_range()
    } else {
        visibility
    }
}

fn is_called(attr: &Attribute, name: &str) -> bool {
    attr.path()
        .segments
        .last()
        .is_some_and(|segment| segment.ident == name)
}

fn is_cfg_test(attr: &Attribute) -> bool {
    let Meta::List(list) = &attr.meta else {
        return false;
    };
    attr.path().is_ident("cfg")
        && list
            .tokens
            .to_string()
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "test")
}

/// Returns the manifest with the dependency added after the line `[dependencies]`.
fn with_dependency(manifest: &str, options: &Options) -> anyhow::Result<String> {
    if manifest
        .lines()
        .any(|line| line.starts_with("instrument-runtime"))
    {
        return Ok(manifest.to_owned());
    }
    ensure!(
        manifest.contains("[package]"),
        "the manifest has no section `[package]`"
    );
    let dependency = format!(
        "instrument-runtime = {{ path = {:?}, features = {:?} }}\n",
        options.runtime.display().to_string(),
        options.features
    );
    let mut out = String::new();
    let mut is_in = false;
    for line in manifest.split_inclusive('\n') {
        out.push_str(line);
        if line.trim() == "[dependencies]" {
            if !line.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&dependency);
            is_in = true;
        }
    }
    if !is_in {
        out.push_str("\n[dependencies]\n");
        out.push_str(&dependency);
    }
    Ok(out)
}

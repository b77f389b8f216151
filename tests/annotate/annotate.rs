//! Runs the annotating program on a small package.

use std::fs;

use instrument_annotate::{Options, annotate, annotate_package};

#[test]
fn every_function_that_can_be_measured_is_annotated_and_no_line_moves() {
    let source = r#"
/// A page.
#[get("/x")]
pub async fn route() {}

#[tokio::main]
async fn main() { async fn nested() {} }

pub(crate) unsafe fn plain() -> u8 { #![allow(unused)] 1 }
const fn constant() -> u8 { 1 }

fn opaque() -> impl Future<Output = u8> + Send { async { 1 } }
fn boxed<'a>(text: &'a str) -> Pin<Box<dyn Future<Output = u8> + 'a>> { todo!() }
fn alias() -> futures::future::BoxFuture<'static, u8> { todo!() }

trait Store {
    async fn get(&self);
    async fn set(&self) { self.get().await }
}

impl Store for Über {
    /* ä */ async fn get(&self) {}
}

macro_rules! made { () => { async fn made() {} } }

#[tokio::test]
async fn a_test() {}

#[cfg(test)]
mod tests {
    async fn helper() {}
}
"#;
    let (annotated, functions) = annotate(source, false).unwrap();
    assert_eq!(functions, 9);
    assert_eq!(annotated.lines().count(), source.lines().count());
    let attribute = "#[::instrument_runtime::instrumented] ";
    assert_eq!(annotated.replace(attribute, ""), source);
    for expected in [
        "@#[get(\"/x\")]",
        "@#[tokio::main]",
        "{ @async fn nested() {} }",
        "@pub(crate) unsafe fn plain()",
        "@fn opaque()",
        "@fn boxed<'a>",
        "@fn alias()",
        "    @async fn set(&self)",
        "/* ä */ @async fn get(&self) {}",
    ] {
        let expected = expected.replace('@', attribute);
        assert!(annotated.contains(&expected), "{expected}\n{annotated}");
    }
    assert_eq!(annotate(source, true).unwrap().1, 11);
    assert_eq!(annotate(&annotated, false).unwrap().1, 0);
}

#[test]
fn a_package_gets_the_dependency_once() {
    let package = tempfile::tempdir().unwrap();
    let manifest = package.path().join("Cargo.toml");
    fs::create_dir(package.path().join("src")).unwrap();
    fs::write(package.path().join("src/lib.rs"), "pub async fn f() {}\n").unwrap();
    fs::write(
        &manifest,
        "[package]\nname = \"p\"\n\n[dependencies]\nanyhow = \"1\"\n",
    )
    .unwrap();
    let options = Options {
        runtime: "../instrument-runtime".into(),
        features: vec!["axum".to_owned()],
        tests: false,
    };
    assert_eq!(annotate_package(package.path(), &options).unwrap(), 1);
    assert_eq!(annotate_package(package.path(), &options).unwrap(), 0);
    assert_eq!(
        fs::read_to_string(&manifest).unwrap(),
        "[package]\nname = \"p\"\n\n[dependencies]\n\
         instrument-runtime = { path = \"../instrument-runtime\", features = [\"axum\"] }\n\
         anyhow = \"1\"\n"
    );
    assert_eq!(
        fs::read_to_string(package.path().join("src/lib.rs")).unwrap(),
        "#[::instrument_runtime::instrumented] pub async fn f() {}\n"
    );
}

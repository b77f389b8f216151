//! Each misuse of a macro gives one error, at the token at fault.

#[test]
fn misuses_are_explained() {
    trybuild::TestCases::new().compile_fail("compile_fail/*.rs");
}

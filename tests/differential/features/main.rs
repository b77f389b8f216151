//! Calls functions that return types with which a framework can answer a request, and
//! errors for which a framework has a status. Prints what was counted.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::str::Utf8Error;
use std::task::{Context, Poll, Waker};

use instrument_runtime::instrumented;

#[instrumented(endpoint = "/text", method = "GET")]
async fn text(text: &str) -> &str {
    text
}

#[instrumented(endpoint = "/owned", method = "POST")]
async fn owned(text: &str) -> Result<String, Infallible> {
    Ok(text.to_owned())
}

#[instrumented(endpoint = "/cow", method = "GET")]
async fn cow(text: &str) -> Cow<'_, str> {
    text.into()
}

#[instrumented(endpoint = "/bytes", method = "GET")]
async fn bytes(bytes: &[u8; 4]) -> &[u8; 4] {
    bytes
}

#[instrumented]
async fn option(text: &str) -> Option<&str> {
    Some(text)
}

#[instrumented(endpoint = "/tuple", method = "GET")]
async fn tuple(text: &str) -> (&str,) {
    (text,)
}

#[instrumented]
async fn result_of_option(text: &str) -> Result<Option<&str>, ()> {
    Ok(Some(text))
}

#[instrumented(endpoint = "/io", method = "GET")]
async fn not_found() -> io::Result<String> {
    Err(io::ErrorKind::NotFound.into())
}

#[instrumented(endpoint = "/boxed", method = "GET")]
async fn boxed<'a>(text: &'a str) -> Result<u8, Box<dyn Error + 'a>> {
    Err(Box::new(io::Error::other(text.to_owned())))
}

#[instrumented(endpoint = "/boxed_to_send", method = "GET")]
async fn boxed_to_send() -> Result<u8, Box<dyn Error + Send + Sync>> {
    Err("no".into())
}

#[instrumented(endpoint = "/utf8", method = "GET")]
async fn utf8(bytes: &[u8]) -> Result<&str, Utf8Error> {
    std::str::from_utf8(bytes)
}

#[instrumented(endpoint = "/json", method = "GET")]
async fn json(text: &str) -> serde_json::Result<u8> {
    serde_json::from_str(text)
}

#[instrumented(endpoint = "/deserialized", method = "GET")]
fn deserialized(text: &str) -> impl Future<Output = Result<u8, serde_json::Error>> + '_ {
    let trimmed = text.trim();
    async move { serde_json::from_str(trimmed) }
}

#[instrumented(endpoint = "/plain_text", method = "GET")]
fn plain_text(text: &str) -> Option<&str> {
    Some(text)
}

#[instrumented(endpoint = "/plain_io", method = "GET")]
fn plain_io() -> io::Result<&'static [u8; 4]> {
    Err(io::ErrorKind::NotFound.into())
}

#[instrumented(endpoint = "/plain_unit", method = "GET")]
fn plain_unit() {}

#[instrumented(endpoint = "/plain_closure", method = "GET")]
fn plain_closure() -> impl Fn() -> &'static str {
    || "text"
}

fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("nothing is waited for"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let exporter = instrument_runtime::builder("features")
        .without_listener()
        .install()?;
    let local = String::from("text");
    let invalid = vec![0xFF];
    ready(text(&local));
    ready(owned(&local))?;
    ready(cow(&local));
    ready(bytes(&[1, 2, 3, 4]));
    ready(option(&local));
    ready(tuple(&local));
    assert!(ready(result_of_option(&local)).is_ok());
    assert!(ready(not_found()).is_err());
    assert!(ready(boxed(&local)).is_err());
    assert!(ready(boxed_to_send()).is_err());
    assert!(ready(utf8(&invalid)).is_err());
    assert!(ready(json("-")).is_err());
    assert!(ready(deserialized("-")).is_err());
    plain_text(&local);
    assert!(plain_io().is_err());
    plain_unit();
    plain_closure()();
    let page = exporter.render();
    for line in page.lines().filter(|line| line.starts_with("requests_total")) {
        println!("{}", line.replace("app_name=\"features\",", ""));
    }
    Ok(())
}

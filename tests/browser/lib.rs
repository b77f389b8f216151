//! A real browser, and an application whose metrics page the test writes itself.

mod application;
mod browser;

pub use application::{Application, Request};
pub use browser::Browser;

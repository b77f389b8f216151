//! [`HttpStatus`], the trait of types whose values have an HTTP status.

/// A type whose values have an HTTP status, such as a response or an error.
///
/// The attribute calls `http_status` on the return value of the function, or on the `Ok`
/// or `Err` value inside it. The status becomes the label `http_status`, and the label
/// `outcome` follows from it (see [`Outcome::HttpStatus`](crate::Outcome::HttpStatus)).
///
/// Implement the trait for your error type, or derive it, so that the metrics distinguish
/// a 404 from a 500. `http::StatusCode`, `http::Response` and the types of each enabled
/// framework implement it already.
///
/// # Examples
///
/// ```
/// use instrument_runtime::{HttpStatus, instrumented};
///
/// enum ShopError {
///     NoSuchItem,
///     Database,
/// }
///
/// impl HttpStatus for ShopError {
///     fn http_status(&self) -> u16 {
///         match self {
///             ShopError::NoSuchItem => 404,
///             ShopError::Database => 500,
///         }
///     }
/// }
///
/// #[instrumented(endpoint = "/items/{id}", method = "GET")]
/// async fn item(id: u32) -> Result<String, ShopError> {
///     Err(ShopError::NoSuchItem) // http_status="404", outcome="client_error"
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the HTTP status of `{Self}` is not known",
    note = "write `#[derive(HttpStatus)]` and `#[http_status(404)]` on the type, or implement `HttpStatus`",
    note = "for a framework's own type, enable the framework's feature of `instrument-runtime`"
)]
pub trait HttpStatus {
    /// Returns the status code, from 100 to 599.
    ///
    /// A number outside this range does not become a label, and counts as `error`.
    fn http_status(&self) -> u16;
}

impl<T: HttpStatus + ?Sized> HttpStatus for &T {
    fn http_status(&self) -> u16 {
        (**self).http_status()
    }
}

impl<T: HttpStatus + ?Sized> HttpStatus for Box<T> {
    fn http_status(&self) -> u16 {
        (**self).http_status()
    }
}

impl<T: HttpStatus + ?Sized> HttpStatus for std::sync::Arc<T> {
    fn http_status(&self) -> u16 {
        (**self).http_status()
    }
}

impl HttpStatus for http::StatusCode {
    fn http_status(&self) -> u16 {
        self.as_u16()
    }
}

impl<B> HttpStatus for http::Response<B> {
    fn http_status(&self) -> u16 {
        self.status().as_u16()
    }
}

//! Types that know their HTTP status.

/// A value that knows the HTTP status it is answered with.
///
/// The attribute asks a handler's return value, or the `Ok` or `Err` inside it:
/// what it tells becomes the label `http_status`, and the outcome follows from
/// it (see [`Outcome::HttpStatus`](crate::Outcome::HttpStatus)). Implement it on
/// your error type and the metrics tell a 404 from a 500:
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
    message = "`{Self}` does not tell its HTTP status",
    note = "derive it: `#[derive(HttpStatus)]` with `#[http_status(404)]`, or implement `HttpStatus`",
    note = "for a framework's own type, enable the framework's feature of `instrument-runtime`"
)]
pub trait HttpStatus {
    /// The status code, 100 to 599.
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

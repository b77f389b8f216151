//! The status of a function's answer without a layer, as told by the return types of each
//! framework.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::response::IntoResponse;
use http::StatusCode;
use instrument_runtime::{HttpStatus, instrumented};
use instrument_tests::recorded::{Recorded, one_call};

macro_rules! told {
    ($($name:ident: $type:ty = $value:expr => $end:literal;)*) => {
        $(
            #[test]
            fn $name() {
                #[instrumented(endpoint = "/x")]
                async fn call() -> $type {
                    tokio::task::yield_now().await;
                    $value
                }

                Recorded::during_async(async |recorded| {
                    let _: $type = call().await;
                    assert_eq!(recorded.lines(), one_call("endpoint=/x", $end));
                });
            }
        )*
    };
}

mod on_http {
    use super::*;

    told! {
        a_status: StatusCode = StatusCode::NOT_FOUND => "outcome=client_error http_status=404";
        a_response: http::Response<u8> = http::Response::new(7) => "outcome=ok http_status=200";
        a_result_of_responses: Result<http::Response<()>, http::Error> =
            http::Response::builder().status(301).body(()) => "outcome=ok http_status=301";
        its_error: Result<http::Response<()>, http::Error> =
            http::Response::builder().status(9).body(()) => "outcome=error";
        a_status_as_the_error: Result<u8, StatusCode> =
            Err(StatusCode::SERVICE_UNAVAILABLE) => "outcome=error http_status=503";
        a_value_beside_a_status: Result<u8, StatusCode> = Ok(7) => "outcome=ok";
    }
}

mod on_axum {
    use axum::extract::rejection::{ExtensionRejection, JsonRejection, QueryRejection};
    use axum::extract::{Extension, FromRequestParts, Query};
    use axum::response::{Html, NoContent, Redirect, Response};
    use axum::{Form, Json};

    use super::*;

    fn json(text: &str) -> Result<Json<u8>, JsonRejection> {
        Json::from_bytes(text.as_bytes())
    }

    fn query(uri: &'static str) -> Result<Query<HashMap<String, u8>>, QueryRejection> {
        Query::try_from_uri(&http::Uri::from_static(uri))
    }

    async fn extension() -> Result<Extension<u8>, ExtensionRejection> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        Extension::from_request_parts(&mut parts, &()).await
    }

    /// A type that only axum can turn into a response.
    struct Own;

    impl IntoResponse for Own {
        fn into_response(self) -> Response {
            StatusCode::IM_A_TEAPOT.into_response()
        }
    }

    type TwoParts = (StatusCode, &'static str);
    type ThreeParts = (StatusCode, [(&'static str, &'static str); 1], String);
    type Many = (
        StatusCode,
        [(&'static str, &'static str); 1],
        HeaderMap,
        Extension<u8>,
        Json<u8>,
    );
    use http::HeaderMap;

    told! {
        a_response: Response = StatusCode::CREATED.into_response() => "outcome=ok http_status=201";
        a_tuple: TwoParts = (StatusCode::CONFLICT, "no") => "outcome=client_error http_status=409";
        a_tuple_of_three: ThreeParts =
            (StatusCode::ACCEPTED, [("x", "y")], String::new()) => "outcome=ok http_status=202";
        a_tuple_of_five: Many =
            (StatusCode::BAD_GATEWAY, [("x", "y")], HeaderMap::new(), Extension(1), Json(1))
            => "outcome=error http_status=502";
        a_tuple_without_a_status: ([(&'static str, &'static str); 1], &'static str) =
            ([("x", "y")], "") => "outcome=ok";
        json_ok: Json<u8> = Json(1) => "outcome=ok http_status=200";
        form: Form<u8> = Form(1) => "outcome=ok http_status=200";
        html: Html<&'static str> = Html("<p>") => "outcome=ok http_status=200";
        see_other: Redirect = Redirect::to("/x") => "outcome=ok http_status=303";
        moved: Redirect = Redirect::permanent("/x") => "outcome=ok http_status=308";
        // axum answers 500, because the value is not valid in a header.
        to_nowhere: Redirect = Redirect::to("\n") => "outcome=error http_status=500";
        no_content: NoContent = NoContent => "outcome=ok http_status=204";
        bad_json: Result<Json<u8>, JsonRejection> = json("-")
            => "outcome=client_error http_status=400";
        other_json: Result<Json<u8>, JsonRejection> = json("\"x\"")
            => "outcome=client_error http_status=422";
        good_json: Result<Json<u8>, JsonRejection> = json("1") => "outcome=ok http_status=200";
        bad_query: Result<u8, QueryRejection> = query("/?a=x").map(|_| 1)
            => "outcome=client_error http_status=400";
        good_query: Result<u8, QueryRejection> = query("/?a=1").map(|_| 1) => "outcome=ok";
        no_extension: Result<u8, ExtensionRejection> = extension().await.map(|value| value.0)
            => "outcome=error http_status=500";
        a_tuple_as_the_error: Result<Json<u8>, TwoParts> =
            Err((StatusCode::UNAUTHORIZED, "who")) => "outcome=client_error http_status=401";
        // Only axum can ask this type for its status.
        own_response: Own = Own => "outcome=ok";
        own_error: Result<u8, Own> = Err(Own) => "outcome=error";
        axums_result: axum::response::Result<u8> = Err(StatusCode::NOT_FOUND.into())
            => "outcome=error";
        nothing: () = () => "outcome=ok";
    }

    /// `impl Trait` hides the type from the caller, but not from the function itself.
    #[instrumented(endpoint = "/x")]
    async fn hidden() -> impl IntoResponse {
        StatusCode::NOT_FOUND
    }

    #[instrumented(endpoint = "/x")]
    async fn hidden_beside_an_error(ok: bool) -> Result<impl IntoResponse, StatusCode> {
        if ok { Ok("") } else { Err(StatusCode::GONE) }
    }

    #[test]
    fn a_hidden_type_tells_what_it_is() {
        Recorded::during_async(async |recorded| {
            drop(hidden().await);
            let end = "outcome=client_error http_status=404";
            assert_eq!(recorded.lines(), one_call("endpoint=/x", end));
        });
        for (ok, end) in [
            (true, "outcome=ok"),
            (false, "outcome=client_error http_status=410"),
        ] {
            Recorded::during_async(async |recorded| {
                let _ = hidden_beside_an_error(ok).await;
                assert_eq!(recorded.lines(), one_call("endpoint=/x", end));
            });
        }
    }
}

mod on_actix_web {
    use actix_web::body::to_bytes;
    use actix_web::error::{ErrorForbidden, InternalError, JsonPayloadError, PayloadError};
    use actix_web::http::StatusCode;
    use actix_web::web::{Json, Redirect};
    use actix_web::{HttpResponse, Responder, ResponseError};

    use super::{HttpStatus, Recorded, instrumented, one_call};

    /// Tells a status only through actix-web's traits.
    #[derive(Debug)]
    struct Own(StatusCode);

    impl std::fmt::Display for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }

    impl ResponseError for Own {
        fn status_code(&self) -> StatusCode {
            self.0
        }
    }

    /// Tells a status only in its response, as in actix-web's own example of error
    /// handling.
    #[derive(Debug)]
    struct ByResponse;

    impl std::fmt::Display for ByResponse {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("by response")
        }
    }

    impl ResponseError for ByResponse {
        fn error_response(&self) -> HttpResponse {
            HttpResponse::Unauthorized().finish()
        }
    }

    /// An error whose response can be taken only once.
    fn with_response(status: StatusCode) -> InternalError<&'static str> {
        InternalError::from_response("", HttpResponse::build(status).body("prepared"))
    }

    /// Implements `HttpStatus` itself, which takes precedence.
    #[derive(Debug)]
    struct Both;

    impl std::fmt::Display for Both {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("both")
        }
    }

    impl ResponseError for Both {}

    impl HttpStatus for Both {
        fn http_status(&self) -> u16 {
            429
        }
    }

    told! {
        a_status: StatusCode = StatusCode::GONE => "outcome=client_error http_status=410";
        a_response: HttpResponse = HttpResponse::Created().finish()
            => "outcome=ok http_status=201";
        an_error: Result<HttpResponse, actix_web::Error> = Err(ErrorForbidden("no"))
            => "outcome=client_error http_status=403";
        the_frameworks_result: actix_web::Result<String> = Err(Own(StatusCode::BAD_GATEWAY).into())
            => "outcome=error http_status=502";
        own_error: Result<String, Own> = Err(Own(StatusCode::NOT_FOUND))
            => "outcome=client_error http_status=404";
        own_error_beside_text: Result<String, Own> = Ok(String::new()) => "outcome=ok";
        both: Result<HttpResponse, Both> = Err(Both) => "outcome=client_error http_status=429";
        one_of_actix_webs: Result<u8, JsonPayloadError> =
            Err(JsonPayloadError::Payload(PayloadError::Overflow))
            => "outcome=client_error http_status=413";
        an_internal_error: Result<u8, InternalError<&'static str>> =
            Err(InternalError::new("", StatusCode::BAD_REQUEST))
            => "outcome=client_error http_status=400";
        by_response: Result<u8, ByResponse> = Err(ByResponse)
            => "outcome=client_error http_status=401";
        by_response_converted: actix_web::Result<u8> = Err(ByResponse.into())
            => "outcome=client_error http_status=401";
        with_a_response: actix_web::Result<u8> = Err(with_response(StatusCode::SEE_OTHER).into())
            => "outcome=ok http_status=303";
        json: Json<u8> = Json(1) => "outcome=ok http_status=200";
        a_body_and_its_status: (&'static str, StatusCode) = ("", StatusCode::ACCEPTED)
            => "outcome=ok http_status=202";
        json_and_its_status: (Json<u8>, StatusCode) = (Json(1), StatusCode::CREATED)
                => "outcome=ok http_status=201";
            // The status is known only when the response to the request is made.
        a_redirect: Redirect = Redirect::to("/x") => "outcome=ok";
    }

    #[instrumented(endpoint = "/x")]
    async fn prepared(status: StatusCode) -> actix_web::Result<u8> {
        Err(with_response(status).into())
    }

    #[test]
    fn a_response_that_is_given_away_once_still_goes_out() {
        Recorded::during_async(async |recorded| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let error = prepared(status).await.expect_err("an error");
            let end = "outcome=error http_status=500";
            assert_eq!(recorded.lines(), one_call("endpoint=/x", end));
            let body = error.error_response().into_body();
            let body = to_bytes(body).await.expect("a body");
            assert_eq!(body, "prepared");
        });
    }

    #[instrumented(endpoint = "/x")]
    async fn hidden() -> impl Responder {
        HttpResponse::NotFound().finish()
    }

    #[test]
    fn a_hidden_type_tells_what_it_is() {
        Recorded::during_async(async |recorded| {
            drop(hidden().await);
            let end = "outcome=client_error http_status=404";
            assert_eq!(recorded.lines(), one_call("endpoint=/x", end));
        });
    }
}

mod on_tonic {
    use tonic::{Code, Response, Status};

    use super::{Recorded, instrumented, one_call};

    type Grpc = Result<Response<u8>, Status>;

    told! {
        ok: Grpc = Ok(Response::new(1)) => "outcome=ok grpc_status=OK";
        not_found: Grpc = Err(Status::not_found("")) => "outcome=client_error grpc_status=NOT_FOUND";
        unavailable: Grpc = Err(Status::unavailable("")) => "outcome=error grpc_status=UNAVAILABLE";
        an_error_that_is_ok: Grpc = Err(Status::new(Code::Ok, "")) => "outcome=ok grpc_status=OK";
        boxed: Result<Response<u8>, Box<Status>> = Err(Box::new(Status::aborted("")))
            => "outcome=client_error grpc_status=ABORTED";
        no_response: Result<u8, Status> = Ok(1) => "outcome=ok";
    }

    #[instrumented(endpoint = "/x", method = "POST")]
    async fn named() -> Grpc {
        std::future::pending().await
    }

    /// gRPC calls have the HTTP method `POST`, so `method = "POST"` does not turn a gRPC call
    /// into a plain HTTP request.
    #[test]
    fn a_cancelled_call_with_a_method_has_a_grpc_status() {
        Recorded::during_async(async |recorded| {
            let mut call = Box::pin(named());
            assert!(futures::poll!(call.as_mut()).is_pending());
            drop(call);
            let end = "outcome=cancelled grpc_status=CANCELLED";
            assert_eq!(recorded.lines(), one_call("method=POST endpoint=/x", end));
        });
    }
}

/// Errors from the standard library, which tell no status although a framework can turn
/// them into responses.
mod on_std {
    use std::error::Error;
    use std::io;

    use super::*;

    told! {
        io: io::Result<u8> = Err(io::ErrorKind::NotFound.into()) => "outcome=error";
        boxed: Result<u8, Box<dyn Error>> = Err("no".into()) => "outcome=error";
        boxed_to_send: Result<u8, Box<dyn Error + Send + Sync>> = Err("no".into())
            => "outcome=error";
        any: anyhow::Result<String> = Err(anyhow::anyhow!("no")) => "outcome=error";
        of_numbers: Result<u8, std::num::ParseIntError> = "x".parse() => "outcome=error";
        of_text: Result<(), std::str::Utf8Error> = String::from_utf8(vec![0xFF]).map(drop).map_err(|error| error.utf8_error())
            => "outcome=error";
        never: Result<String, Infallible> = Ok(String::new()) => "outcome=ok";
        text: String = String::new() => "outcome=ok";
        none: Option<StatusCode> = Some(StatusCode::NOT_FOUND) => "outcome=ok";
    }
}

/// Errors from the standard library in calls whose method is known, which makes the calls
/// requests. Framework features that are enabled for other functions change nothing.
mod on_std_as_a_handler {
    use std::error::Error;
    use std::io;

    use super::*;

    macro_rules! told {
        ($($name:ident: $type:ty = $value:expr => $end:literal;)*) => {
            $(
                #[test]
                fn $name() {
                    #[instrumented(endpoint = "/x", method = "GET")]
                    async fn call() -> $type {
                        tokio::task::yield_now().await;
                        $value
                    }

                    Recorded::during_async(async |recorded| {
                        let _: $type = call().await;
                        assert_eq!(recorded.lines(), one_call("method=GET endpoint=/x", $end));
                    });
                }
            )*
        };
    }

    told! {
        io: io::Result<u8> = Err(io::ErrorKind::NotFound.into()) => "outcome=error";
        boxed: Result<u8, Box<dyn Error>> = Err("no".into()) => "outcome=error";
        of_text: Result<(), std::str::Utf8Error> = String::from_utf8(vec![0xFF]).map(drop).map_err(|error| error.utf8_error())
            => "outcome=error";
        of_json: serde_json::Result<u8> = serde_json::from_str("-") => "outcome=error";
        text: String = String::new() => "outcome=ok http_status=200";
    }
}

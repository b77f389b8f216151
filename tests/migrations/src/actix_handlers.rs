//! The handlers for actix-web.

use actix_web::{HttpResponse, web};

/// `POST /users`
pub async fn create() -> HttpResponse {
    HttpResponse::Created().finish()
}

/// `GET /users/{id}`. The response has the id as its status for the ids 404 and 500.
pub async fn user(id: web::Path<u16>) -> HttpResponse {
    match *id {
        404 => HttpResponse::NotFound().finish(),
        500 => HttpResponse::InternalServerError().finish(),
        _ => HttpResponse::Ok().body(format!("user {id}")),
    }
}

/// `GET /sleep/{millis}`
pub async fn sleep(millis: web::Path<u64>) -> &'static str {
    crate::sleep(*millis).await;
    "slept"
}

/// `GET /download`
pub async fn download() -> HttpResponse {
    HttpResponse::Ok().streaming(Box::pin(crate::endless()))
}

/// `GET /crash`
///
/// # Panics
///
/// Always panics.
pub async fn crash() -> &'static str {
    panic!("a bug")
}

//! Arbitrary methods and paths do not increase the number of series on the page
//! (bounded cardinality).

use std::convert::Infallible;

use actix_web::App;
use actix_web::middleware::from_fn;
use axum::body::Body;
use instrument_runtime::{actix_web as actix, tower as on_tower};
use instrument_tests::alone;
use instrument_tests::page::Page;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::settings::Settings;
use crate::{actix_app, axum_app, install, runtime, tower_app};

const REQUESTS: usize = 10_000;

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// A generator of what any client can invent: methods and paths.
struct Wild(u64);

impl Wild {
    /// xorshift64*, from a fixed seed.
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
    }

    fn word(&mut self, letters: &[u8]) -> String {
        (0..=self.next(12))
            .map(|_| char::from(letters[self.next(letters.len())]))
            .collect()
    }

    fn method(&mut self) -> String {
        match self.next(12) {
            known @ 0..9 => METHODS[known].to_owned(),
            _ => self.word(b"ABCXYZgetpost-_!"),
        }
    }

    fn path(&mut self) -> String {
        const KNOWN: [&str; 14] = [
            "plain", "named", "quiet", "missing", "users", "api", "items", "create", "upload",
            "twice", "bare", "7", "..", "",
        ];
        let mut path = String::new();
        for _ in 0..=self.next(4) {
            path.push('/');
            match self.next(2) {
                0 => path += KNOWN[self.next(KNOWN.len())],
                _ => path += &self.word(b"abcxyz0189-._~{}*:$%25"),
            }
        }
        // In a URL, two hexadecimal digits must follow a `%`.
        path.replace('%', "%25").replace(['{', '}'], "'")
    }
}

/// Sends every route with every method first, then random requests.
async fn sends(mut send: impl AsyncFnMut(String, String)) {
    const ROUTES: [&str; 14] = [
        "/plain",
        "/named",
        "/quiet",
        "/missing",
        "/users/7",
        "/users/x",
        "/quiet/7",
        "/quiet/x",
        "/api/items/7",
        "/api/items/x",
        "/create",
        "/upload",
        "/twice/bare",
        "/twice/quiet",
    ];
    let exporter = install();
    let lines = || {
        let page = exporter.render();
        page.lines().filter(|line| !line.starts_with('#')).count()
    };
    let mut sent = 0;
    for path in ROUTES.into_iter().chain(["/api/nothing", "/nothing"]) {
        for method in METHODS.into_iter().chain(["BREW"]) {
            send(method.to_owned(), path.to_owned()).await;
            sent += 1;
        }
    }
    let known = lines();
    let mut wild = Wild(0x5EED);
    for _ in 0..REQUESTS {
        send(wild.method(), wild.path()).await;
        sent += 1;
    }
    assert_eq!(lines(), known, "the page has grown");
    let page = Page::parse(&exporter.render());
    let counts = page.samples("requests_total");
    let of_requests = counts.filter(|(labels, _)| labels.contains_key("method"));
    let counted: f64 = of_requests.map(|(_, count)| count).sum();
    assert_eq!(counted as usize, sent);
}

#[test]
fn wild_requests_to_axum() {
    alone("series_bound::wild_requests_to_axum", || {
        let app = axum_app::app(Settings::NONE);
        runtime().block_on(sends(async |method, path| {
            let request = request(&method, &path, Body::empty());
            let Ok(response) = app.clone().oneshot(request).await;
            drop(response);
        }));
    });
}

#[test]
fn wild_requests_to_tower() {
    alone("series_bound::wild_requests_to_tower", || {
        let app = ServiceBuilder::new()
            .layer(on_tower::layer())
            .service(service_fn(|request: http::Request<Body>| {
                tower_app::answer(request, Settings::NONE)
            }));
        runtime().block_on(sends(async |method, path| {
            let request = request(&method, &path, Body::empty());
            let _: Result<_, Infallible> = app.clone().oneshot(request).await;
        }));
    });
}

#[test]
fn wild_requests_to_actix_web() {
    alone("series_bound::wild_requests_to_actix_web", || {
        actix_web::rt::System::new().block_on(async {
            let app = actix_web::test::init_service(
                App::new()
                    .configure(actix_app::configure(Settings::NONE))
                    .wrap(from_fn(actix_app::middle))
                    .wrap(actix::middleware()),
            )
            .await;
            sends(async |method, path| {
                let request = actix_web::test::TestRequest::with_uri(&path)
                    .method(method.parse().expect("a method"))
                    .to_request();
                drop(actix_web::test::try_call_service(&app, request).await);
            })
            .await;
        });
    });
}

fn request(method: &str, path: &str, body: Body) -> http::Request<Body> {
    http::Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .expect("a request")
}

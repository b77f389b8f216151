//! Sends the same requests to the same application on axum, on actix-web and on plain
//! hyper, with each setting of the layers. Each request is counted exactly once, with the
//! same labels, in all metrics.
//!
//! - `table`: the requests and their expected counts.
//! - `settings`: the settings of the layers.
//! - `exchange`: sends a row of the table, and waits until it is counted.
//! - `handlers`: the handlers and middleware that the applications share.
//! - `axum_app`, `actix_app`, `tower_app`: the applications.
//! - `client`, `counted`: the HTTP client, and the comparison of counts.
//! - `attribution`, `attribution_actix`: which function a request is attributed to.
//! - `within`: requests inside requests, and nested routers.
//! - `actix_errors`: how actix-web's errors are counted.
//! - `series_bound`: the number of series stays bounded for arbitrary requests.

mod actix_app;
mod actix_errors;
mod attribution;
mod attribution_actix;
mod axum_app;
mod client;
mod counted;
mod exchange;
mod handlers;
mod series_bound;
mod settings;
mod table;
mod tower_app;
mod within;

use instrument_runtime::Exporter;

/// Installs with few buckets, because the tests read the page again and again.
fn install() -> Exporter {
    instrument_runtime::builder("requests")
        .without_listener()
        .buckets(&[1.0])
        .buckets_for("response_size_bytes", &[1.0])
        .install()
        .expect("installs")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Defines the tests of the table on a framework, one for each setting.
macro_rules! table_on {
    ($module:ident, $framework:ident) => {
        mod $module {
            use instrument_tests::alone;

            use crate::exchange::{Framework, every_kind_is_counted_once};
            use crate::settings::Settings;

            table_on!($module, $framework, plain: NONE);
            table_on!($module, $framework, until_body_end: UNTIL_BODY_END);
            table_on!($module, $framework, response_sizes: RESPONSE_SIZES);
            table_on!($module, $framework, skip: SKIP);
            table_on!($module, $framework, label: LABEL);
            table_on!($module, $framework, all_settings: ALL);
        }
    };
    ($module:ident, $framework:ident, $name:ident: $settings:ident) => {
        #[test]
        fn $name() {
            // Each process has one global recorder.
            alone(
                concat!(stringify!($module), "::", stringify!($name)),
                || every_kind_is_counted_once(Framework::$framework, Settings::$settings),
            );
        }
    };
}

table_on!(on_axum, Axum);
table_on!(on_actix_web, ActixWeb);
table_on!(on_tower, Tower);

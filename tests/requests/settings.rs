//! The settings of the layers that the table runs with.

use instrument_runtime::RequestHead;

/// Which settings the layers have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) until_body_end: bool,
    pub(crate) response_sizes: bool,
    /// Requests with the header `x-skip` are not counted.
    pub(crate) skip: bool,
    /// The label `tenant` has the value of the header `x-tenant`.
    pub(crate) label: bool,
}

/// The value of the header `x-tenant` in every request.
pub(crate) const TENANT: &str = "umbrella";

impl Settings {
    pub(crate) const NONE: Self = Self {
        until_body_end: false,
        response_sizes: false,
        skip: false,
        label: false,
    };
    pub(crate) const UNTIL_BODY_END: Self = Self {
        until_body_end: true,
        ..Self::NONE
    };
    pub(crate) const RESPONSE_SIZES: Self = Self {
        response_sizes: true,
        ..Self::NONE
    };
    pub(crate) const SKIP: Self = Self {
        skip: true,
        ..Self::NONE
    };
    pub(crate) const LABEL: Self = Self {
        label: true,
        ..Self::NONE
    };
    pub(crate) const ALL: Self = Self {
        until_body_end: true,
        response_sizes: true,
        skip: true,
        label: true,
    };
}

pub(crate) fn is_skipped(head: &RequestHead<'_>) -> bool {
    head.header("x-skip").is_some()
}

pub(crate) fn tenant(head: &RequestHead<'_>) -> String {
    head.header("X-Tenant").unwrap_or_default().to_owned()
}

/// Evaluates `$then` with `$layer`, which is `$new` with the settings. A macro, because a
/// layer that follows bodies has another type, and actix-web's middleware has others again.
macro_rules! with_settings {
    ($settings:expr, $new:expr, |$layer:ident| $then:expr) => {{
        let settings: $crate::settings::Settings = $settings;
        if settings.until_body_end || settings.response_sizes {
            let mut $layer = match (settings.until_body_end, settings.response_sizes) {
                (true, true) => $new.until_body_end().response_sizes(),
                (true, false) => $new.until_body_end(),
                _ => $new.response_sizes(),
            };
            $crate::settings::with_settings!(@head settings, $layer);
            $then
        } else {
            let mut $layer = $new;
            $crate::settings::with_settings!(@head settings, $layer);
            $then
        }
    }};
    (@head $settings:ident, $layer:ident) => {
        if $settings.skip {
            $layer = $layer.skip($crate::settings::is_skipped);
        }
        if $settings.label {
            $layer = $layer.label("tenant", $crate::settings::tenant);
        }
    };
}
pub(crate) use with_settings;

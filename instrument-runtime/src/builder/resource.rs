//! The resource, as OpenTelemetry calls it: what the metric `target_info` says about the
//! application.

use std::collections::BTreeMap;

use crate::builder::environment;
use crate::error::InitError;
use crate::percent;

const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// The application, as its settings and the environment describe it.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) service_name: String,
    /// The labels of `target_info`, sorted by name.
    pub(super) labels: Vec<(String, String)>,
}

/// Reads the environment. `OTEL_SERVICE_NAME` wins over `app_name`. `app_name` and
/// `version` win over `service.name` and `service.version` in `OTEL_RESOURCE_ATTRIBUTES`.
pub(super) fn resource(app_name: String, version: Option<&str>) -> Result<Resource, InitError> {
    described(
        environment::read(SERVICE_NAME)?,
        environment::read(ATTRIBUTES)?.as_deref(),
        app_name,
        version,
    )
}

fn described(
    service_name: Option<String>,
    attributes: Option<&str>,
    app_name: String,
    version: Option<&str>,
) -> Result<Resource, InitError> {
    let mut all = parsed(attributes.unwrap_or_default())?;
    let service_name = service_name.unwrap_or(app_name);
    all.insert("service.name".to_owned(), service_name.clone());
    if let Some(version) = version {
        all.insert("service.version".to_owned(), version.to_owned());
    }
    // Attributes whose names become the same label are joined, as OpenTelemetry's
    // Prometheus exporters do.
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in all {
        let joined = labels.entry(label_name(&name)).or_default();
        if !joined.is_empty() {
            joined.push(';');
        }
        joined.push_str(&value);
    }
    labels.retain(|_, value| !value.is_empty());
    Ok(Resource {
        service_name,
        labels: labels.into_iter().collect(),
    })
}

/// Reads `key=value,key=value`, with percent-encoded values.
fn parsed(attributes: &str) -> Result<BTreeMap<String, String>, InitError> {
    let refuse = |problem: String| InitError::Environment {
        variable: ATTRIBUTES,
        value: attributes.to_owned(),
        problem,
    };
    attributes
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .filter(|(name, _)| !name.trim().is_empty())
                .ok_or_else(|| refuse(format!("contains {pair:?}; write `key=value,key=value`")))?;
            let value = percent::decoded(value.trim())
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| {
                    refuse(format!(
                        "contains {pair:?}, whose value is not percent-encoded UTF-8; write `%25` \
                         for `%`"
                    ))
                })?;
            Ok((name.trim().to_owned(), value))
        })
        .collect()
}

/// Writes `_` for every character that a label name cannot have, as OpenTelemetry's
/// [rules for Prometheus](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/)
/// ask for.
fn label_name(attribute: &str) -> String {
    let mut name = String::with_capacity(attribute.len());
    for sign in attribute.chars() {
        let sign = if sign.is_ascii_alphanumeric() {
            sign
        } else {
            '_'
        };
        // Consecutive underscores become a single one, because Prometheus reserves label
        // names that begin with two.
        if sign != '_' || !name.ends_with('_') {
            name.push(sign);
        }
    }
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert_str(0, "key_");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: Option<&str>, attributes: &str, version: Option<&str>) -> String {
        let name = name.map(str::to_owned);
        let resource = described(name, Some(attributes), "app".to_owned(), version);
        let labels = resource.expect("a resource").labels.into_iter();
        labels
            .map(|(name, value)| format!("{name}={value:?} "))
            .collect()
    }

    #[test]
    fn the_environment_describes_the_application() {
        for (name, attributes, version, expected) in [
            (None, "", None, "service_name=\"app\" "),
            (
                Some("other"),
                "service.name=third,service.version=0.1",
                Some("0.2"),
                "service_name=\"other\" service_version=\"0.2\" ",
            ),
            (
                None,
                " deployment.environment.name = pro%20d%2C1 ,, a.b=1,a_b=2,9=x,empty=",
                None,
                "a_b=\"1;2\" deployment_environment_name=\"pro d,1\" key_9=\"x\" \
                 service_name=\"app\" ",
            ),
            (None, "__x=1", None, "_x=\"1\" service_name=\"app\" "),
        ] {
            assert_eq!(labels(name, attributes, version), expected, "{attributes}");
        }
    }

    #[test]
    fn a_bad_attribute_is_named() {
        for (attributes, named) in [
            ("a", "\"a\""),
            ("x=1,=b", "\"=b\""),
            ("a=%zz", "percent-encoded"),
            ("a=%ff", "percent-encoded"),
        ] {
            let refused = described(None, Some(attributes), "app".to_owned(), None);
            let message = refused.expect_err(attributes).to_string();
            assert!(message.contains(named), "{message}");
            assert!(message.contains(ATTRIBUTES), "{message}");
        }
    }
}

//! Checks the manifests of `deploy/kubernetes` against the schemas of Kubernetes and of the
//! Prometheus operator. The schemas are Rust types, which other crates generate.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::Service;
    use kcr_monitoring_coreos_com::v1::podmonitors::PodMonitor;
    use kcr_monitoring_coreos_com::v1::prometheusrules::PrometheusRule;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    fn read(file: &str) -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/kubernetes");
        let text = fs::read_to_string(Path::new(folder).join(file)).expect(file);
        serde_norway::from_str(&text).expect(file)
    }

    /// Returns the first mistake in a manifest: a field of the wrong type, a missing field,
    /// or a field that is not in the schema.
    fn wrong<T: DeserializeOwned + Serialize>(manifest: &Value) -> Option<String> {
        match serde_json::from_value::<T>(manifest.clone()) {
            Err(error) => Some(error.to_string()),
            // Deserialization ignores unknown fields. They are missing after a round trip.
            Ok(read) => lost(manifest, &serde_json::to_value(read).expect("JSON"), ""),
        }
    }

    fn lost(given: &Value, taken: &Value, path: &str) -> Option<String> {
        match (given, taken) {
            (Value::Object(given), Value::Object(taken)) => {
                given.iter().find_map(|(name, value)| {
                    let path = format!("{path}.{name}");
                    match taken.get(name) {
                        Some(taken) => lost(value, taken, &path),
                        None => Some(format!("{path} is not in the schema")),
                    }
                })
            }
            (Value::Array(given), Value::Array(taken)) if given.len() == taken.len() => given
                .iter()
                .zip(taken)
                .enumerate()
                .find_map(|(at, (given, taken))| lost(given, taken, &format!("{path}[{at}]"))),
            _ if given == taken => None,
            _ => Some(format!("{path}: {given} is read as {taken}")),
        }
    }

    fn check(file: &str, manifest: &Value) -> Option<String> {
        match file {
            "deployment.yml" => wrong::<Deployment>(manifest),
            "service.yml" => wrong::<Service>(manifest),
            "podmonitor.yml" => wrong::<PodMonitor>(manifest),
            "prometheusrule.yml" => wrong::<PrometheusRule>(manifest),
            _ => Some(format!("no schema for {file}")),
        }
    }

    #[test]
    fn each_manifest_is_as_its_schema_says() {
        let resources = read("kustomization.yaml")["resources"].clone();
        let files: Vec<String> = serde_json::from_value(resources).expect("a list of files");
        assert_eq!(files.len(), 4, "{files:?}");
        for file in files {
            assert_eq!(check(&file, &read(&file)), None, "{file}");
        }
    }

    /// The message about each of these mistakes names the wrong field or value.
    #[test]
    fn a_mistake_is_found() {
        let container = "/spec/template/spec/containers/0";
        for (file, parent, name, value, says) in [
            ("deployment.yml", "/spec", "replicas", "four".into(), "four"),
            ("deployment.yml", "/spec", "selector", Value::Null, "null"),
            ("deployment.yml", "", "kind", "Service".into(), "Service"),
            (
                "deployment.yml",
                container,
                "imagepullpolicy",
                "Always".into(),
                "imagepullpolicy",
            ),
            (
                "service.yml",
                "/spec/ports/0",
                "port",
                "http".into(),
                "http",
            ),
            ("service.yml", "/spec", "selectors", 1.into(), "selectors"),
            ("podmonitor.yml", "/spec", "selector", Value::Null, "null"),
            (
                "podmonitor.yml",
                "/spec/podMetricsEndpoints/0",
                "targetport",
                1.into(),
                "targetport",
            ),
            (
                "podmonitor.yml",
                "/spec/podMetricsEndpoints/0",
                "path",
                1.into(),
                "1",
            ),
            (
                "prometheusrule.yml",
                "/spec/groups/0",
                "intervall",
                "1m".into(),
                "intervall",
            ),
            (
                "prometheusrule.yml",
                "/spec/groups/0/rules/0",
                "labels",
                "a=b".into(),
                "a=b",
            ),
        ] {
            let mut manifest = read(file);
            manifest.pointer_mut(parent).expect(parent)[name] = value;
            let found = check(file, &manifest).unwrap_or_else(|| panic!("{parent}/{name} passes"));
            assert!(found.contains(says), "{found}");
        }
    }
}

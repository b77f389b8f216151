//! `kubernetes/prometheusrule.yml`.

use std::fmt::Write;

use serde_norway::Value;

/// Returns a manifest with the groups of several rule files.
pub(crate) fn manifest(files: &[(&str, &str)]) -> String {
    let mut names = Vec::new();
    let mut groups = Vec::new();
    for (name, text) in files {
        names.push(*name);
        // Aliases are resolved here. The operator's API does not know them.
        let mut file: Value = serde_norway::from_str(text).expect(name);
        let Some(Value::Sequence(list)) = file.get_mut("groups") else {
            panic!("{name} has no groups");
        };
        groups.append(list);
    }
    let mut yaml = format!(
        "# The rules of prometheus/{}, for the Prometheus\n\
         # Operator. The comments on the rules are in those files.\n\
         #\n\
         # Generated. To generate it again:\n\
         # `UPDATE_RULES=1 cargo test -p instrument-tests --test rule_files`.\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n\
         \x20 name: webapp\n\
         \x20 # Add the labels that `ruleSelector` of the Prometheus resource asks for.\n\
         \x20 labels: {{ app.kubernetes.io/name: webapp }}\n\
         spec:\n\
         \x20 groups:\n",
        names.join(" and prometheus/")
    );
    let groups = serde_norway::to_string(&groups).expect("YAML");
    for line in groups.lines() {
        let indent = if line.is_empty() { "" } else { "  " };
        writeln!(yaml, "{indent}{line}").expect("written");
    }
    yaml
}

//! Checks the files in `deploy/` without deploying them: promtool checks configurations
//! and rules, the proxies check their configurations, and the other files are checked for
//! their syntax and for consistency with each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use instrument_tests::program::is_installed;
use instrument_tests::random::Random;
use serde_json::Value;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn promtool(arguments: &[&str]) {
    if !is_installed("promtool") {
        return;
    }
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(deploy().join("prometheus"))
        .output()
        .expect("promtool runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// The files with rules, and the files with their cases.
const RULES: [(&str, &str); 2] = [("rules.yml", "rules_test.yml"), ("slo.yml", "slo_test.yml")];

#[test]
fn the_rules_are_rules() {
    for (rules, _) in RULES {
        promtool(&["check", "rules", "--lint-fatal", rules]);
    }
}

#[test]
fn the_rules_do_what_their_cases_say() {
    for (_, cases) in RULES {
        promtool(&["test", "rules", cases]);
    }
}

#[test]
fn the_configurations_are_configurations() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "config", "discovery.yml"]);
}

#[test]
fn every_rule_has_a_case() {
    let mut rules_found = 0;
    for (rules, cases) in RULES {
        let rules = yaml(&deploy().join("prometheus").join(rules));
        let cases = fs::read_to_string(deploy().join("prometheus").join(cases)).expect("the cases");
        for rule in all_rules(&rules) {
            let name = rule["record"].as_str().or(rule["alert"].as_str());
            let name = name.expect("a name");
            assert!(cases.contains(name), "no case for {name}");
            rules_found += 1;
        }
    }
    assert!(rules_found >= 40, "{rules_found}");
}

/// The labels that differ between the instances of a job are the same in each rule that drops
/// them. Otherwise, the objective and the errors would have different labels, and the alert
/// would find no match.
#[test]
fn the_rules_for_objectives_drop_the_same_labels() {
    for file in ["slo.yml", "slo-opentelemetry.yml", "slo-native.yml"] {
        let rules = yaml(&deploy().join("prometheus").join(file));
        let mut lists = Vec::new();
        for rule in all_rules(&rules) {
            let expression = rule["expr"].as_str().expect("an expression");
            for part in expression.split("without (").skip(1) {
                let (labels, _) = part.split_once(')').expect("a list of labels");
                let mut labels: Vec<&str> = labels.split(", ").collect();
                // The counters of the instances have this label.
                labels.retain(|label| *label != "instance");
                if !labels.is_empty() {
                    lists.push(labels.join(", "));
                }
            }
        }
        assert_eq!(lists.len(), 3, "{file}: {lists:?}");
        lists.dedup();
        assert_eq!(lists.len(), 1, "{file}: {lists:#?}");
    }
}

/// The cases are too short to notice a wrong window of days.
#[test]
fn each_window_is_the_one_in_its_name() {
    let rules = yaml(&deploy().join("prometheus/slo.yml"));
    let mut windows = 0;
    for rule in all_rules(&rules) {
        let expression = rule["expr"].as_str().expect("an expression");
        let name = rule["record"].as_str().unwrap_or_default();
        let (_, kind) = name.rsplit_once(':').unwrap_or_default();
        let ratio = kind.strip_prefix("ratio_rate");
        // From the recorded increases of the same window.
        if ratio == Some("1h") {
            assert!(
                expression.contains("slo:requests:increase1h"),
                "{expression}"
            );
            continue;
        }
        if let Some(window) = ratio.or(kind.strip_prefix("increase")) {
            for range in expression.split('[').skip(1) {
                let (range, _) = range.split_once(']').expect("a range");
                let (range, _) = range.split_once(':').unwrap_or((range, ""));
                // An increase of 5 minutes, see the comment there.
                let is_increase = range == "329s" && expression.ends_with(" * 300 / 329\n");
                let range = if is_increase { "5m" } else { range };
                assert_eq!(range, window, "{name}: {expression}");
                windows += 1;
            }
        }
        if let Some(window) = kind.strip_prefix("burn_rate") {
            let ratio = format!("slo:request_errors:ratio_rate{window} / slo:request_error_budget");
            assert!(expression.starts_with(&ratio), "{name}: {expression}");
            windows += 1;
        }
        if kind == "ratio30d" {
            assert!(
                expression.contains("slo:request_errors:ratio_rate30d / "),
                "{expression}"
            );
            windows += 1;
        }
        if let Some(window) = rule["labels"]["window"].as_str() {
            // The value of the alert is the burn rate of its window.
            let long = format!("slo:request_errors:burn_rate{window} > ");
            assert!(expression.starts_with(&long), "{window}: {expression}");
            let counts = format!("slo:request_errors:increase5m[{window}:5m])");
            let counts = expression.contains(&counts) || expression.contains("increase1h >= ");
            assert!(counts, "{window}: {expression}");
            windows += 1;
        }
    }
    // Two ranges each for the ratios of 7 windows, three each for the increases of 5 minutes, and
    // one each for those of an hour. The burn rates of 7 windows, 4 alerts and the budget.
    assert_eq!(windows, 7 * 2 + 2 * 3 + 2 + 7 + 4 + 1);
}

/// The increases of five minutes add up to the counter, whatever the time between the evaluation
/// of the counter and that of the increases is.
#[test]
fn an_error_counts_once_wherever_the_increases_begin() {
    const SCRAPE: u64 = 15;
    const EVALUATION: u64 = 30;
    const END: u64 = 2 * 3600;
    if !is_installed("promtool") {
        return;
    }
    let file = deploy().join("prometheus/slo.yml");
    let rules = yaml(&file);
    let increase = all_rules(&rules)
        .find(|rule| rule["record"] == "slo:request_errors:increase5m")
        .and_then(|rule| rule["expr"].as_str())
        .expect("a rule");

    // An error now and then, at each scrape.
    let mut random = Random::new(1);
    let mut errors = vec![0];
    while (errors.len() as u64) <= END / SCRAPE {
        let error = u64::from(random.below(8) == 0);
        errors.push(errors[errors.len() - 1] + error);
    }
    let values: Vec<String> = errors.iter().map(u64::to_string).collect();
    let recorded = |time: u64| errors[(time / EVALUATION * EVALUATION / SCRAPE) as usize];
    let mut cases = format!(
        "rule_files: [{}]\n\
         evaluation_interval: {EVALUATION}s\n\
         group_eval_order: [slo, slo-increases, slo-windows]\n\
         tests:\n\
         - interval: {SCRAPE}s\n\
         \x20 input_series:\n\
         \x20 - {{series: 'request_objective_ratio{{job=\"a\", slo=\"x\", sli=\"success\"}}', values: '0.9x{END}'}}\n\
         \x20 - {{series: 'requests_total{{job=\"a\", outcome=\"error\"}}', values: '{}'}}\n\
         \x20 promql_expr_test:\n",
        file.canonicalize().expect("a path").display(),
        values.join(" ")
    );
    for phase in [0, 1, 8, 15, 22, 29] {
        for time in (600 + phase..END).step_by(300) {
            let expected = recorded(time) - recorded(time - 300);
            cases += &format!(
                "  - expr: round({}, 0.0001)\n\
                 \x20   eval_time: {time}s\n\
                 \x20   exp_samples: [{{labels: '{{job=\"a\", slo=\"x\", sli=\"success\"}}', value: {expected}}}]\n",
                increase.replace('\n', " ")
            );
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let test = folder.path().join("test.yml");
    fs::write(&test, cases).expect("written");
    promtool(&["test", "rules", test.to_str().expect("UTF-8")]);
}

/// The configurations in the documentation are valid as they are.
#[test]
fn the_documented_configurations_are_configurations() {
    if !is_installed("promtool") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut found = 0;
    for page in [
        "README.md",
        "deploy/README.md",
        "deploy/queries.md",
        "instrument-runtime/src/builder/mod.rs",
        "instrument-runtime/src/discovery/http_sd.rs",
        "examples/fleet/src/bin/registry.rs",
    ] {
        let text = fs::read_to_string(deploy().join("..").join(page)).expect(page);
        for block in blocks(&text, "yaml") {
            let file = folder.path().join("prometheus.yml");
            fs::write(&file, &block).expect("written");
            let file = file.to_str().expect("UTF-8");
            promtool(&["check", "config", file]);
            found += 1;
        }
    }
    assert!(found >= 4, "{found}");
}

/// Returns the code blocks in a language, in Markdown or in doc comments.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opens = format!("```{language}");
    let mut lines = text.lines().map(|line| {
        let start = line.trim_start();
        let comment = start.strip_prefix("///").or(start.strip_prefix("//!"));
        comment.map_or(line, |line| line.strip_prefix(' ').unwrap_or(line))
    });
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line == opens) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push(block.join("\n"));
    }
    found
}

/// Each alert needs a test case in which it fires and one in which it does not. Otherwise
/// an alert that always or never fires would pass.
#[test]
fn every_alert_has_a_case_for_and_one_against_it() {
    let mut found = 0;
    for (rules, cases) in RULES {
        let rules = yaml(&deploy().join("prometheus").join(rules));
        let cases = yaml(&deploy().join("prometheus").join(cases));
        let told: Vec<&Value> = list(&cases["tests"])
            .iter()
            .flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten())
            .collect();
        for alert in all_rules(&rules).filter(|rule| rule["alert"].is_string()) {
            let name = &alert["alert"];
            let fires = told.iter().filter(|case| case["alertname"] == *name);
            let silent = fires
                .clone()
                .any(|case| list(&case["exp_alerts"]).is_empty());
            assert!(silent, "no case where {name} does not fire");
            // Several alerts have the same name, but no two of them have the same labels.
            let labels = alert["labels"].as_object().expect("labels");
            let fired = fires
                .flat_map(|case| list(&case["exp_alerts"]))
                .any(|fired| {
                    labels
                        .iter()
                        .all(|(label, value)| fired["exp_labels"][label] == *value)
                });
            assert!(fired, "no case where {name} fires with {labels:?}");
            found += 1;
        }
    }
    assert!(found >= 13, "{found}");
}

#[test]
fn haproxy_takes_its_configuration() {
    if !is_installed("haproxy") {
        return;
    }
    let output = Command::new("haproxy")
        .args(["-c", "-f"])
        .arg(deploy().join("../examples/fleet/haproxy.cfg"))
        .env("LISTEN", "127.0.0.1:8080")
        .env("INSTANCE_1", "127.0.0.1:8081")
        .env("INSTANCE_2", "127.0.0.1:8082")
        .output()
        .expect("haproxy runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn every_file_is_what_its_name_says() {
    let mut folders = vec![deploy()];
    let mut parsed = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            match extension {
                _ if path.is_dir() => {
                    folders.push(path);
                    continue;
                }
                Some("yml" | "yaml") => drop(yaml(&path)),
                Some("json") => drop(json(&path)),
                _ => continue,
            }
            parsed += 1;
        }
    }
    assert!(parsed >= 10, "{parsed}");
}

#[test]
fn the_containers_fit_together() {
    let compose = yaml(&deploy().join("compose.yml"));
    let services = compose["services"].as_object().expect("services");
    let mut mounts = Vec::new();
    for (name, service) in services {
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let mount = mount.as_str().expect("a mount");
            let mut parts = mount.split(':');
            let source = parts.next().expect("a source");
            let target = parts.next().expect("a target").to_owned();
            if source.starts_with('.') {
                assert!(deploy().join(source).exists(), "{name}: no {source}");
            }
            mounts.push((deploy().join(source), target));
        }
    }
    let dockerfile = fs::read_to_string(deploy().join("Dockerfile")).expect("a Dockerfile");
    let build = &services["app"]["build"];
    assert_eq!(build["dockerfile"], "deploy/Dockerfile");
    let context = build["context"].as_str().expect("a context");
    assert!(deploy().join(context).join("Cargo.toml").exists());
    assert!(dockerfile.contains("\nUSER "), "not as root");

    // Prometheus scrapes the service by its name, on the port of the page.
    let prometheus = yaml(&deploy().join("prometheus/prometheus.yml"));
    let discovery = &prometheus["scrape_configs"][0]["dns_sd_configs"][0];
    let name = discovery["names"][0].as_str().expect("a name");
    assert!(services.contains_key(name), "no service {name}");
    assert!(dockerfile.contains(&format!("EXPOSE 8080 {}", discovery["port"])));

    // Prometheus finds the rules next to its configuration, and keeps the data for the
    // longest window of the objectives.
    for file in list(&prometheus["rule_files"]) {
        let file = file.as_str().expect("a file");
        let source = deploy().join("./prometheus").join(file);
        let target = format!("/etc/prometheus/{file}");
        assert!(mounts.contains(&(source, target)), "{file}: {mounts:?}");
    }
    let discovery = yaml(&deploy().join("prometheus/discovery.yml"));
    assert_eq!(discovery["rule_files"], prometheus["rule_files"]);
    let arguments = list(&services["prometheus"]["command"]);
    assert!(arguments.contains(&"--storage.tsdb.retention.time=31d".into()));

    // Grafana queries Prometheus by its name, and finds the dashboards.
    let sources = yaml(&deploy().join("grafana/provisioning/datasources/prometheus.yml"));
    let url = sources["datasources"][0]["url"].as_str().expect("a URL");
    let host = url
        .strip_prefix("http://")
        .and_then(|url| url.split(':').next());
    assert!(services.contains_key(host.expect("a host")), "{url}");
    let providers = yaml(&deploy().join("grafana/provisioning/dashboards/dashboards.yml"));
    let path = providers["providers"][0]["options"]["path"].as_str();
    let (folder, _) = mounts
        .iter()
        .find(|(_, target)| Some(target.as_str()) == path)
        .expect("the dashboards are mounted");
    for dashboard in ["requests.json", "objectives.json"] {
        assert!(folder.join(dashboard).exists(), "{dashboard}");
    }
}

#[test]
fn the_manifests_fit_together() {
    let of = |file: &str| yaml(&deploy().join("kubernetes").join(file));
    let deployment = of("deployment.yml");
    let pod = &deployment["spec"]["template"];
    let labels = pod["metadata"]["labels"].as_object().expect("labels");
    let carries = |selector: &Value| {
        let selector = selector.as_object().expect("a selector");
        assert!(!selector.is_empty());
        selector
            .iter()
            .all(|(name, value)| labels.get(name) == Some(value))
    };
    assert!(carries(&deployment["spec"]["selector"]["matchLabels"]));
    let container = &pod["spec"]["containers"][0];
    let port = |name: &Value| {
        let ports = list(&container["ports"]);
        let found = ports.iter().find(|port| port["name"] == *name);
        found.expect("a named port")["containerPort"].clone()
    };

    let service = of("service.yml");
    assert!(carries(&service["spec"]["selector"]));
    assert_eq!(port(&service["spec"]["ports"][0]["targetPort"]), 8080);

    let monitor = of("podmonitor.yml");
    assert!(carries(&monitor["spec"]["selector"]["matchLabels"]));
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let metrics = port(&endpoint["port"]);
    let job = monitor["spec"]["jobLabel"].as_str().expect("a label");
    assert_eq!(labels[job], "webapp");
    // The operator sets the label `endpoint` of the target, which the application sets, too.
    assert_eq!(endpoint["honorLabels"], true);

    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/scrape"], "true");
    assert_eq!(annotations["prometheus.io/path"], "/metrics");
    assert_eq!(annotations["prometheus.io/port"], metrics.to_string());
    port(&container["readinessProbe"]["tcpSocket"]["port"]);
    port(&container["livenessProbe"]["httpGet"]["port"]);

    let all = of("kustomization.yaml");
    for resource in list(&all["resources"]) {
        let file = resource.as_str().expect("a file");
        assert!(deploy().join("kubernetes").join(file).exists(), "{file}");
    }
}

/// Returns the rules of all groups.
fn all_rules(file: &Value) -> impl Iterator<Item = &Value> {
    list(&file["groups"])
        .iter()
        .flat_map(|group| list(&group["rules"]))
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

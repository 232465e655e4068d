//! The files in `deploy/` for Prometheus and Grafana can be read, and name only metrics that a node has.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/dashboards/rstmdb.json")).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

fn targets(panel: &Value) -> impl Iterator<Item = &Value> {
    panel["targets"].as_array().into_iter().flatten()
}

/// Everything in a text that looks like a metric of ours.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("rstmdb_"))
        .map(str::to_owned)
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The metrics the server's source names, without old names that go with the next version.
fn known_metrics() -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(&repository().join("node/src/server/metrics"), &mut files);
    files.retain(|file| !file.ends_with("renamed.rs"));
    let sources = files.iter().map(|file| fs::read_to_string(file).unwrap());
    sources.flat_map(|source| metrics_in(&source)).collect()
}

/// The metrics that a node does not have. A query names a histogram by its parts.
fn unknown(asked: &BTreeSet<String>, known: &BTreeSet<String>) -> Vec<String> {
    let is_known = |metric: &&String| {
        let parts = ["_bucket", "_sum", "_count"];
        known.contains(*metric)
            || parts.iter().any(|part| {
                metric
                    .strip_suffix(part)
                    .is_some_and(|whole| known.contains(whole))
            })
    };
    asked
        .iter()
        .filter(|metric| !is_known(metric))
        .cloned()
        .collect()
}

#[test]
fn the_dashboard_asks_only_for_metrics_a_node_has() {
    let dashboard = dashboard();
    let expressions = panels(&dashboard)
        .iter()
        .flat_map(targets)
        .map(|target| &target["expr"]);
    let asked: BTreeSet<String> = expressions
        .flat_map(|expression| metrics_in(expression.as_str().unwrap()))
        .collect();
    assert!(asked.len() > 20, "{asked:?}");
    assert_eq!(unknown(&asked, &known_metrics()), Vec::<String>::new());
}

#[test]
fn every_alert_has_a_severity_and_a_summary_and_asks_only_for_metrics_a_node_has() {
    let alerts = yaml("deploy/prometheus/alerts.yml");
    let known = known_metrics();
    let mut names = HashSet::new();
    for group in alerts["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            assert!(names.insert(name), "{name} is there twice");
            let severity = rule["labels"]["severity"].as_str().unwrap();
            assert!(
                ["critical", "warning"].contains(&severity),
                "{name}: {severity}"
            );
            assert!(
                rule["annotations"]["summary"].is_string(),
                "{name} has no summary"
            );
            let asked = metrics_in(rule["expr"].as_str().unwrap());
            assert_eq!(unknown(&asked, &known), Vec::<String>::new(), "{name}");
        }
    }
    assert!(names.len() > 10, "{names:?}");
}

#[test]
fn prometheus_reads_the_alerts_and_scrapes_the_three_nodes() {
    let config = yaml("deploy/prometheus/prometheus.yml");
    for file in config["rule_files"].as_array().unwrap() {
        yaml(&format!("deploy/prometheus/{}", file.as_str().unwrap()));
    }
    let job = &config["scrape_configs"][0];
    // The alerts and the dashboard name the job.
    assert_eq!(job["job_name"], "rstmdb");
    let compose = text("docker-compose.yml");
    let targets = job["static_configs"][0]["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 3);
    for target in targets {
        let (service, port) = target.as_str().unwrap().split_once(':').unwrap();
        assert!(compose.contains(&format!("\n  {service}:\n")), "{service}");
        assert!(
            compose.contains(&format!("RSTMDB_METRICS_BIND: 0.0.0.0:{port}\n")),
            "{port}"
        );
    }
}

#[test]
fn the_dashboard_is_provisioned_with_the_data_source_it_names() {
    let sources = yaml("deploy/grafana/provisioning/datasources/prometheus.yml");
    let uid = &sources["datasources"][0]["uid"];
    let provider = &yaml("deploy/grafana/provisioning/dashboards/rstmdb.yml")["providers"][0];
    let folder = provider["options"]["path"].as_str().unwrap();
    assert!(
        text("docker-compose.yml").contains(&format!("./deploy/grafana/dashboards:{folder}:ro\n"))
    );
    let dashboard = dashboard();
    let mut ids = HashSet::new();
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "the id of {title} is there twice"
        );
        if panel["type"] != "row" {
            assert_eq!(&panel["datasource"]["uid"], uid, "{title}");
            assert_ne!(targets(panel).count(), 0, "{title} asks for nothing");
            for target in targets(panel) {
                assert_eq!(&target["datasource"]["uid"], uid, "{title}");
            }
        }
    }
}

#[test]
fn a_metric_nobody_has_is_found() {
    let known = metrics_in("head(\"rstmdb_x_seconds\"); gauge(\"rstmdb_y\")");
    let asked =
        metrics_in("rate(rstmdb_x_seconds_bucket{op=\"A\"}[1m]) / rstmdb_y - rstmdb_z_total");
    assert_eq!(unknown(&asked, &known), ["rstmdb_z_total"]);
}

/// Expression and waiting time of each alert. Line breaks do not matter.
fn conditions(alerts: &Value) -> BTreeMap<String, (String, String)> {
    let groups = alerts["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let words = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    rules
        .map(|rule| {
            (
                words(&rule["alert"]),
                (words(&rule["expr"]), words(&rule["for"])),
            )
        })
        .collect()
}

#[test]
fn the_alerts_in_the_operations_page_are_those_of_the_file() {
    let page = text("docs/operations.md");
    let (_, block) = page.split_once("```yaml\ngroups:\n").unwrap();
    let (block, after) = block.split_once("\n```\n").unwrap();
    let printed: Value = serde_saphyr::from_str(&format!("groups:\n{block}\n")).unwrap();
    let (printed, file) = (
        conditions(&printed),
        conditions(&yaml("deploy/prometheus/alerts.yml")),
    );
    for (name, condition) in &file {
        assert_eq!(printed.get(name), Some(condition), "{name}");
    }
    assert_eq!(
        printed.keys().collect::<Vec<_>>(),
        file.keys().collect::<Vec<_>>()
    );
    // The table below says what each can mean.
    let (_, table) = after.split_once("| alert | what it can mean |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let explained = table.lines().skip(2).map(|row| {
        let name = row.split('|').nth(1).unwrap().trim();
        format!("Rstmdb{name}")
    });
    let explained: BTreeSet<String> = explained.collect();
    assert_eq!(explained, file.keys().cloned().collect::<BTreeSet<_>>());
}

//! The metrics: their names and types are as `promtool check metrics` wants them, and as the page says.

use std::collections::BTreeMap;

use serde_json::json;

use super::support::*;

/// Only a leader with followers has the first two, only a node with TLS the third.
const ELSEWHERE: [&str; 3] = [
    "rstmdb_raft_replication_lag",
    "rstmdb_clock_skew_seconds",
    "rstmdb_certificate_expiry_timestamp_seconds",
];

/// Units that are not base units, and short forms of units.
const NOT_BASE_UNITS: [&str; 26] = [
    "ns", "us", "ms", "s", "sec", "secs", "m", "min", "h", "d", "b", "kb", "mb", "gb", "tb", "pb",
    "minutes", "hours", "days", "weeks", "bits", "percent", "kib", "mib", "gib", "tib",
];

/// What `promtool check metrics` would say about a name with this type.
fn faults(name: &str, kind: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_total = name.ends_with("_total");
    // A metric without a type may be anything.
    if kind != "untyped" && (kind == "counter") != is_total {
        found.push(format!("{name} is a {kind}: `_total` ends counters only"));
    }
    let (is_plain, is_histogram) = (
        !["histogram", "summary"].contains(&kind),
        kind == "histogram",
    );
    let reserved = [
        ("_bucket", !is_histogram),
        ("_sum", is_plain),
        ("_count", is_plain),
    ];
    for (end, is_wrong) in reserved {
        if is_wrong && name.ends_with(end) {
            found.push(format!("{name} is a {kind} and ends with {end}"));
        }
    }
    if !name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    {
        found.push(format!("{name} has other characters than a-z, 0-9 and _"));
    }
    for word in name.split('_') {
        let (word, is_part) = (word, |unit: &str| {
            word.len() > unit.len() && word.ends_with(unit)
        });
        if NOT_BASE_UNITS.contains(&word) || is_part("seconds") || is_part("bytes") {
            found.push(format!("{name} has {word}, which is no base unit"));
        }
        if ["counter", "gauge", "summary", "histogram"].contains(&word) && kind != "untyped" {
            found.push(format!("{name} names a type"));
        }
    }
    found
}

/// The families of a text in Prometheus's format: the type by the name.
///
/// # Panics
/// When a family has no help, is there twice or has no sample, or when a sample has no family.
fn families(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let (mut helped, mut family, mut samples) = (None, None::<(String, String)>, 1);
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert_ne!(samples, 0, "{family:?} has no sample");
            helped = help.split_once(' ');
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap();
            let (with_help, help) = helped.take().unwrap_or_else(|| panic!("no help: {line}"));
            assert!(with_help == name && help.len() > 5, "{name} has no help");
            let known = found.insert(name.to_owned(), kind.to_owned());
            assert_eq!(known, None, "{name} is there twice");
            (family, samples) = (Some((name.to_owned(), kind.to_owned())), 0);
        } else {
            let (name, kind) = family.as_ref().unwrap();
            let sample = line.split([' ', '{']).next().unwrap();
            let part = sample.strip_prefix(name.as_str()).unwrap_or("?");
            let parts: &[&str] = match kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "summary" => &["_sum", "_count"],
                _ => &[""],
            };
            assert!(parts.contains(&part), "{sample} is below {name}");
            samples += 1;
        }
    }
    found
}

/// The table of the operations page: the type by the name.
fn documented() -> BTreeMap<String, String> {
    let page = include_str!("../../../../docs/operations.md");
    let (_, table) = page.split_once("\n| metric | type | |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut found = BTreeMap::new();
    for row in table.lines().skip(1) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let names = columns[1].split(", ").map(|name| {
            let name = name.trim_matches('`');
            name.split('{').next().unwrap()
        });
        let kinds: Vec<&str> = columns[2].split(", ").collect();
        for (at, name) in names.enumerate().filter(|(_, name)| *name != "process_*") {
            let kind = kinds.get(at).or(kinds.last()).unwrap();
            let known = found.insert(name.to_owned(), (*kind).to_owned());
            assert_eq!(known, None, "{name} is documented twice");
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_those_of_the_page_and_promtool_finds_nothing_in_them() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    // A follower has applied the writes before it answers this.
    conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    let (_, text) = node.admin_get("/metrics").await;
    let mut found = families(&text);
    let mut documented = documented();
    let all = found.iter().chain(&documented);
    let wrong: Vec<String> = all.flat_map(|(name, kind)| faults(name, kind)).collect();
    assert_eq!(wrong, Vec::<String>::new());
    found.retain(|name, _| !name.starts_with("process_"));
    for name in ELSEWHERE {
        assert!(
            documented.remove(name).is_some(),
            "{name} is not documented"
        );
        found.remove(name);
    }
    assert_eq!(found, documented);
    // The names of earlier versions have the values of the new ones.
    for line in [
        "rstmdb_connections_rejected 0",
        "rstmdb_connections_rejected_total 0",
        "rstmdb_instances 1",
        "rstmdb_instances_total 1",
        "rstmdb_machines 1",
        "rstmdb_machines_total 1",
    ] {
        assert!(
            text.lines().any(|there| there == line),
            "{line} is missing in:\n{text}"
        );
    }
    node.stop().await;
}

#[test]
fn faults_in_names_are_found() {
    for (name, kind) in [
        ("x_total", "counter"),
        ("x", "gauge"),
        ("x_seconds", "histogram"),
        ("x_bytes_total", "counter"),
        ("x_total", "untyped"),
    ] {
        assert_eq!(faults(name, kind), Vec::<String>::new());
    }
    for (name, kind) in [
        ("x_rejected", "counter"),
        ("x_total", "gauge"),
        ("x_count", "gauge"),
        ("x_bucket", "summary"),
        ("x_ms", "gauge"),
        ("x_milliseconds_total", "counter"),
        ("x_kilobytes", "gauge"),
        ("xY", "gauge"),
        ("x_gauge", "gauge"),
    ] {
        assert_ne!(faults(name, kind), Vec::<String>::new(), "{name}");
    }
}

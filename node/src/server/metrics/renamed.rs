//! Metrics under the names that they had before: dashboards and alerts that ask for these go on for one version.
//!
//! An old name breaks the rule that `_total` ends the names of counters and of nothing else. So its type is `untyped`:
//! of such a metric `promtool check metrics` expects nothing.

use std::fmt::Write as _;

use prometheus::proto::{MetricFamily, MetricType};

/// Old name, name.
const RENAMED: [(&str, &str); 3] = [
    (
        "rstmdb_connections_rejected",
        "rstmdb_connections_rejected_total",
    ),
    ("rstmdb_instances_total", "rstmdb_instances"),
    ("rstmdb_machines_total", "rstmdb_machines"),
];

/// Adds the old names to a text in Prometheus's format. The crate `prometheus` cannot write the type `untyped`.
pub(super) fn write(families: &[MetricFamily], text: &mut String) {
    for (old, name) in RENAMED {
        let family = families.iter().find(|family| family.name() == name);
        let Some((family, [metric])) = family.map(|family| (family, family.get_metric())) else {
            continue;
        };
        let value = match family.get_field_type() {
            MetricType::COUNTER => metric.get_counter().get_value(),
            _ => metric.get_gauge().get_value(),
        };
        // A String takes everything.
        let _ = writeln!(
            text,
            "# HELP {old} The old name of {name}.\n# TYPE {old} untyped\n{old} {value}"
        );
    }
}

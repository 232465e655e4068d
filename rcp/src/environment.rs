//! The variables `RSTMDB_…` of both programs. Each warns of a name that neither of them reads: a setting with a
//! misspelt name would be ignored without a word.

/// What the server reads. A test of the server compares them with its configuration.
pub const OF_SERVER: &[&str] = &[
    "RSTMDB_CONFIG",
    "RSTMDB_ALLOW_FLUSH_ALL",
    "RSTMDB_ALLOW_INSTANCE_RECREATE",
    "RSTMDB_ARCHIVE_CACHE_MB",
    "RSTMDB_ARCHIVE_S3_ACCESS_KEY_FILE",
    "RSTMDB_ARCHIVE_S3_ALLOW_HTTP",
    "RSTMDB_ARCHIVE_S3_CA",
    "RSTMDB_ARCHIVE_S3_ENDPOINT",
    "RSTMDB_ARCHIVE_S3_REGION",
    "RSTMDB_ARCHIVE_S3_SECRET_KEY_FILE",
    "RSTMDB_ARCHIVE_TIMEOUT",
    "RSTMDB_ARCHIVE_URL",
    "RSTMDB_AUDIT_FILE",
    "RSTMDB_AUDIT_KEEP",
    "RSTMDB_AUDIT_MAX_MB",
    "RSTMDB_AUTH_REQUIRED",
    "RSTMDB_AUTH_SECRETS_FILE",
    "RSTMDB_AUTH_TOKENS_FILE",
    "RSTMDB_AUTH_TOKEN_HASH",
    "RSTMDB_AUTH_IMPORT_TOKEN_HASH",
    "RSTMDB_BIND",
    "RSTMDB_BUFFERS_MAX_MB",
    "RSTMDB_CLUSTER_INSECURE",
    "RSTMDB_CLUSTER_NAME",
    "RSTMDB_CLUSTER_SECRET_FILE",
    "RSTMDB_COMPACT_ENABLED",
    "RSTMDB_COMPACT_EVENTS",
    "RSTMDB_COMPACT_INTERVAL",
    "RSTMDB_COMPACT_SIZE_MB",
    "RSTMDB_COMPRESSION",
    "RSTMDB_DATA",
    "RSTMDB_ELECTION_TIMEOUT_MS",
    "RSTMDB_ENCRYPTION_KEYS",
    "RSTMDB_ENCRYPTION_KEY_FILE",
    "RSTMDB_FSYNC_POLICY",
    "RSTMDB_HEARTBEAT_MS",
    "RSTMDB_HTTP_BIND",
    "RSTMDB_IDEMPOTENCY_MAX_KEYS",
    "RSTMDB_IDEMPOTENCY_MAX_MB",
    "RSTMDB_IDEMPOTENCY_SECS",
    "RSTMDB_IDLE_TIMEOUT",
    "RSTMDB_JOIN",
    "RSTMDB_KEEPALIVE_SECS",
    "RSTMDB_LOG_FORMAT",
    "RSTMDB_MAX_CLOCK_SKEW_MS",
    "RSTMDB_MAX_CONNECTIONS",
    "RSTMDB_MAX_MACHINE_VERSIONS",
    "RSTMDB_METRICS_BIND",
    "RSTMDB_METRICS_ENABLED",
    "RSTMDB_MIN_FREE_MB",
    "RSTMDB_NODE_ID",
    "RSTMDB_PEERS",
    "RSTMDB_PEER_BIND",
    "RSTMDB_RAISE_LEVEL",
    "RSTMDB_REQUEST_TIMEOUT_MS",
    "RSTMDB_RETAIN_ARCHIVE_DIR",
    "RSTMDB_RETAIN_EVENTS",
    "RSTMDB_RETAIN_HOURS",
    "RSTMDB_RETAIN_MB",
    "RSTMDB_STALL_TIMEOUT_MS",
    "RSTMDB_TIMERS_IN_FLIGHT",
    "RSTMDB_TLS_CERT",
    "RSTMDB_TLS_CLIENT_CA",
    "RSTMDB_TLS_ENABLED",
    "RSTMDB_TLS_KEY",
    "RSTMDB_TLS_REQUIRE_CLIENT_CERT",
    "RSTMDB_WAL_SEGMENT_SIZE_MB",
];

/// What the command line reads, beside [`OF_SERVER`]'s variables of a bucket. A test of the command line compares them
/// with its options.
pub const OF_CLI: &[&str] = &[
    "RSTMDB_SERVER",
    "RSTMDB_PROFILE",
    "RSTMDB_TOKEN",
    "RSTMDB_TLS",
    "RSTMDB_CA_CERT",
    "RSTMDB_CLIENT_CERT",
    "RSTMDB_CLIENT_KEY",
    "RSTMDB_FENCE",
];

/// What tests and scripts of this repository read.
const OF_TESTS: &[&str] = &[
    "RSTMDB_BIN_DIR",
    "RSTMDB_CASE",
    "RSTMDB_CASES",
    "RSTMDB_CHAOS_TIME",
    "RSTMDB_CHILD_SEED",
    "RSTMDB_FAULTS",
    "RSTMDB_IMAGE",
    "RSTMDB_INCIDENTS",
    "RSTMDB_KEEP",
    "RSTMDB_KILLS",
    "RSTMDB_PLANTED_BUG",
    "RSTMDB_PUBLISH",
    "RSTMDB_SEED",
    "RSTMDB_SEEDS",
    "RSTMDB_TRACE",
];

/// Names that are easily taken for another one.
const MISTAKEN: &[(&str, &str)] = &[
    ("RSTMDB_DATA_DIR", "RSTMDB_DATA"),
    ("RSTMDB_STORAGE_DATA_DIR", "RSTMDB_DATA"),
    ("RSTMDB_BIND_ADDR", "RSTMDB_BIND"),
    ("RSTMDB_LISTEN", "RSTMDB_BIND"),
    ("RSTMDB_METRICS_BIND_ADDR", "RSTMDB_METRICS_BIND"),
    ("RSTMDB_HTTP_BIND_ADDR", "RSTMDB_HTTP_BIND"),
    ("RSTMDB_PEER_BIND_ADDR", "RSTMDB_PEER_BIND"),
    ("RSTMDB_CLUSTER_PEERS", "RSTMDB_PEERS"),
    ("RSTMDB_CLUSTER_JOIN", "RSTMDB_JOIN"),
    ("RSTMDB_CLUSTER_NODE_ID", "RSTMDB_NODE_ID"),
    ("RSTMDB_LOG", "RUST_LOG"),
    ("RSTMDB_LOG_LEVEL", "RUST_LOG"),
    ("RSTMDB_ADDR", "RSTMDB_SERVER"),
    ("RSTMDB_ADDRESS", "RSTMDB_SERVER"),
    ("RSTMDB_HOST", "RSTMDB_SERVER"),
    ("RSTMDB_AUTH_TOKEN", "RSTMDB_TOKEN"),
    ("RSTMDB_TLS_CA", "RSTMDB_CA_CERT"),
];

/// A warning for each of these names that neither program reads, sorted.
pub fn warnings(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut unknown: Vec<String> = names.filter(|name| is_unknown(name)).collect();
    unknown.sort_unstable();
    unknown
        .iter()
        .map(|name| {
            let meant = MISTAKEN.iter().find(|(mistaken, _)| mistaken == name);
            match meant {
                Some((_, meant)) => {
                    format!("the variable {name} has no effect; did you mean {meant}?")
                }
                None => format!("the variable {name} has no effect: no setting has that name"),
            }
        })
        .collect()
}

fn is_unknown(name: &str) -> bool {
    let known = [OF_SERVER, OF_CLI, OF_TESTS];
    name.starts_with("RSTMDB_")
        && !known.iter().any(|names| names.contains(&name))
        // What `lock run` tells its command, and tests tell their servers.
        && !["RSTMDB_LOCK_", "RSTMDB_FENCE", "RSTMDB_TEST_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        && !is_of_kubernetes(name)
}

/// Kubernetes tells every container where the services are, in variables that begin with the service's name.
fn is_of_kubernetes(name: &str) -> bool {
    name.ends_with("_PORT")
        || ["_PORT_", "_SERVICE_HOST", "_SERVICE_PORT"]
            .iter()
            .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(names: &[&str]) -> Vec<String> {
        warnings(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn a_name_that_no_program_reads_is_warned_of_with_what_was_meant() {
        assert_eq!(
            warned(&["RSTMDB_SERVR", "PATH", "RSTMDB_DATA_DIR"]),
            [
                "the variable RSTMDB_DATA_DIR has no effect; did you mean RSTMDB_DATA?",
                "the variable RSTMDB_SERVR has no effect: no setting has that name",
            ]
        );
    }

    #[test]
    fn names_of_either_program_of_tests_and_of_kubernetes_are_not_warned_of() {
        let known = [
            "RSTMDB_DATA",
            "RSTMDB_CONFIG",
            "RSTMDB_TOKEN",
            "RSTMDB_FENCE",
            "RSTMDB_LOCK_NAME",
            "RSTMDB_SEED",
            "RSTMDB_TEST_IMAGE",
            "RSTMDB_PORT",
            "RSTMDB_PORT_7401_TCP_ADDR",
            "RSTMDB_PEERS_SERVICE_HOST",
            "RSTMDB_SERVICE_PORT_CLIENTS",
            "RUST_LOG",
        ];
        assert_eq!(warned(&known), Vec::<String>::new());
    }

    #[test]
    fn what_was_meant_is_read_by_a_program() {
        for (mistaken, meant) in MISTAKEN {
            assert!(is_unknown(mistaken), "{mistaken}");
            let read = OF_SERVER.contains(meant) || OF_CLI.contains(meant);
            assert!(read || *meant == "RUST_LOG", "{meant}");
        }
    }
}

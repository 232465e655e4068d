//! Which keys of the configuration come into force without a restart.

use crate::server::config::{Config, Setting, ValueOrigin};

/// Keys with these prefixes come into force when the node reads its configuration again. All other keys need a restart.
const RELOADED: [&str; 15] = [
    "auth.",
    "tls.",
    "cluster.tls.",
    "cluster.raise_level",
    "cluster.secret_file",
    "compaction.",
    "idempotency.",
    "logging.level",
    "network.idle_timeout_secs",
    "network.keepalive_secs",
    "network.request_timeout_ms",
    "storage.allow_",
    "storage.max_machine_versions",
    "storage.min_free_mb",
    "timers.in_flight",
];
/// Exceptions: these keys need a restart.
const NOT_RELOADED: [&str; 3] = ["auth.required", "tls.enabled", "cluster.tls.enabled"];

/// These keys come into force for clients, and need a restart for what they say of connections between nodes.
const PARTLY_RELOADED: [&str; 1] = ["network.keepalive_secs"];

fn is_reloaded(key: &str) -> bool {
    RELOADED.iter().any(|begin| key.starts_with(begin)) && !NOT_RELOADED.contains(&key)
}

/// Whether the key names files that are read, or says what they must hold.
pub(super) fn names_files(key: &str) -> bool {
    ["auth.", "tls.", "cluster."]
        .iter()
        .any(|begin| key.starts_with(begin))
}

/// The keys that need a restart: their values differ from those that the node `runs` with.
pub(super) fn need_restart(runs: &Config, read: &Config) -> Vec<String> {
    differing(runs.settings(), read.settings(), |key| {
        !is_reloaded(key) || PARTLY_RELOADED.contains(&key)
    })
}

/// The keys that need no restart, and whose values differ from those that the node read `before`.
pub(super) fn come_into_force(before: &[Setting], read: &Config) -> Vec<String> {
    differing(before, read.settings(), is_reloaded)
}

fn differing(old: &[Setting], new: &[Setting], counts: impl Fn(&str) -> bool) -> Vec<String> {
    let pairs = old.iter().zip(new);
    let differ = pairs.filter(|(old, new)| old.value != new.value && counts(old.key));
    // `--dev` has chosen the data folder, so the configuration cannot change it.
    let chosen = differ.filter(|(old, _)| !matches!(old.origin, ValueOrigin::CommandLine(_)));
    chosen.map(|(old, _)| old.key.to_owned()).collect()
}

/// Takes over the values that need no restart.
pub(super) fn take_over(config: &mut Config, read: Config) {
    config.auth = read.auth;
    // A configuration that turns TLS off may lack its paths. TLS stays on until the restart, so the old paths stay too.
    if config.tls.enabled == read.tls.enabled {
        config.tls = read.tls;
    }
    let cluster = &mut config.cluster;
    if cluster.tls_enabled == read.cluster.tls_enabled {
        cluster.tls_cert_path = read.cluster.tls_cert_path;
        cluster.tls_key_path = read.cluster.tls_key_path;
        cluster.tls_ca_path = read.cluster.tls_ca_path;
        cluster.tls_allowed_names = read.cluster.tls_allowed_names;
        cluster.secret_file = read.cluster.secret_file;
    }
    cluster.raises_level = read.cluster.raises_level;
    config.compaction = read.compaction;
    config.idempotency = read.idempotency;
    config.timers = read.timers;
    config.logging.level = read.logging.level;
    config.network.idle_timeout = read.network.idle_timeout;
    config.network.keepalive = read.network.keepalive;
    config.network.request_timeout = read.network.request_timeout;
    config.storage.allow_flush_all = read.storage.allow_flush_all;
    config.storage.allow_instance_recreate = read.storage.allow_instance_recreate;
    config.storage.machine_versions_max = read.storage.machine_versions_max;
    config.storage.free_bytes_min = read.storage.free_bytes_min;
}

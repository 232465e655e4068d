//! The table of all keys. A new key needs one entry here and one line in
//! `docs/configuration.md`.

use std::ops::RangeInclusive;
use std::time::Duration;

use rstmdb_objects::Location;
use rstmdb_raft_store::{FsyncPolicy, Keyring};
use tracing_subscriber::EnvFilter;

use super::address;
use super::auth::Roles;
use super::hash::parse_hash;
use super::value::ConfigValue;
use super::{Config, ListedNode, LogFormat};

/// One key.
pub(super) struct ConfigKey {
    /// The path in the YAML file.
    pub(super) name: &'static str,
    /// The environment variable; empty where there is none.
    pub(super) variable: &'static str,
    /// The default, as it would be written; empty for none.
    pub(super) default: &'static str,
    /// What a right value is, for the message.
    pub(super) expects: &'static str,
    /// Puts the value in its place; `None` when it does not fit.
    pub(super) set: fn(&mut Config, &ConfigValue) -> Option<()>,
}

impl ConfigKey {
    /// The value for messages: a token that was written instead of its hash must not get into a log.
    pub(super) fn shown(&self, value: &ConfigValue) -> String {
        if matches!(
            self.name,
            "auth.token_hashes" | "auth.import_token_hashes" | "storage.encryption_keys"
        ) {
            return match value {
                ConfigValue::List(items) => format!("a list of {}", items.len()),
                ConfigValue::Text(text) => format!("a text of {} characters", text.chars().count()),
                ConfigValue::Null | ConfigValue::Map(_) => value.to_string(),
            };
        }
        value.to_string()
    }
}

const MIB: u64 = 1 << 20;
const ANY: RangeInclusive<u64> = 0..=u64::MAX >> 1;
/// Sizes given in MiB stay representable in bytes.
const MB: RangeInclusive<u64> = 0..=(1 << 40);
const MB_SET: RangeInclusive<u64> = 1..=(1 << 40);
const SECS_MAX: u64 = 10 * 366 * 86_400;

macro_rules! key {
    ($name:literal, $variable:literal, $default:literal, $expects:literal,
     |$config:ident, $value:ident| $place:expr, $parsed:expr) => {
        ConfigKey {
            name: $name,
            variable: $variable,
            default: $default,
            expects: $expects,
            set: |$config, $value| {
                $place = $parsed;
                Some(())
            },
        }
    };
}

/// All keys, in the order they are documented and shown.
#[rustfmt::skip]
pub(super) static KEYS: &[ConfigKey] = &[
    key!("network.bind_addr", "RSTMDB_BIND", "127.0.0.1:7401", "host:port",
        |c, v| c.network.bind_addr, v.address()?),
    key!("network.idle_timeout_secs", "RSTMDB_IDLE_TIMEOUT", "300", "seconds, a whole number; 0 for never",
        |c, v| c.network.idle_timeout, match v.number(0..=SECS_MAX)? { 0 => None, s => Some(Duration::from_secs(s)) }),
    key!("network.max_connections", "RSTMDB_MAX_CONNECTIONS", "1000", "a whole number from 1 to 1000000",
        |c, v| c.network.connections_max, usize::try_from(v.number(1..=1_000_000)?).ok()?),
    key!("network.request_timeout_ms", "RSTMDB_REQUEST_TIMEOUT_MS", "5000", "milliseconds, a whole number from 1 to 3600000",
        |c, v| c.network.request_timeout, Duration::from_millis(v.number(1..=3_600_000)?)),
    key!("network.keepalive_secs", "RSTMDB_KEEPALIVE_SECS", "30", "seconds, a whole number from 3 to 3600; 0 for never",
        |c, v| c.network.keepalive, match v.number(0..=3_600)? { 0 => None, 1 | 2 => return None, s => Some(Duration::from_secs(s)) }),
    key!("network.buffers_max_mb", "RSTMDB_BUFFERS_MAX_MB", "512", "MiB, a whole number from 32",
        |c, v| c.network.buffers_bytes_max, v.number(32..=1 << 40)? * MIB),
    key!("http.bind_addr", "RSTMDB_HTTP_BIND", "127.0.0.1:7403", "host:port, or none",
        |c, v| c.http.bind_addr, if v.is_none() { None } else { Some(v.address()?) }),
    key!("storage.data_dir", "RSTMDB_DATA", "./data", "a folder",
        |c, v| c.storage.data_dir, v.path()?),
    key!("storage.wal_segment_size_mb", "RSTMDB_WAL_SEGMENT_SIZE_MB", "64", "MiB, a whole number from 1 to 4096",
        |c, v| c.storage.wal_segment_bytes, v.number(1..=4096)? * MIB),
    key!("storage.fsync_policy", "RSTMDB_FSYNC_POLICY", "every_write", "every_write, never, {every_n: N} or {every_ms: N} with N from 1 (in a variable every_n:N, every_ms:N)",
        |c, v| c.storage.fsync_policy, fsync_policy(v)?),
    key!("storage.max_machine_versions", "RSTMDB_MAX_MACHINE_VERSIONS", "0", "a whole number; 0 for no limit",
        |c, v| c.storage.machine_versions_max, u32::try_from(v.number(ANY)?).ok()?),
    key!("storage.allow_instance_recreate", "RSTMDB_ALLOW_INSTANCE_RECREATE", "true", "true or false",
        |c, v| c.storage.allow_instance_recreate, v.flag()?),
    key!("storage.allow_flush_all", "RSTMDB_ALLOW_FLUSH_ALL", "false", "true or false",
        |c, v| c.storage.allow_flush_all, v.flag()?),
    key!("storage.compression", "RSTMDB_COMPRESSION", "lz4", "lz4 or none",
        |c, v| c.storage.compress, match v.text()? { "lz4" => true, "none" => false, _ => return None }),
    key!("storage.encryption_key_file", "RSTMDB_ENCRYPTION_KEY_FILE", "", "a file with a key on each line: its id and 64 hexadecimal digits",
        |c, v| c.storage.encryption_key_file, v.path_or_none()?),
    key!("storage.encryption_keys", "RSTMDB_ENCRYPTION_KEYS", "", "keys, each its id, a space and 64 hexadecimal digits, separated by commas",
        |c, v| c.storage.keys, match v { ConfigValue::Null => Keyring::default(), v => Keyring::parse(v.text()?).ok()? }),
    key!("storage.min_free_mb", "RSTMDB_MIN_FREE_MB", "512", "MiB, a whole number; 0 for no limit",
        |c, v| c.storage.free_bytes_min, v.number(MB)? * MIB),
    key!("auth.required", "RSTMDB_AUTH_REQUIRED", "false", "true or false",
        |c, v| c.auth.required, v.flag()?),
    key!("auth.token_hashes", "RSTMDB_AUTH_TOKEN_HASH", "", "a list of SHA-256 hashes of 64 hexadecimal digits each (`rstmdb-cli hash-token` makes them)",
        |c, v| c.auth.token_hashes, v.texts()?.into_iter().map(parse_hash).collect::<Option<_>>()?),
    key!("auth.import_token_hashes", "RSTMDB_AUTH_IMPORT_TOKEN_HASH", "", "a list of SHA-256 hashes of 64 hexadecimal digits each (`rstmdb-cli hash-token` makes them)",
        |c, v| c.auth.import_token_hashes, v.texts()?.into_iter().map(parse_hash).collect::<Option<_>>()?),
    key!("auth.secrets_file", "RSTMDB_AUTH_SECRETS_FILE", "", "a file",
        |c, v| c.auth.secrets_file, v.path_or_none()?),
    key!("auth.tokens_file", "RSTMDB_AUTH_TOKENS_FILE", "", "a file",
        |c, v| c.auth.tokens_file, v.path_or_none()?),
    key!("auth.roles", "", "", "a mapping of names to lists of {verbs, machines}: verbs are read, write, define, watch, import, operate, admin; machines are names and patterns with *, every machine if absent, as it must be beside operate and admin; admin, operator, writer and reader are built in",
        |c, v| c.auth.roles, Roles::read(v)?),
    key!("audit.file", "RSTMDB_AUDIT_FILE", "", "a file",
        |c, v| c.audit.file, v.path_or_none()?),
    key!("audit.max_mb", "RSTMDB_AUDIT_MAX_MB", "100", "MiB, a whole number from 1",
        |c, v| c.audit.bytes_max, v.number(MB_SET)? * MIB),
    key!("audit.keep", "RSTMDB_AUDIT_KEEP", "10", "a whole number from 1 to 1000",
        |c, v| c.audit.keep, usize::try_from(v.number(1..=1_000)?).ok()?),
    key!("tls.enabled", "RSTMDB_TLS_ENABLED", "false", "true or false",
        |c, v| c.tls.enabled, v.flag()?),
    key!("tls.cert_path", "RSTMDB_TLS_CERT", "", "a PEM file",
        |c, v| c.tls.cert_path, v.path_or_none()?),
    key!("tls.key_path", "RSTMDB_TLS_KEY", "", "a PEM file",
        |c, v| c.tls.key_path, v.path_or_none()?),
    key!("tls.require_client_cert", "RSTMDB_TLS_REQUIRE_CLIENT_CERT", "false", "true or false",
        |c, v| c.tls.require_client_cert, v.flag()?),
    key!("tls.client_ca_path", "RSTMDB_TLS_CLIENT_CA", "", "a PEM file",
        |c, v| c.tls.client_ca_path, v.path_or_none()?),
    key!("compaction.enabled", "RSTMDB_COMPACT_ENABLED", "true", "true or false",
        |c, v| c.compaction.enabled, v.flag()?),
    key!("compaction.events_threshold", "RSTMDB_COMPACT_EVENTS", "10000", "a whole number from 1",
        |c, v| c.compaction.events_threshold, v.number(1..=u64::MAX >> 1)?),
    key!("compaction.size_threshold_mb", "RSTMDB_COMPACT_SIZE_MB", "100", "MiB, a whole number from 1",
        |c, v| c.compaction.size_threshold_bytes, v.number(MB_SET)? * MIB),
    key!("compaction.min_interval_secs", "RSTMDB_COMPACT_INTERVAL", "60", "seconds, a whole number",
        |c, v| c.compaction.interval_min, Duration::from_secs(v.number(0..=SECS_MAX)?)),
    key!("compaction.retain_events", "RSTMDB_RETAIN_EVENTS", "10000000", "a whole number from 1, or none",
        |c, v| c.compaction.retain_events, v.number_or_none(1..=u64::MAX >> 1)?),
    key!("compaction.retain_hours", "RSTMDB_RETAIN_HOURS", "none", "hours, a whole number from 1, or none",
        |c, v| c.compaction.retain_hours, v.number_or_none(1..=SECS_MAX / 3600)?),
    key!("compaction.retain_mb", "RSTMDB_RETAIN_MB", "10240", "MiB, a whole number from 1, or none",
        |c, v| c.compaction.retain_mb, v.number_or_none(MB_SET)?),
    key!("compaction.archive_dir", "RSTMDB_RETAIN_ARCHIVE_DIR", "", "a folder",
        |c, v| c.compaction.archive_dir, v.path_or_none()?),
    key!("archive.url", "RSTMDB_ARCHIVE_URL", "", "s3://BUCKET/PREFIX, file:///FOLDER or a folder",
        |c, v| c.archive.location, location(v)?),
    key!("archive.cache_mb", "RSTMDB_ARCHIVE_CACHE_MB", "1024", "MiB, a whole number from 1",
        |c, v| c.archive.cache_bytes, v.number(MB_SET)? * MIB),
    key!("archive.timeout_secs", "RSTMDB_ARCHIVE_TIMEOUT", "120", "seconds, a whole number from 1 to 3600",
        |c, v| c.archive.timeout, Duration::from_secs(v.number(1..=3_600)?)),
    key!("archive.s3.endpoint", "RSTMDB_ARCHIVE_S3_ENDPOINT", "", "a URL, https://HOST or https://HOST:PORT",
        |c, v| c.archive.bucket.endpoint, url_or_none(v)?),
    key!("archive.s3.region", "RSTMDB_ARCHIVE_S3_REGION", "", "the name of a region",
        |c, v| c.archive.bucket.region, word_or_none(v)?),
    key!("archive.s3.allow_http", "RSTMDB_ARCHIVE_S3_ALLOW_HTTP", "false", "true or false",
        |c, v| c.archive.bucket.allow_http, v.flag()?),
    key!("archive.s3.ca_path", "RSTMDB_ARCHIVE_S3_CA", "", "a PEM file",
        |c, v| c.archive.bucket.ca_path, v.path_or_none()?),
    key!("archive.s3.access_key_file", "RSTMDB_ARCHIVE_S3_ACCESS_KEY_FILE", "", "a file",
        |c, v| c.archive.bucket.access_key_file, v.path_or_none()?),
    key!("archive.s3.secret_key_file", "RSTMDB_ARCHIVE_S3_SECRET_KEY_FILE", "", "a file",
        |c, v| c.archive.bucket.secret_key_file, v.path_or_none()?),
    key!("metrics.enabled", "RSTMDB_METRICS_ENABLED", "true", "true or false",
        |c, v| c.metrics.enabled, v.flag()?),
    key!("metrics.bind_addr", "RSTMDB_METRICS_BIND", "127.0.0.1:9090", "host:port",
        |c, v| c.metrics.bind_addr, v.address()?),
    key!("logging.level", "RUST_LOG", "info", "error, warn, info, debug, trace, off, or a filter such as info,rstmdb=debug",
        |c, v| c.logging.level, log_filter(v)?),
    key!("logging.format", "RSTMDB_LOG_FORMAT", "", "pretty or json",
        |c, v| c.logging.format, log_format(v)?),
    key!("tracing.otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "", "http://HOST:PORT of a collector that takes OTLP over gRPC (https is not supported: run a collector beside the node, which speaks TLS to others)",
        |c, v| c.tracing.otlp_endpoint, collector_or_none(v)?),
    key!("tracing.sample", "OTEL_TRACES_SAMPLER_ARG", "0.01", "a number from 0 to 1",
        |c, v| c.tracing.sample, v.text()?.parse().ok().filter(|share| (0.0..=1.0).contains(share))?),
    key!("idempotency.retention_secs", "RSTMDB_IDEMPOTENCY_SECS", "86400", "seconds, a whole number from 1",
        |c, v| c.idempotency.retention, Duration::from_secs(v.number(1..=SECS_MAX)?)),
    key!("idempotency.max_keys", "RSTMDB_IDEMPOTENCY_MAX_KEYS", "10000000", "a whole number from 1",
        |c, v| c.idempotency.keys_max, v.number(1..=u64::MAX >> 1)?),
    key!("idempotency.max_mb", "RSTMDB_IDEMPOTENCY_MAX_MB", "4096", "MiB, a whole number from 1",
        |c, v| c.idempotency.bytes_max, v.number(MB_SET)? << 20),
    key!("timers.in_flight", "RSTMDB_TIMERS_IN_FLIGHT", "256", "a whole number from 1 to 8192",
        |c, v| c.timers.in_flight, usize::try_from(v.number(1..=8_192)?).ok()?),
    key!("cluster.node_id", "RSTMDB_NODE_ID", "", "a whole number from 1",
        |c, v| c.cluster.node_id, v.number_or_none(1..=u64::MAX >> 1)?),
    key!("cluster.name", "RSTMDB_CLUSTER_NAME", "rstmdb", "a name of at most 128 characters",
        |c, v| c.cluster.name, v.text().filter(|name| name.chars().count() <= 128)?.to_owned()),
    key!("cluster.peers", "RSTMDB_PEERS", "", "a list of {id, peer_addr, rcp_addr} with different ids (in a variable 1=host:7402/host:7401,2=…), each address host:port as others dial it (no 0.0.0.0, no ::, no port 0)",
        |c, v| c.cluster.peers, peers(v)?),
    key!("cluster.join", "RSTMDB_JOIN", "", "a list of host:port as this node dials it (in a variable host:port,…; no 0.0.0.0, no ::, no port 0)",
        |c, v| c.cluster.join, addresses(v)?),
    key!("cluster.bind_addr", "RSTMDB_PEER_BIND", "127.0.0.1:7402", "host:port",
        |c, v| c.cluster.bind_addr, v.address()?),
    key!("cluster.secret_file", "RSTMDB_CLUSTER_SECRET_FILE", "", "a file with one secret of at least 16 bytes, the same on every node",
        |c, v| c.cluster.secret_file, v.path_or_none()?),
    key!("cluster.insecure", "RSTMDB_CLUSTER_INSECURE", "false", "true or false",
        |c, v| c.cluster.insecure, v.flag()?),
    key!("cluster.heartbeat_ms", "RSTMDB_HEARTBEAT_MS", "100", "milliseconds, a whole number from 1 to 60000",
        |c, v| c.cluster.heartbeat, Duration::from_millis(v.number(1..=60_000)?)),
    key!("cluster.election_timeout_ms", "RSTMDB_ELECTION_TIMEOUT_MS", "500-1000", "MIN-MAX in milliseconds, MIN below MAX (one number N stands for N-2N), at most 600000",
        |c, v| (c.cluster.election_timeout_min, c.cluster.election_timeout_max), election_timeout(v)?),
    key!("cluster.max_clock_skew_ms", "RSTMDB_MAX_CLOCK_SKEW_MS", "10000", "milliseconds, a whole number from 100 to 3600000",
        |c, v| c.cluster.clock_skew_max, Duration::from_millis(v.number(100..=3_600_000)?)),
    key!("cluster.stall_timeout_ms", "RSTMDB_STALL_TIMEOUT_MS", "3000", "milliseconds, a whole number from 100 to 600000",
        |c, v| c.cluster.stall_timeout, Duration::from_millis(v.number(100..=600_000)?)),
    key!("cluster.raise_level", "RSTMDB_RAISE_LEVEL", "manual", "auto or manual",
        |c, v| c.cluster.raises_level, match v.text()? { "auto" => true, "manual" => false, _ => return None }),
    key!("cluster.tls.enabled", "", "false", "true or false",
        |c, v| c.cluster.tls_enabled, v.flag()?),
    key!("cluster.tls.cert_path", "", "", "a PEM file",
        |c, v| c.cluster.tls_cert_path, v.path_or_none()?),
    key!("cluster.tls.key_path", "", "", "a PEM file",
        |c, v| c.cluster.tls_key_path, v.path_or_none()?),
    key!("cluster.tls.ca_path", "", "", "a PEM file",
        |c, v| c.cluster.tls_ca_path, v.path_or_none()?),
    key!("cluster.tls.allowed_names", "", "", "a list of names or IP addresses that a certificate is for, or of sha256:… fingerprints",
        |c, v| c.cluster.tls_allowed_names, allowed_names(v)?),
];

fn fsync_policy(value: &ConfigValue) -> Option<FsyncPolicy> {
    let number = |text: &str| ConfigValue::Text(text.to_owned()).number(1..=u64::MAX >> 1);
    let (name, count) = match value.single_entry() {
        Some((name, count)) => (name, Some(count.number(1..=u64::MAX >> 1)?)),
        None => match value.text()?.split_once(':') {
            Some((name, count)) => (name.trim(), Some(number(count)?)),
            None => (value.text()?, None),
        },
    };
    match (name, count) {
        ("every_write", None) => Some(FsyncPolicy::EveryWrite),
        ("never", None) => Some(FsyncPolicy::Never),
        ("every_n", Some(n)) => Some(FsyncPolicy::EveryN(n)),
        ("every_ms", Some(ms)) => Some(FsyncPolicy::EveryMs(ms)),
        _ => None,
    }
}

fn log_filter(value: &ConfigValue) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let text = value.text()?;
    // A word that is no level would count as a target, and would silence everything else.
    let is_word = text.chars().all(char::is_alphanumeric);
    if is_word && !LEVELS.contains(&text.to_ascii_lowercase().as_str()) {
        return None;
    }
    EnvFilter::try_new(text).ok().map(|_| text.to_owned())
}

fn log_format(value: &ConfigValue) -> Option<Option<LogFormat>> {
    match value {
        ConfigValue::Null => Some(None),
        _ => match value.text()? {
            "pretty" => Some(Some(LogFormat::Pretty)),
            "json" => Some(Some(LogFormat::Json)),
            _ => None,
        },
    }
}

fn addresses(value: &ConfigValue) -> Option<Vec<String>> {
    value
        .texts()?
        .into_iter()
        .flat_map(|text| text.split(','))
        .map(|text| dialable(&ConfigValue::Text(text.to_owned())))
        .collect()
}

fn dialable(value: &ConfigValue) -> Option<String> {
    value.address().filter(|addr| address::is_dialable(addr))
}

fn allowed_names(value: &ConfigValue) -> Option<Vec<String>> {
    let fits = |text: &str| match text.strip_prefix("sha256:") {
        Some(digits) => parse_hash(&digits.replace(':', "")).is_some(),
        None => !text.contains(char::is_whitespace),
    };
    let names = value.texts()?;
    let fit = names.iter().all(|text| fits(text));
    fit.then(|| names.into_iter().map(str::to_owned).collect())
}

fn peers(value: &ConfigValue) -> Option<Vec<ListedNode>> {
    let peers: Vec<ListedNode> = match value {
        ConfigValue::Null => Vec::new(),
        ConfigValue::List(items) => items.iter().map(peer_of_map).collect::<Option<_>>()?,
        ConfigValue::Text(text) => text.split(',').map(peer_of_text).collect::<Option<_>>()?,
        ConfigValue::Map(_) => return None,
    };
    let repeated = peers
        .iter()
        .enumerate()
        .any(|(i, peer)| peers[..i].iter().any(|other| other.id == peer.id));
    (!repeated).then_some(peers)
}

fn peer_of_map(value: &ConfigValue) -> Option<ListedNode> {
    let [id, peer_addr, rcp_addr] = value.fields(["id", "peer_addr", "rcp_addr"])?;
    Some(ListedNode {
        id: id.number(1..=u64::MAX >> 1)?,
        peer_addr: dialable(peer_addr)?,
        rcp_addr: dialable(rcp_addr)?,
    })
}

fn peer_of_text(text: &str) -> Option<ListedNode> {
    let (id, addresses) = text.split_once('=')?;
    let (peer_addr, rcp_addr) = addresses.split_once('/')?;
    let value = |text: &str| ConfigValue::Text(text.to_owned());
    Some(ListedNode {
        id: value(id).number(1..=u64::MAX >> 1)?,
        peer_addr: dialable(&value(peer_addr))?,
        rcp_addr: dialable(&value(rcp_addr))?,
    })
}

fn election_timeout(value: &ConfigValue) -> Option<(Duration, Duration)> {
    let number = |text: &str| ConfigValue::Text(text.to_owned()).number(1..=600_000);
    let text = value.text()?;
    let (min, max) = match text.split_once('-') {
        Some((min, max)) => (number(min)?, number(max)?),
        None => (number(text)?, number(text)?.checked_mul(2)?),
    };
    (min < max).then(|| (Duration::from_millis(min), Duration::from_millis(max)))
}

/// An empty text names none.
fn location(value: &ConfigValue) -> Option<Option<Location>> {
    match word_or_none(value)? {
        None => Some(None),
        Some(text) => Location::parse(&text).ok().map(Some),
    }
}

fn url_or_none(value: &ConfigValue) -> Option<Option<String>> {
    let url = word_or_none(value)?;
    let fits = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    url.as_ref().is_none_or(fits).then_some(url)
}

fn collector_or_none(value: &ConfigValue) -> Option<Option<String>> {
    let url = word_or_none(value)?.filter(|url| url != "none");
    let fits = |url: &String| {
        let uri: Option<axum::http::Uri> = url.parse().ok();
        uri.is_some_and(|uri| {
            let has_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
            uri.scheme_str() == Some("http") && uri.port_u16() != Some(0) && !has_path
        })
    };
    url.as_ref().is_none_or(fits).then_some(url)
}

fn word_or_none(value: &ConfigValue) -> Option<Option<String>> {
    match value {
        ConfigValue::Null => Some(None),
        value => match value.text()? {
            "" => Some(None),
            text if text.contains(char::is_whitespace) => None,
            text => Some(Some(text.to_owned())),
        },
    }
}

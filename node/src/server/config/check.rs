//! Values that are fine alone and must also fit each other, and files that must be readable.

use std::path::Path;

use rstmdb_raft_store::{FsyncPolicy, Keyring};

use super::address;
use super::auth::{NamedClient, tokens_file};
use super::error::Error;
use super::file::read_text;
use super::hash::parse_hash;
use super::{AuthConfig, ClusterConfig, Config, paths};

/// Refuses what cannot work, and reads the files with secrets.
pub(super) fn check(config: &mut Config) -> Result<(), Error> {
    check_auth(config)?;
    check_encryption(config)?;
    check_tls(config)?;
    check_archive(config)?;
    paths::check(config)?;
    check_cluster(&config.cluster)
}

fn check_auth(config: &mut Config) -> Result<(), Error> {
    config.auth.listed_hashes = config.auth.token_hashes.clone();
    config.auth.token_hashes = token_hashes(&config.auth)?;
    config.auth.named = named_clients(config)?;
    if config.auth.required && !config.auth.knows_anyone() {
        return conflict(
            "auth.required",
            "true, but no token is configured, so no client could authenticate: set auth.tokens_file, \
             auth.token_hashes or auth.secrets_file",
        );
    }
    Ok(())
}

/// `auth.token_hashes`, `auth.import_token_hashes` and what `auth.secrets_file` holds now.
pub(super) fn token_hashes(auth: &AuthConfig) -> Result<Vec<[u8; 32]>, Error> {
    let mut hashes = auth.listed_hashes.clone();
    hashes.extend(&auth.import_token_hashes);
    if let Some(path) = &auth.secrets_file {
        hashes.extend(read_secrets(path)?);
    }
    Ok(hashes)
}

/// What `auth.tokens_file` holds now.
pub(super) fn named_clients(config: &Config) -> Result<Vec<NamedClient>, Error> {
    let auth = &config.auth;
    let Some(path) = &auth.tokens_file else {
        return Ok(Vec::new());
    };
    let named = read_text(path).and_then(|text| tokens_file::parse(&text, &auth.roles));
    let named = named.map_err(|reason| Error::Unreadable {
        key: "auth.tokens_file".to_owned(),
        path: path.clone(),
        reason,
    })?;
    let by_certificate = named.iter().find(|client| client.certificate.is_some());
    match by_certificate {
        Some(client) if config.tls.client_ca_path.is_none() => conflict(
            "tls.client_ca_path",
            &format!(
                "not set, but in auth.tokens_file {:?} is to be known by a certificate, and no client's certificate \
                 could be verified",
                client.name
            ),
        ),
        _ => Ok(named),
    }
}

fn check_encryption(config: &mut Config) -> Result<(), Error> {
    let Some(path) = &config.storage.encryption_key_file else {
        return Ok(());
    };
    if config.storage.keys.current().is_some() {
        return conflict(
            "storage.encryption_keys",
            "set, but storage.encryption_key_file is set too: use only one of the two",
        );
    }
    config.storage.keys = read_keys(path)?;
    Ok(())
}

/// The keys in the file that `storage.encryption_key_file` names.
pub(in crate::server) fn read_keys(path: &Path) -> Result<Keyring, Error> {
    let unreadable = |reason: String| Error::Unreadable {
        key: "storage.encryption_key_file".to_owned(),
        path: path.to_owned(),
        reason,
    };
    let text = read_text(path).map_err(unreadable)?;
    Keyring::parse(&text).map_err(|error| unreadable(error.to_string()))
}

fn read_secrets(path: &Path) -> Result<Vec<[u8; 32]>, Error> {
    let unreadable = |reason: String| Error::Unreadable {
        key: "auth.secrets_file".to_owned(),
        path: path.to_owned(),
        reason,
    };
    let text = read_text(path).map_err(unreadable)?;
    let mut hashes = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let hash = parse_hash(line).ok_or_else(|| {
            // The line is not shown: it may be a token that was written here by mistake.
            unreadable(format!(
                "line {}: expected the SHA-256 of a token as 64 hexadecimal digits",
                i + 1
            ))
        })?;
        hashes.push(hash);
    }
    Ok(hashes)
}

fn check_tls(config: &Config) -> Result<(), Error> {
    let tls = &config.tls;
    if !tls.enabled {
        if tls.require_client_cert {
            return conflict("tls.require_client_cert", "true needs tls.enabled: true");
        }
        return Ok(());
    }
    if tls.cert_path.is_none() {
        return conflict("tls.cert_path", "not set, but tls.enabled is true");
    }
    if tls.key_path.is_none() {
        return conflict("tls.key_path", "not set, but tls.enabled is true");
    }
    if tls.require_client_cert && tls.client_ca_path.is_none() {
        return conflict(
            "tls.client_ca_path",
            "not set, but tls.require_client_cert is true",
        );
    }
    Ok(())
}

/// A file goes to the archive in one piece, and is in memory meanwhile.
const ARCHIVED_SEGMENT_BYTES_MAX: u64 = 256 << 20;

fn check_archive(config: &Config) -> Result<(), Error> {
    let (archive, bucket) = (&config.archive, &config.archive.bucket);
    if archive.location.is_some() && config.compaction.archive_dir.is_some() {
        return conflict(
            "compaction.archive_dir",
            "set, but archive.url is set too: archive.url replaces it, so remove compaction.archive_dir. The files in \
             its folder stay there",
        );
    }
    if archive.location.is_some() && config.storage.wal_segment_bytes > ARCHIVED_SEGMENT_BYTES_MAX {
        return conflict(
            "storage.wal_segment_size_mb",
            "must be at most 256 where archive.url is set: a segment is in memory while it goes to the archive",
        );
    }
    match (&bucket.access_key_file, &bucket.secret_key_file) {
        (Some(_), None) => conflict(
            "archive.s3.secret_key_file",
            "not set, but archive.s3.access_key_file is",
        ),
        (None, Some(_)) => conflict(
            "archive.s3.access_key_file",
            "not set, but archive.s3.secret_key_file is",
        ),
        _ => Ok(()),
    }
}

fn check_cluster(cluster: &ClusterConfig) -> Result<(), Error> {
    if cluster.election_timeout_min <= cluster.heartbeat * 2 {
        return conflict(
            "cluster.election_timeout_ms",
            "must be more than twice cluster.heartbeat_ms, or one late heartbeat ends a term",
        );
    }
    check_members(cluster)?;
    let files = [
        ("cluster.tls.cert_path", &cluster.tls_cert_path),
        ("cluster.tls.key_path", &cluster.tls_key_path),
        ("cluster.tls.ca_path", &cluster.tls_ca_path),
    ];
    for (key, path) in files {
        match path {
            None if cluster.tls_enabled => {
                return conflict(
                    key,
                    "not set, but cluster.tls.enabled is true: every node needs its certificate, its key and \
                     the CA of all nodes' certificates",
                );
            }
            Some(_) if !cluster.tls_enabled => {
                return conflict(key, "set, but cluster.tls.enabled is not true");
            }
            _ => {}
        }
    }
    if !cluster.tls_allowed_names.is_empty() && !cluster.tls_enabled {
        let what =
            "set, but cluster.tls.enabled is not true: without it nodes show no certificates";
        return conflict("cluster.tls.allowed_names", what);
    }
    Ok(())
}

/// See [`Config::must_be_closed`]: not among the checks of every command, because `verify` and `restore` serve no node
/// and no client.
pub(super) fn must_be_closed(config: &Config) -> Result<(), Error> {
    let cluster = &config.cluster;
    if !config.listens_to_peers() {
        return Ok(());
    }
    let closed = cluster.tls_enabled || cluster.secret_file.is_some();
    if !closed && !cluster.insecure && !is_loopback(&cluster.bind_addr) {
        return conflict(
            "cluster.secret_file",
            &format!(
                "not set, but cluster.bind_addr is {}: everyone who reaches it could act as a node of this \
                 cluster. Write one secret to a file (`openssl rand -hex 32`), copy it to every node and name it here; \
                 or give each node a certificate (cluster.tls); or, where no stranger can reach the port, set \
                 cluster.insecure: true",
                cluster.bind_addr
            ),
        );
    }
    let own = config.addresses(cluster.node_id.unwrap_or(1));
    let listed = !cluster.peers.is_empty();
    for (key, addr) in [
        ("cluster.bind_addr", &own.peer_addr),
        ("network.bind_addr", &own.rcp_addr),
    ] {
        if !listed && !address::is_dialable(addr) {
            return conflict(
                key,
                &format!(
                    "this node has no entry in cluster.peers, so it would tell other nodes to reach it at {addr}, \
                     which they cannot dial: add an entry with the addresses where others reach this node ({})",
                    address::DIALABLE
                ),
            );
        }
    }
    Ok(())
}

/// A node that is to find others must know which of them it is.
fn check_members(cluster: &ClusterConfig) -> Result<(), Error> {
    if let [_, _, ..] = cluster.peers.as_slice()
        && cluster.node_id.is_none()
    {
        return conflict(
            "cluster.node_id",
            "not set, but cluster.peers lists several nodes: say which of them this one is",
        );
    }
    if !cluster.join.is_empty() && cluster.node_id.is_none() {
        return conflict(
            "cluster.node_id",
            "not set, but cluster.join is: a node that joins a cluster needs an id that was never \
             used in it",
        );
    }
    let own = |peer: &super::ListedNode| cluster.node_id.is_none_or(|id| peer.id == id);
    if !cluster.peers.is_empty() && !cluster.peers.iter().any(own) {
        return conflict(
            "cluster.peers",
            "does not list this node: add an entry with the id of cluster.node_id and the \
             addresses where others reach it",
        );
    }
    Ok(())
}

/// What deserves a warning at the start.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let risk = match config.storage.fsync_policy {
        FsyncPolicy::EveryWrite => None,
        FsyncPolicy::EveryN(n) => Some(format!("the last {n} writes")),
        FsyncPolicy::EveryMs(ms) => Some(format!("the writes of the last {ms} ms")),
        FsyncPolicy::Never => Some("any write the operating system has not yet stored".to_owned()),
    };
    if let Some(lost) = risk {
        warnings.push(format!(
            "storage.fsync_policy is not every_write: a power cut may lose \
             acknowledged writes: {lost}"
        ));
    }
    warnings.extend(paths::warnings(config));
    warnings.extend(cluster_warnings(config));
    if config.auth.required && !config.tls.enabled && !is_loopback(&config.network.bind_addr) {
        warnings.push(
            "auth.required without tls.enabled: tokens cross the network unencrypted".to_owned(),
        );
    }
    if !config.auth.required && config.auth.tokens_file.is_some() {
        warnings.push(
            "auth.tokens_file is set and auth.required is false: a client without a token may do everything, so no \
             role limits anyone"
                .to_owned(),
        );
    }
    if !config.auth.required && !is_loopback(&config.network.bind_addr) {
        warnings.push(format!(
            "auth.required is false and network.bind_addr is {}: every client that reaches it may \
             change everything",
            config.network.bind_addr
        ));
    }
    if let Some(addr) = config
        .http
        .bind_addr
        .as_ref()
        .filter(|addr| !is_loopback(addr))
    {
        if !config.auth.required {
            warnings.push(format!(
                "auth.required is false and http.bind_addr is {addr}: every client that reaches it may change \
                 everything, and so may pages that people open in a browser which reaches it"
            ));
        } else if !config.tls.enabled {
            warnings.push(format!(
                "auth.required without tls.enabled, and http.bind_addr is {addr}: tokens cross the network unencrypted"
            ));
        }
    }
    warnings
}

fn cluster_warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let cluster = &config.cluster;
    if config.listens_to_peers() && !cluster.tls_enabled && !is_loopback(&cluster.bind_addr) {
        warnings.push(match &cluster.secret_file {
            None => format!(
                "RUNNING OPEN: cluster.insecure is true and cluster.bind_addr is {}: EVERYONE WHO REACHES IT CAN ACT \
                 AS A NODE OF THIS CLUSTER, read and write everything, without a token",
                cluster.bind_addr
            ),
            Some(_) => "cluster.tls.enabled is false: messages between nodes cross the network unencrypted".to_owned(),
        });
    }
    warnings
}

fn is_loopback(address: &str) -> bool {
    match address.rsplit_once(':') {
        Some((host, _)) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

fn conflict<T>(key: &'static str, reason: &str) -> Result<T, Error> {
    Err(Error::Conflict {
        key,
        reason: reason.to_owned(),
    })
}

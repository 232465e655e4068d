//! Values that are fine alone and must also fit each other, and files that must be readable.

use std::path::Path;

use rstmdb_raft_store::FsyncPolicy;

use super::error::Error;
use super::{Cluster, Config};

/// Refuses what cannot work, and reads the secrets file.
pub(super) fn check(config: &mut Config) -> Result<(), Error> {
    check_auth(config)?;
    check_tls(config)?;
    check_cluster(&config.cluster)
}

fn check_auth(config: &mut Config) -> Result<(), Error> {
    if let Some(path) = config.auth.secrets_file.clone() {
        let hashes = read_secrets(&path)?;
        config.auth.token_hashes.extend(hashes);
    }
    if config.auth.required && config.auth.token_hashes.is_empty() {
        return conflict(
            "auth.required",
            "true, but no token could ever be accepted: set auth.token_hashes or auth.secrets_file",
        );
    }
    Ok(())
}

fn read_secrets(path: &Path) -> Result<Vec<[u8; 32]>, Error> {
    let unreadable = |reason: String| Error::Unreadable {
        key: "auth.secrets_file".to_owned(),
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let mut hashes = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let hash = parse_hash(line).ok_or_else(|| {
            // The line is not shown: it may be a token written here by mistake.
            unreadable(format!(
                "line {}: expected the SHA-256 of a token as 64 hexadecimal digits",
                i + 1
            ))
        })?;
        hashes.push(hash);
    }
    Ok(hashes)
}

/// 64 hexadecimal digits.
pub(super) fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(hash)
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

/// This version runs a cluster of one; what describes more is refused, never ignored.
fn check_cluster(cluster: &Cluster) -> Result<(), Error> {
    if cluster.election_timeout_min <= cluster.heartbeat * 2 {
        return conflict(
            "cluster.election_timeout_ms",
            "must be more than twice cluster.heartbeat_ms, or one late heartbeat ends a term",
        );
    }
    match cluster.peers.as_slice() {
        [] => {}
        [only] => {
            if cluster.node_id.is_some_and(|id| id != only.id) {
                return conflict(
                    "cluster.peers",
                    "its only member must be this node: its id must equal cluster.node_id",
                );
            }
        }
        [..] => {
            return conflict(
                "cluster.peers",
                "lists more than one node, but this version runs a cluster of one: \
                 list this node alone, or leave the key out",
            );
        }
    }
    if !cluster.join.is_empty() {
        return conflict(
            "cluster.join",
            "this version runs a cluster of one and cannot join another: leave the key out",
        );
    }
    let tls_paths = [
        &cluster.tls_cert_path,
        &cluster.tls_key_path,
        &cluster.tls_ca_path,
    ];
    if cluster.tls_enabled || tls_paths.iter().any(|path| path.is_some()) {
        return conflict(
            "cluster.tls",
            "this version runs a cluster of one, which has no peer to encrypt to: leave it out \
             (tls.* encrypts between clients and the server)",
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
            "storage.fsync_policy is not every_write: a power cut may lose {lost}, although \
             they were acknowledged"
        ));
    }
    let peer_bind_set = config.settings.iter().any(|setting| {
        setting.key == "cluster.bind_addr" && setting.origin != super::Origin::Default
    });
    if peer_bind_set {
        warnings.push("cluster.bind_addr is not used by a cluster of one".to_owned());
    }
    if config.auth.required && !config.tls.enabled && !is_loopback(&config.network.bind_addr) {
        warnings.push(
            "auth.required without tls.enabled: tokens cross the network unencrypted".to_owned(),
        );
    }
    if !config.auth.required && !is_loopback(&config.network.bind_addr) {
        warnings.push(format!(
            "auth.required is false and network.bind_addr is {}: everyone who reaches it may \
             change everything",
            config.network.bind_addr
        ));
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

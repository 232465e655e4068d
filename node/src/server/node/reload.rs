//! Tokens and certificates, read again while the node runs: at SIGHUP with the configuration file, and where the files
//! themselves have changed, every 30 seconds. The node logs what it cannot use, and keeps what it has.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::peering;
use crate::server::clients::shared::ServerShared;
use crate::server::config::Config;
use crate::server::transport::{certificates, tls};

/// Interval between checks of the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Interval between warnings of the same certificate.
const SAY_INTERVAL: Duration = Duration::from_secs(86_400);
/// Keys that SIGHUP brings into force; all other keys need a restart.
const RELOADED: [&str; 4] = ["auth.", "tls.", "cluster.tls.", "cluster.secret_file"];
/// Exceptions: keys that begin like this need a restart.
const NOT_RELOADED: [&str; 3] = ["auth.required", "tls.enabled", "cluster.tls.enabled"];

struct Fresh {
    config: Config,
    shared: Arc<ServerShared>,
    tls: tls::Files,
    /// The last problem, so that it is logged once.
    faults: Vec<String>,
    said: Instant,
}

/// Never ends.
pub(crate) async fn keep_fresh(config: Config, shared: Arc<ServerShared>) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => Some(hangups),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP reloads nothing: its handler cannot be installed");
            None
        }
    };
    let mut fresh = Fresh {
        tls: tls::Files::read(&config.tls).unwrap_or_default(),
        config,
        shared,
        faults: Vec::new(),
        said: Instant::now(),
    };
    fresh.look_at_certificates();
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, and everything has just been read.
    looks.tick().await;
    loop {
        let hangup = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hangup => fresh.reload(),
            _ = looks.tick() => fresh.look(),
        }
    }
}

impl Fresh {
    /// SIGHUP: the configuration file may say something else too.
    fn reload(&mut self) {
        tracing::info!("SIGHUP: reading the configuration, tokens and certificates again");
        self.faults.clear();
        let again = self.config.load_again();
        // A configuration that a start refuses must not come into force by a reload.
        match again.and_then(|config| config.must_be_closed().map(|()| config)) {
            Ok(config) => {
                let changed = changed(&self.config, &config);
                if !changed.is_empty() {
                    tracing::warn!(
                        keys = changed.join(", "),
                        "these keys have changed and need a restart"
                    );
                }
                self.config.auth = config.auth;
                // A configuration that turns TLS off may lack its paths. TLS stays on until the restart, so the old
                // paths stay too.
                if self.config.tls.enabled == config.tls.enabled {
                    self.config.tls = config.tls;
                }
                let enabled = self.config.cluster.tls_enabled;
                if enabled == config.cluster.tls_enabled {
                    let cluster = &mut self.config.cluster;
                    cluster.tls_cert_path = config.cluster.tls_cert_path;
                    cluster.tls_key_path = config.cluster.tls_key_path;
                    cluster.tls_ca_path = config.cluster.tls_ca_path;
                    cluster.tls_allowed_names = config.cluster.tls_allowed_names;
                    cluster.secret_file = config.cluster.secret_file;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be used; the node keeps the one it has");
                return;
            }
        }
        self.look();
    }

    /// Reads the files, and brings changes into force.
    fn look(&mut self) {
        let done = [self.tokens(), self.clients(), self.peers()];
        let mut faults = Vec::new();
        for (what, replaced) in ["tokens", "tls", "cluster.tls and cluster.secret_file"]
            .into_iter()
            .zip(done)
        {
            match replaced {
                Ok(true) => tracing::info!(what, "changed files were read again and are in force"),
                Ok(false) => {}
                Err(fault) => faults.push(fault),
            }
        }
        for fault in &faults {
            if !self.faults.contains(fault) {
                tracing::error!(
                    reason = fault,
                    "changed files cannot be used; the node keeps the tokens and certificates it has"
                );
            }
        }
        self.faults = faults;
        self.look_at_certificates();
    }

    fn tokens(&self) -> Result<bool, String> {
        let hashes = self.config.token_hashes_now();
        let hashes = hashes.map_err(|error| error.to_string())?;
        if hashes.is_empty() && self.shared.tokens.required() {
            return Err(
                "auth.required: true, but no token is configured, so no client could authenticate"
                    .to_owned(),
            );
        }
        Ok(self.shared.tokens.replace(&hashes))
    }

    fn clients(&mut self) -> Result<bool, String> {
        let read = tls::Files::read(&self.config.tls).map_err(|error| error.to_string())?;
        if read == self.tls {
            return Ok(false);
        }
        let acceptor = tls::acceptor(&self.config.tls).map_err(|error| error.to_string())?;
        *self.shared.tls.write() = acceptor;
        self.tls = read;
        Ok(true)
    }

    fn peers(&self) -> Result<bool, String> {
        let proofs = peering::proofs(&self.config.cluster).map_err(|error| error.to_string())?;
        let replaced = self.shared.peers.credentials().replace(proofs);
        replaced.map_err(|error| error.to_string())
    }

    /// Logs which certificates need care: at the start, after a change, and once a day.
    fn look_at_certificates(&mut self) {
        let (_, node) = self.shared.replica.node();
        let held = certificates::of_config(&self.config, &node.peer_addr);
        let changed = *self.shared.certificates.read() != held;
        if changed || self.said.elapsed() >= SAY_INTERVAL {
            self.said = Instant::now();
            for warning in certificates::warnings(&held) {
                tracing::warn!("{warning}");
            }
        }
        *self.shared.certificates.write() = held;
    }
}

/// The keys that differ and need a restart.
fn changed(old: &Config, new: &Config) -> Vec<&'static str> {
    let is_reloaded = |key: &str| {
        RELOADED.iter().any(|begin| key.starts_with(begin)) && !NOT_RELOADED.contains(&key)
    };
    let pairs = old.settings().iter().zip(new.settings());
    let differ = pairs.filter(|(old, new)| old.value != new.value && !is_reloaded(old.key));
    // `--dev` has chosen the folder.
    let chosen = differ
        .filter(|(old, _)| !matches!(old.origin, crate::server::config::Origin::CommandLine(_)));
    chosen.map(|(old, _)| old.key).collect()
}

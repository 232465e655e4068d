//! Reads the configuration and its files again while the node runs. At SIGHUP and for RELOAD the node reads all of it.
//! Every 30 seconds it reads the files of tokens, certificates and keys, if they have changed. If the node cannot use a
//! value or a file, it reports that and keeps what it has.
//!
//! The module `keys` lists the keys that come into force without a restart.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use rstmdb_raft_store::{self as raft_store, Keyring};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::storage::reload::ReloadResult;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{options, peering};
use crate::server::clients::shared::{ReloadAsked, ServerShared};
use crate::server::config::{self, AuthConfig, Config, Setting};
use crate::server::logging;
use crate::server::peer::Credentials;
use crate::server::transport::{certificates, tls};

/// Interval between checks of the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Interval between warnings of the same certificate.
const SAY_INTERVAL: Duration = Duration::from_secs(86_400);
struct Fresh {
    /// What the node runs with.
    config: Config,
    /// The settings as they were last read.
    last: Vec<Setting>,
    shared: Arc<ServerShared>,
    tls: tls::Files,
    /// The last problem, so that it is logged once.
    faults: Vec<String>,
    said: Instant,
}

/// Never ends.
pub(crate) async fn keep_fresh(
    config: Config,
    shared: Arc<ServerShared>,
    mut asked: mpsc::Receiver<ReloadAsked>,
) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => Some(hangups),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP reloads nothing: its handler cannot be installed");
            None
        }
    };
    let mut fresh = Fresh {
        tls: tls::Files::read(&config.tls).unwrap_or_default(),
        last: config.settings().to_vec(),
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
            // The outcome is in the log already.
            _ = hangup => drop(fresh.reload("SIGHUP")),
            Some(tell) = asked.recv() => {
                // If the client has gone, its answer has no reader.
                let _ = tell.send(fresh.reload("RELOAD").map_err(refused));
            }
            _ = looks.tick() => drop(fresh.look()),
        }
    }
}

impl Fresh {
    /// Reads everything again. All of it comes into force, or nothing does.
    ///
    /// # Errors
    /// The reason why a value or a file cannot be used.
    fn reload(&mut self, by: &str) -> Result<ReloadResult, ReloadFailure> {
        tracing::info!(by, "reading the configuration and its files again");
        self.faults.clear();
        let again = self.config.load_again();
        let (read, runs) = match again.and_then(|read| self.checked(read)) {
            Ok(checked) => checked,
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be used; the node keeps the one it has");
                return Err(ReloadFailure::of_config(&error));
            }
        };
        if let Err(fault) = self.usable(&runs) {
            let fault = format!("the node keeps all that it has: {fault}");
            tracing::error!(
                reason = fault,
                "the configuration or its files cannot be used"
            );
            return Err(ReloadFailure::of_files(fault, &[]));
        }
        let mut result = ReloadResult {
            applied: keys::come_into_force(&self.last, &read),
            files: Vec::new(),
            needs_restart: keys::need_restart(&self.config, &read),
        };
        self.last = read.settings().to_vec();
        self.config = runs;
        self.bring_into_force();
        let looked = self.look();
        if looked.is_err() {
            result.applied.retain(|key| !keys::names_files(key));
        }
        let in_force = result.applied.join(", ");
        if !in_force.is_empty() {
            tracing::info!(keys = in_force, "these keys have changed and are in force");
        }
        if !result.needs_restart.is_empty() {
            let keys = result.needs_restart.join(", ");
            tracing::warn!(keys, "these keys have changed and need a restart");
        }
        result.files = looked.map_err(|fault| ReloadFailure::of_files(fault, &result.applied))?;
        Ok(result)
    }

    /// The configuration as it was read, and as the node would run with it. A configuration that a start refuses must not
    /// come into force by a reload. Nor must one that would leave the port for nodes open to every caller: that port
    /// stays where it is until a restart.
    fn checked(&self, read: Config) -> Result<(Config, Config), config::Error> {
        read.must_be_closed()?;
        let mut runs = self.config.clone();
        keys::take_over(&mut runs, read.clone());
        runs.must_be_closed()?;
        Ok((read, runs))
    }

    /// Whether the node can use each file that this configuration names.
    fn usable(&self, runs: &Config) -> Result<(), String> {
        self.tokens_of(runs)?;
        tls::acceptor(&runs.tls).map_err(|error| error.to_string())?;
        let proofs = peering::proofs(&runs.cluster).map_err(|error| error.to_string())?;
        Credentials::new(proofs).map_err(|error| error.to_string())?;
        // They are learned when all else can be used, too, and are then among what has changed.
        match self.newer_keys()? {
            Some(newer) => self.shared.keys.can_learn(&newer).map_err(of_key_file),
            None => Ok(()),
        }
    }

    fn bring_into_force(&self) {
        logging::set_level(&self.config.logging.level);
        self.shared.times.set(&self.config.network);
        self.shared.replica.tune(options::tuning(&self.config));
    }

    /// Reads the files, and brings changes into force. Returns what has changed.
    ///
    /// # Errors
    /// The reason why a file cannot be used. All other files are in force.
    fn look(&mut self) -> Result<Vec<String>, String> {
        let done = [
            ("tokens", self.tokens()),
            ("tls", self.clients()),
            ("cluster.tls and cluster.secret_file", self.peers()),
            ("storage.encryption_key_file", self.encryption_keys()),
        ];
        let (mut changed, mut faults) = (Vec::new(), Vec::new());
        for (what, replaced) in done {
            match replaced {
                Ok(true) => {
                    tracing::info!(what, "changed files were read again and are in force");
                    changed.push(what.to_owned());
                }
                Ok(false) => {}
                Err(fault) => faults.push(fault),
            }
        }
        for fault in &faults {
            if !self.faults.contains(fault) {
                tracing::error!(
                    reason = fault,
                    "changed files cannot be used; the node keeps the tokens, certificates and keys it has"
                );
            }
        }
        let outcome = match faults.is_empty() {
            true => Ok(changed),
            false => Err(format!(
                "files cannot be used, and the node keeps the tokens, certificates and keys it has: {}",
                faults.join("; ")
            )),
        };
        self.faults = faults;
        self.look_at_certificates();
        outcome
    }

    /// The node reads with new keys at once. It encrypts with the last key only after ROTATE_KEY.
    fn encryption_keys(&self) -> Result<bool, String> {
        let keys = &self.shared.keys;
        let before = keys.ids();
        let Some(newer) = self.newer_keys()? else {
            return Ok(false);
        };
        keys.learn(&newer, false).map_err(of_key_file)?;
        Ok(keys.ids() != before)
    }

    fn newer_keys(&self) -> Result<Option<Keyring>, String> {
        let newer = self.shared.reread_keys();
        newer.map_err(|error| error.to_string())
    }

    fn tokens(&self) -> Result<bool, String> {
        let read = self.tokens_of(&self.config)?;
        Ok(self.shared.tokens.replace(&read))
    }

    /// Who may use the server by this configuration.
    fn tokens_of(&self, config: &Config) -> Result<AuthConfig, String> {
        let auth = config.auth_now().map_err(|error| error.to_string())?;
        if !auth.knows_anyone() && self.shared.tokens.required() {
            return Err(
                "auth.required: true, but no token is configured, so no client could authenticate"
                    .to_owned(),
            );
        }
        Ok(auth)
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

/// Why a reload did not do all that was asked.
struct ReloadFailure {
    why: String,
    details: Value,
}

impl ReloadFailure {
    /// Nothing has come into force.
    fn of_config(error: &config::Error) -> Self {
        Self {
            why: format!(
                "the configuration cannot be used, and the node keeps the one it has: {error}"
            ),
            details: match error.key() {
                Some(key) => json!({ "key": key, "applied": [] }),
                None => json!({ "applied": [] }),
            },
        }
    }

    /// A file cannot be used. These keys have come into force, because the file was changed in the middle of the reload.
    fn of_files(fault: String, applied: &[String]) -> Self {
        Self {
            why: match applied.join(", ").as_str() {
                "" => fault,
                keys => format!("{fault}. These keys are in force: {keys}"),
            },
            details: json!({ "applied": applied }),
        }
    }
}

fn of_key_file(error: raft_store::Error) -> String {
    format!("storage.encryption_key_file: {error}")
}

fn refused(failure: ReloadFailure) -> ErrorBody {
    ErrorBody::new(Code::Conflict, failure.why).with_details(failure.details)
}

//! Finds the leader, and checks that all nodes have the same state.

use std::time::Duration;

use super::Cluster;
use crate::Error;
use crate::harness::wait::within;

/// How long all nodes may take to agree once no client writes, and how long the cluster may take to have a leader.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What all nodes agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converged {
    /// The last applied offset.
    pub applied: u64,
    /// The digest of the state there.
    pub digest: String,
    /// The head of the chain over the log there; empty where it has not begun.
    pub chain_head: String,
}

impl Cluster {
    /// Waits until one of the running nodes leads, and at least half of the others say so too.
    ///
    /// # Errors
    /// When none does in time.
    pub fn leader(&self) -> Result<u64, Error> {
        within(SETTLE_TIMEOUT, || {
            let running = self.running();
            let named: Vec<(u64, Option<u64>)> = running
                .iter()
                .filter_map(|id| self.info(*id).ok().map(|info| (*id, info)))
                .map(|(id, info)| (id, info["leader"]["node_id"].as_u64()))
                .collect();
            let follow = |id| named.iter().filter(move |(_, leader)| *leader == Some(id));
            let leads = |id: &u64| {
                let says_so = follow(*id).any(|(node, _)| node == id);
                says_so && follow(*id).count() * 2 > running.len()
            };
            let leader = running.iter().copied().find(leads);
            leader.ok_or_else(|| format!("no leader; leaders by node: {named:?}"))
        })
    }

    /// The running nodes that do not lead.
    ///
    /// # Errors
    /// When no node leads in time.
    pub fn followers(&self) -> Result<Vec<u64>, Error> {
        let leader = self.leader()?;
        Ok(self
            .running()
            .into_iter()
            .filter(|id| *id != leader)
            .collect())
    }

    /// Waits until every running node has applied the same offset, and has the same state there.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub fn wait_converged(&self) -> Result<Converged, Error> {
        within(SETTLE_TIMEOUT, || {
            let mut seen = Vec::new();
            for id in self.running() {
                let info = self
                    .info(id)
                    .map_err(|error| format!("node {id}: {error}"))?;
                let state = Converged {
                    applied: info["last_applied"].as_u64().unwrap_or_default(),
                    digest: info["state_digest"].as_str().unwrap_or_default().to_owned(),
                    chain_head: info["chain"]["head"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                };
                seen.push((id, state));
            }
            match seen.split_first() {
                Some(((_, first), others))
                    if !first.digest.is_empty()
                        && others.iter().all(|(_, state)| state == first) =>
                {
                    Ok(first.clone())
                }
                _ => Err(format!("the nodes do not agree: {seen:?}")),
            }
        })
    }
}

//! Which node speaks: every request and every answer names it, and this node trusts nothing before the name fits.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rstmdb_engine::fact::level::FIRST;
use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::members::Members;
use super::protocol::{PROTOCOL, Protocol};
use super::refusal::{IdentityRefusal, MEMBERSHIP_HEADER};
use crate::replica::Types;
use crate::server::config::address;
use crate::server::peer::handshake::credentials::{Caller, Credentials};
use crate::server::peer::sane::Insane;
use crate::server::peer::warnings::Warnings;
use crate::server::peer::{Local, Meet, Options};
use crate::server::transport::certificates::CertificateNames;

const PROTOCOL_HEADER: HeaderName = HeaderName::from_static("rstmdb-protocol");
const CLUSTER_HEADER: HeaderName = HeaderName::from_static("rstmdb-cluster");
const NODE_HEADER: HeaderName = HeaderName::from_static("rstmdb-node");
const INCARNATION_HEADER: HeaderName = HeaderName::from_static("rstmdb-incarnation");
const LEVEL_HEADER: HeaderName = HeaderName::from_static("rstmdb-level");
/// Where the sender is reached, while the membership in its log says something else.
const ADDRESS_HEADER: HeaderName = HeaderName::from_static("rstmdb-address");

/// Who the other side is; proven to be of this cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Speaker {
    pub node_id: u64,
}

/// What was refused at the port for other nodes, since the start.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Connections that did not begin as they should.
    pub connections: AtomicU64,
    /// Calls of callers that may not call this node.
    pub callers: AtomicU64,
    /// Messages that no honest node sends.
    pub messages: AtomicU64,
}

/// Says who this node is, and judges who others say they are.
pub(crate) struct PeerGate {
    pub(crate) local: Local,
    pub(crate) members: Arc<Members>,
    pub(crate) refusals: Refusals,
    credentials: Arc<Credentials>,
    meet: Meet,
    /// Pairs of id and incarnation that `meet` has accepted.
    met: Mutex<HashSet<(u64, u128)>>,
    pub(crate) warnings: Arc<Warnings>,
}

impl PeerGate {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        Arc::new(Self {
            local: options.local.clone(),
            members: options.members.clone(),
            refusals: Refusals::default(),
            credentials: options.credentials.clone(),
            meet: options.meet.clone(),
            met: Mutex::default(),
            warnings: Arc::default(),
        })
    }

    /// Adds who this node is; `false` while it belongs to no cluster.
    pub(crate) fn sign(&self, headers: &mut HeaderMap) -> bool {
        let Some(cluster) = self.local.cluster_id.get() else {
            return false;
        };
        let values = [
            (PROTOCOL_HEADER, PROTOCOL.to_string()),
            (CLUSTER_HEADER, format!("{cluster:032x}")),
            (NODE_HEADER, self.local.node_id.to_string()),
            (
                INCARNATION_HEADER,
                format!("{:032x}", self.local.incarnation),
            ),
            (LEVEL_HEADER, self.local.levels.understands().to_string()),
        ];
        for (name, value) in values {
            // Only digits and dots, so always a valid value.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        let Local {
            node_id, peer_addr, ..
        } = &self.local;
        let recorded = self.members.own_addr(*node_id);
        if recorded.is_some_and(|addr| !address::is_same(&addr, peer_addr))
            && let Ok(value) = HeaderValue::try_from(peer_addr)
        {
            headers.insert(ADDRESS_HEADER, value);
        }
        true
    }

    /// Whether the headers name a sender at all.
    pub(crate) fn is_signed(headers: &HeaderMap) -> bool {
        headers.contains_key(PROTOCOL_HEADER)
    }

    /// The node that a caller claims to be, for the logs: not to be trusted.
    pub(crate) fn caller(headers: &HeaderMap) -> String {
        let id: Result<u64, _> = value(headers, NODE_HEADER, |text| text.parse().ok());
        id.map_or_else(|_| "unknown".to_owned(), |id| format!("node {id}"))
    }

    /// Judges a caller of this node. Nothing is recorded of a caller that is no member.
    pub(crate) async fn admit<T: Types>(
        &self,
        headers: &HeaderMap,
        caller: &Caller,
    ) -> Result<Speaker, IdentityRefusal> {
        let (speaker, incarnation) = self.same_cluster(headers)?;
        if speaker.node_id == self.local.node_id {
            return Err(IdentityRefusal::SameId(speaker.node_id));
        }
        self.must_be_member(speaker.node_id, caller)?;
        self.must_understand(headers, speaker.node_id)?;
        self.meet::<T>(speaker.node_id, incarnation).await?;
        self.hear_address(headers, speaker.node_id);
        Ok(speaker)
    }

    /// A member that has moved says where it is. This node needs that before the membership has it: without the moved
    /// member there may be no majority that could change the membership.
    fn hear_address(&self, headers: &HeaderMap, node_id: u64) {
        let said = headers
            .get(&ADDRESS_HEADER)
            .and_then(|value| value.to_str().ok());
        if let Some(addr) = said.filter(|addr| address::is_dialable(addr))
            && self.members.hear_address(node_id, addr)
        {
            tracing::info!(
                node_id,
                addr,
                "a member says that it has moved; this node also tries that address"
            );
        }
    }

    /// Whether this is an address of this node: its own entry in the configuration, or in the membership, which may
    /// differ while the node moves. The address where the connection arrived does not count: in another network it can
    /// belong to another machine.
    pub(crate) fn is_own_address(&self, addr: &str) -> bool {
        let Local {
            node_id, peer_addr, ..
        } = &self.local;
        address::is_same(peer_addr, addr) || self.members.is_at(*node_id, addr)
    }

    /// The caller is a member, and its certificate is that member's.
    pub(crate) fn must_be_member(
        &self,
        node_id: u64,
        caller: &Caller,
    ) -> Result<(), IdentityRefusal> {
        let our_id = self.local.node_id;
        let Some(addr) = self.members.address_of(node_id) else {
            return Err(IdentityRefusal::NoMember {
                node_id,
                our_id,
                membership: self.members.committed_without(node_id),
            });
        };
        let all = self.members.addresses_of(node_id);
        let is_the_members =
            |names: &CertificateNames| all.iter().any(|addr| names.cover(address::host(addr)));
        if self.has_proven(caller, is_the_members) {
            return Ok(());
        }
        Err(IdentityRefusal::Certificate {
            node_id,
            names: named(caller),
            addr,
            our_id,
        })
    }

    /// Judges a caller that does not say which node it is.
    pub(crate) fn admit_operator(&self, caller: &Caller) -> Result<(), IdentityRefusal> {
        let members = &self.members;
        let is_member =
            |names: &CertificateNames| members.any_address(|addr| names.cover(address::host(addr)));
        if self.has_proven(caller, is_member) {
            return Ok(());
        }
        Err(IdentityRefusal::Operator {
            names: named(caller),
            our_id: self.local.node_id,
        })
    }

    /// Without certificates a connection has proven all it could when it began.
    fn has_proven(&self, caller: &Caller, fits: impl Fn(&CertificateNames) -> bool) -> bool {
        match &caller.names {
            Some(names) => fits(names) || self.credentials.allows(names),
            None => !self.credentials.ask_for_certificates(),
        }
    }

    /// Refuses a message that no honest node sends: it never reaches Raft.
    pub(crate) fn insane(&self, node_id: u64, insane: Insane) -> Status {
        self.refusals.messages.fetch_add(1, Ordering::Relaxed);
        let reason = insane.to_string();
        let said = "a message of another node is refused: no healthy node sends it";
        self.warn(&format!("node {node_id}"), said, &reason);
        insane.into()
    }

    /// Judges the answer of the node that should be `wanted` and is reached at `addr`.
    pub(crate) async fn recognize<T: Types>(
        &self,
        headers: &HeaderMap,
        wanted: u64,
        addr: &str,
    ) -> Result<(), IdentityRefusal> {
        let (speaker, incarnation) = self.same_cluster(headers)?;
        if speaker.node_id != wanted {
            return Err(IdentityRefusal::WrongNode {
                addr: addr.to_owned(),
                wanted,
                found: speaker.node_id,
            });
        }
        self.must_understand(headers, speaker.node_id)?;
        self.meet::<T>(speaker.node_id, incarnation).await
    }

    /// The log index of the committed membership of node `by`, if that node has refused this one because its membership
    /// does not have it. `None` if the refusal names another cluster or another node.
    pub(crate) fn excluded_by(&self, by: u64, headers: &HeaderMap) -> Option<u64> {
        let (speaker, _) = self.same_cluster(headers).ok()?;
        let text = headers.get(MEMBERSHIP_HEADER)?.to_str().ok()?;
        text.parse().ok().filter(|_| speaker.node_id == by)
    }

    /// Whether an answer names another node than this one as its sender, or a node of another cluster.
    pub(crate) fn is_of_another(&self, node_id: u64, headers: &HeaderMap) -> bool {
        let sender = value(headers, NODE_HEADER, |text| text.parse::<u64>().ok());
        let cluster = value(headers, CLUSTER_HEADER, hexadecimal);
        match (sender, cluster) {
            (Ok(sender), Ok(cluster)) => {
                sender != node_id || self.local.cluster_id.get() != Some(&cluster)
            }
            _ => false,
        }
    }

    /// A node that understands less than the cluster's feature level could not read the log.
    fn must_understand(&self, headers: &HeaderMap, node_id: u64) -> Result<(), IdentityRefusal> {
        let understands = match headers.contains_key(LEVEL_HEADER) {
            true => value(headers, LEVEL_HEADER, |text| text.parse().ok())?,
            false => FIRST,
        };
        let level = self.local.levels.reached();
        if understands >= level {
            return Ok(());
        }
        Err(IdentityRefusal::Level {
            node_id,
            understands,
            level,
            our_id: self.local.node_id,
        })
    }

    fn same_major(&self, node_id: u64, theirs: Protocol) -> Result<(), IdentityRefusal> {
        if theirs.major == PROTOCOL.major {
            return Ok(());
        }
        Err(IdentityRefusal::Version {
            node_id,
            theirs,
            our_id: self.local.node_id,
        })
    }

    /// Logs a refusal, unless the same one was logged a moment ago.
    pub(crate) fn warn(&self, peer: &str, said: &'static str, reason: &str) {
        self.warnings.warn(peer, said, reason);
    }

    /// Judges the version that a node says it speaks.
    pub(crate) fn check_version(&self, node_id: u64, protocol: &str) -> Result<(), String> {
        let theirs: Protocol = protocol.parse().map_err(|()| {
            format!("node {node_id} sent {protocol:?} as its protocol version, which is not one")
        })?;
        self.same_major(node_id, theirs)
            .map_err(|refusal| refusal.to_string())
    }

    fn same_cluster(&self, headers: &HeaderMap) -> Result<(Speaker, u128), IdentityRefusal> {
        let node_id: u64 = value(headers, NODE_HEADER, |text| text.parse().ok())?;
        let theirs = value(headers, PROTOCOL_HEADER, |text| text.parse().ok())?;
        self.same_major(node_id, theirs)?;
        let cluster = value(headers, CLUSTER_HEADER, hexadecimal)?;
        let incarnation = value(headers, INCARNATION_HEADER, hexadecimal)?;
        let ours = self.local.cluster_id.get().copied();
        if ours != Some(cluster) {
            return Err(IdentityRefusal::Cluster {
                node_id,
                theirs: Uuid::from_u128(cluster),
                our_id: self.local.node_id,
                ours: Uuid::from_u128(ours.unwrap_or_default()),
            });
        }
        Ok((Speaker { node_id }, incarnation))
    }

    async fn meet<T: Types>(&self, node_id: u64, incarnation: u128) -> Result<(), IdentityRefusal> {
        if self.met.lock().contains(&(node_id, incarnation)) {
            return Ok(());
        }
        let meet = self.meet.clone();
        let met = T::blocking(move || meet(node_id, incarnation)).await;
        met.unwrap_or_else(|error| Err(format!("the record of nodes cannot be read: {error}")))
            .map_err(IdentityRefusal::Incarnation)?;
        self.met.lock().insert((node_id, incarnation));
        Ok(())
    }
}

fn named(caller: &Caller) -> String {
    let names = caller.names.as_ref();
    names.map_or_else(|| "no name".to_owned(), ToString::to_string)
}

fn value<T>(
    headers: &HeaderMap,
    name: HeaderName,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, IdentityRefusal> {
    let text = headers.get(&name).and_then(|value| value.to_str().ok());
    text.and_then(parse).ok_or(IdentityRefusal::Stranger(name))
}

fn hexadecimal(text: &str) -> Option<u128> {
    u128::from_str_radix(text, 16).ok()
}

//! How a node stands.

use rstmdb_engine::chain::Head;
use rstmdb_engine::fact::level::FIRST;

use super::{DecodeError, id_bytes, id_from, invalid, required};
use crate::replica::{DigestAt, HeadAt, NodeReport, Role};
use crate::server::peer::wire;

impl From<Role> for wire::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Leader => Self::Leader,
            Role::Follower => Self::Follower,
            Role::Learner => Self::Learner,
            Role::Candidate => Self::Candidate,
        }
    }
}

fn role(role: i32) -> Result<Role, DecodeError> {
    match wire::Role::try_from(role) {
        Ok(wire::Role::Leader) => Ok(Role::Leader),
        Ok(wire::Role::Follower) => Ok(Role::Follower),
        Ok(wire::Role::Learner) => Ok(Role::Learner),
        Ok(wire::Role::Candidate) => Ok(Role::Candidate),
        Ok(wire::Role::Unspecified) => Err(DecodeError::Missing("ReportReply.role")),
        Err(_) => Err(invalid("ReportReply.role", format!("{role} is not known"))),
    }
}

fn encode_digest((offset, digest): DigestAt) -> wire::DigestAt {
    wire::DigestAt {
        offset,
        digest: id_bytes(digest),
    }
}

fn decode_digest(at: wire::DigestAt) -> Result<DigestAt, DecodeError> {
    Ok((at.offset, id_from("DigestAt.digest", &at.digest)?))
}

fn encode_head((offset, head): HeadAt) -> wire::HeadAt {
    wire::HeadAt {
        offset,
        head: head.0.to_vec().into(),
    }
}

fn decode_head(at: wire::HeadAt) -> Result<HeadAt, DecodeError> {
    let head = Head::of_bytes(&at.head);
    let head = head.ok_or_else(|| invalid("HeadAt.head", "it must be 32 bytes long"))?;
    Ok((at.offset, head))
}

impl From<NodeReport> for wire::ReportReply {
    fn from(report: NodeReport) -> Self {
        Self {
            node_id: report.node_id,
            role: wire::Role::from(report.role).into(),
            term: report.term,
            leader: report.leader,
            last_log: report.last_log,
            commit_index: report.commit_index,
            applied: Some(encode_digest(report.applied)),
            checkpoints: report.checkpoints.into_iter().map(encode_digest).collect(),
            earliest_offset: report.earliest_offset,
            read_only: report.read_only,
            diverged: report.diverged,
            version: report.version,
            uptime_secs: report.uptime_secs,
            members: report.members,
            clock_ms: report.clock_ms,
            log_ms: report.log_ms,
            level: report.level,
            understands: report.understands,
            heads: report.heads.into_iter().map(encode_head).collect(),
        }
    }
}

impl TryFrom<wire::ReportReply> for NodeReport {
    type Error = DecodeError;

    fn try_from(message: wire::ReportReply) -> Result<Self, DecodeError> {
        let checkpoints = message.checkpoints.into_iter().map(decode_digest);
        let heads = message.heads.into_iter().map(decode_head);
        Ok(Self {
            node_id: message.node_id,
            role: role(message.role)?,
            term: message.term,
            leader: message.leader,
            last_log: message.last_log,
            commit_index: message.commit_index,
            applied: decode_digest(required("ReportReply.applied", message.applied)?)?,
            checkpoints: checkpoints.collect::<Result<_, _>>()?,
            earliest_offset: message.earliest_offset,
            read_only: message.read_only,
            diverged: message.diverged,
            version: message.version,
            uptime_secs: message.uptime_secs,
            members: message.members,
            clock_ms: message.clock_ms,
            log_ms: message.log_ms,
            level: message.level.max(FIRST),
            understands: message.understands.max(FIRST),
            heads: heads.collect::<Result<_, _>>()?,
        })
    }
}

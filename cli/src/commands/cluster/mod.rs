//! cluster status, add, promote, remove, set-address, transfer-leader, finalize-upgrade; `cluster demo` is in [`crate::demo`].
//!
//! | module | subject |
//! |---|---|
//! | `catch_up` | whether a new node makes progress, is close enough, or is stuck |

mod catch_up;

use std::time::{Duration, Instant};

use rstmdb_rcp::Code;
use rstmdb_rcp::client::RawResponse;
use rstmdb_rcp::message::cluster::{
    ClusterAdd, ClusterAddResult, ClusterPromote, ClusterRemove, ClusterSetAddress,
    ClusterStatusResult, ClusterTransferLeader, NodeStatus,
};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::NoParams;
use rstmdb_rcp::text::counted;
use serde_json::Value;

use crate::args::{self, ClusterCommand};
use crate::session::CliSession;
use crate::{Error, demo};

use catch_up::{CatchUp, CatchUpNext, SILENT_AFTER, STUCK_AFTER};

/// Interval between checks of a node that catches up.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Interval between reports of its progress.
const TELL_EVERY: Duration = Duration::from_secs(2);

pub(super) async fn run(session: &CliSession, args: args::ClusterArgs) -> Result<(), Error> {
    match args.command {
        ClusterCommand::Status => session.show(op::CLUSTER_STATUS, &NoParams {}).await,
        ClusterCommand::Add(args) => add(session, args).await,
        ClusterCommand::Promote(args) => {
            let params = ClusterPromote {
                node_id: args.node_id,
            };
            session.show(op::CLUSTER_PROMOTE, &params).await
        }
        ClusterCommand::Remove(args) => {
            let params = ClusterRemove {
                node_id: args.node_id,
            };
            session.show(op::CLUSTER_REMOVE, &params).await
        }
        ClusterCommand::SetAddress(args) => set_address(session, args).await,
        ClusterCommand::TransferLeader(args) => {
            let params = ClusterTransferLeader {
                node_id: args.node_id,
            };
            session.show(op::CLUSTER_TRANSFER_LEADER, &params).await
        }
        ClusterCommand::FinalizeUpgrade => {
            session
                .show(op::CLUSTER_FINALIZE_UPGRADE, &NoParams {})
                .await
        }
        ClusterCommand::Demo(args) => demo::run(session, &args).await,
    }
}

async fn set_address(session: &CliSession, args: args::SetAddress) -> Result<(), Error> {
    let id = args.node_id;
    let status: Result<ClusterStatusResult<'_>, Error> =
        session.ask(op::CLUSTER_STATUS, &NoParams {}).await;
    let nodes = status.map(|status| status.nodes).unwrap_or_default();
    let before = nodes.into_iter().find(|node| node.node_id == id);
    let differs = before.is_some_and(|node| {
        node.reachable && (node.peer_addr != args.peer_addr || node.rcp_addr != args.rcp_addr)
    });
    let params = ClusterSetAddress {
        node_id: id,
        peer_addr: args.peer_addr.into(),
        rcp_addr: args.rcp_addr.into(),
    };
    session.show(op::CLUSTER_SET_ADDRESS, &params).await?;
    if differs && !session.out.errors_are_json() {
        eprintln!(
            "warning: node {id} is up, and within 10 s it changes its addresses back to those of its configuration. Change \
             them there and restart it; this command is for a node that is down"
        );
    }
    Ok(())
}

async fn add(session: &CliSession, args: args::ClusterAddArgs) -> Result<(), Error> {
    let params = ClusterAdd {
        peer_addr: args.peer_addr.into(),
        node_id: args.node_id,
    };
    let answer = session.call(op::CLUSTER_ADD, &params).await?;
    let added: ClusterAddResult<'_> =
        serde_json::from_str(answer.result.get()).map_err(Error::unexpected)?;
    if added.voter || args.learner {
        return session.print(op::CLUSTER_ADD, &answer.result);
    }
    let id = added.node_id;
    eprintln!(
        "node {id} at {} is now a learner and catches up. After Ctrl-C it stays a learner, and \
         `cluster promote {id}` gives it a vote later",
        added.peer_addr
    );
    let promoted = tokio::select! {
        promoted = promote_when_close(session, id) => promoted?,
        interrupted = session.interrupted() => {
            interrupted?;
            return Err(Error::Failed(format!(
                "interrupted: node {id} stays a learner; `rstmdb-cli cluster promote {id}` gives it a vote"
            )));
        }
    };
    session.print(op::CLUSTER_PROMOTE, &promoted.result)
}

async fn promote_when_close(session: &CliSession, id: u64) -> Result<RawResponse, Error> {
    let mut catch_up = CatchUp::new(Instant::now());
    let mut told: Option<(Instant, Option<u64>)> = None;
    loop {
        let node = look_at(session, id).await?;
        let now = Instant::now();
        let lag = node.as_ref().and_then(|node| node.lag);
        if told.is_none_or(|(when, said)| lag != said && now >= when + TELL_EVERY) {
            told = Some((now, lag));
            eprintln!("{}", progress(id, node.as_ref()));
        }
        match catch_up.observe(node.as_ref(), now) {
            CatchUpNext::Promote => {
                if let Some(promoted) = promote(session, id).await? {
                    return Ok(promoted);
                }
            }
            CatchUpNext::Wait => {}
            CatchUpNext::GiveUp => return Err(Error::Timeout(stuck(id, node.as_ref()))),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The node's status; `None` while no node can tell it, for example during an election.
async fn look_at(session: &CliSession, id: u64) -> Result<Option<NodeStatus<'static>>, Error> {
    let status: Result<ClusterStatusResult<'_>, Error> =
        session.ask(op::CLUSTER_STATUS, &NoParams {}).await;
    match status {
        Ok(status) => match status.nodes.into_iter().find(|node| node.node_id == id) {
            Some(node) => Ok(Some(node)),
            None => Err(Error::Failed(format!(
                "node {id} is no longer in the cluster: another command has removed it"
            ))),
        },
        Err(error) if may_pass(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `None` if the caller must retry.
async fn promote(session: &CliSession, id: u64) -> Result<Option<RawResponse>, Error> {
    let params = ClusterPromote { node_id: id };
    match session.call(op::CLUSTER_PROMOTE, &params).await {
        Ok(promoted) => Ok(Some(promoted)),
        Err(error) if lags(&error) || may_pass(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn lags(error: &Error) -> bool {
    let Error::Refused(body) = error else {
        return false;
    };
    let lag = body.details.as_ref().and_then(|details| details.get("lag"));
    body.code == Code::Conflict && lag.is_some_and(Value::is_u64)
}

fn may_pass(error: &Error) -> bool {
    match error {
        Error::Refused(body) => body.retryable,
        Error::NoConnection(_) | Error::Timeout(_) | Error::Unanswered { .. } => true,
        Error::Hinted { error, .. } => may_pass(error),
        Error::Failed(_)
        | Error::Usage(_)
        | Error::Handshake(_)
        | Error::Line { .. }
        | Error::Output(_)
        | Error::LockHeld(_)
        | Error::LockLost { .. }
        | Error::Command(_) => false,
    }
}

fn progress(id: u64, node: Option<&NodeStatus<'_>>) -> String {
    match node {
        None => format!("no node can tell at the moment how far node {id} is behind"),
        Some(node) if !node.reachable => match &node.unreachable {
            Some(reason) => format!("node {id} {reason}"),
            None => format!("node {id} does not answer"),
        },
        Some(node) => match node.lag {
            Some(lag) => format!("node {id} is {} behind", counted(lag, "entry", "entries")),
            None => format!("node {id} answers, but it is not known how far it is behind"),
        },
    }
}

fn stuck(id: u64, node: Option<&NodeStatus<'_>>) -> String {
    format!(
        "no progress for {} s: {}. Node {id} stays a learner. Check its log. The node must name this cluster \
         in cluster.join, reach the peer addresses of the other nodes, and be reachable at its own. \
         A large snapshot may take longer. Give it a vote later with `rstmdb-cli cluster promote {id}`, \
         or remove it with `rstmdb-cli cluster remove {id}`",
        match node {
            Some(node) if !node.reachable => SILENT_AFTER.as_secs(),
            _ => STUCK_AFTER.as_secs(),
        },
        progress(id, node)
    )
}

#[cfg(test)]
mod tests {
    use rstmdb_rcp::message::ErrorBody;
    use serde_json::json;

    use super::*;

    fn refused(code: Code, details: Value) -> Error {
        Error::Refused(Box::new(ErrorBody::new(code, "no").with_details(details)))
    }

    #[test]
    fn only_a_conflict_about_the_lag_is_waited_for() {
        assert!(lags(&refused(Code::Conflict, json!({"lag": 7}))));
        assert!(!lags(&refused(Code::Conflict, json!({"quorum": 2}))));
        assert!(!lags(&refused(Code::NotFound, json!({"lag": 7}))));
        assert!(!lags(&Error::Timeout(String::new())));
    }

    #[test]
    fn an_election_or_a_lost_connection_passes_and_a_refusal_does_not() {
        assert!(may_pass(&refused(Code::NoLeader, json!({}))));
        assert!(may_pass(&Error::NoConnection(String::new())));
        assert!(!may_pass(&refused(Code::Conflict, json!({}))));
        assert!(!may_pass(&refused(Code::BadRequest, json!({}))));
    }

    #[test]
    fn who_is_stuck_is_said_with_what_to_do() {
        let message = stuck(4, Some(&NodeStatus::default()));
        assert!(message.contains("node 4 does not answer"), "{message}");
        let refused = NodeStatus {
            unreachable: Some("refused: another secret".into()),
            ..NodeStatus::default()
        };
        let message = stuck(4, Some(&refused));
        assert!(
            message.contains("for 20 s: node 4 refused: another secret"),
            "{message}"
        );
        assert!(message.contains("cluster promote 4"), "{message}");
    }
}

//! The prompt: which server, and what it is in its cluster.

use std::time::Duration;

use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::{ClusterInfo, InfoResult, NoParams};
use rstmdb_rcp::text::printable;

use crate::session::CliSession;

/// How long the prompt waits for the server. The next line can be typed whether the server answers or not.
const PATIENCE: Duration = Duration::from_millis(300);

/// The prompt for the next line.
pub(super) async fn prompt(session: &CliSession) -> String {
    let profile = match &session.profile {
        Some(name) => printable(&format!("{name} ")),
        None => String::new(),
    };
    format!("{profile}{}", place(session).await)
}

async fn place(session: &CliSession) -> String {
    let asked = tokio::time::timeout(PATIENCE, ask(session)).await;
    match asked {
        Ok(Some((address, cluster))) => connected(&address, cluster.as_ref()),
        // Connected, but the server has not answered this.
        Err(_) if session.is_connected() => match session.client().await {
            Ok(client) => connected(&client.address(), None),
            Err(_) => NOT_CONNECTED.to_owned(),
        },
        Ok(None) | Err(_) => NOT_CONNECTED.to_owned(),
    }
}

const NOT_CONNECTED: &str = "not connected> ";

async fn ask(session: &CliSession) -> Option<(String, Option<ClusterInfo<'static>>)> {
    let client = session.client().await.ok()?;
    let info = client.call(op::INFO, &NoParams {}).await;
    // A server that refuses this, for example because no token was given, is one to which there is a connection.
    let info: Option<InfoResult<'static>> = info.ok().map(|answer| answer.result);
    Some((client.address(), info.and_then(|info| info.cluster)))
}

fn connected(address: &str, cluster: Option<&ClusterInfo<'_>>) -> String {
    let what = match cluster {
        None => String::new(),
        Some(cluster) if cluster.removed.is_some() => {
            format!(" node {} removed", cluster.node_id)
        }
        Some(cluster) if cluster.members.len() <= 1 => " single".to_owned(),
        Some(cluster) => format!(" node {} {}", cluster.node_id, cluster.role),
    };
    printable(&format!("{address}{what}> "))
}

#[cfg(test)]
mod tests {
    use rstmdb_rcp::message::session::{MemberInfo, RemovedInfo};

    use super::*;

    #[test]
    fn the_prompt_says_which_node_and_what_it_is() {
        let member = |node_id| MemberInfo {
            node_id,
            rcp_addr: "a:1".into(),
            peer_addr: "a:2".into(),
            voter: true,
        };
        let mut cluster = ClusterInfo {
            node_id: 2,
            role: "leader".into(),
            members: vec![member(2)],
            ..ClusterInfo::default()
        };
        assert_eq!(connected("a:1", None), "a:1> ");
        assert_eq!(connected("a:1", Some(&cluster)), "a:1 single> ");
        cluster.members.push(member(3));
        assert_eq!(connected("a:1", Some(&cluster)), "a:1 node 2 leader> ");
        cluster.role = "follower".into();
        assert_eq!(connected("a:1", Some(&cluster)), "a:1 node 2 follower> ");
        cluster.removed = Some(RemovedInfo {
            by: 3,
            membership: 9,
        });
        assert_eq!(connected("a:1", Some(&cluster)), "a:1 node 2 removed> ");
        assert!(!connected("a\u{1b}[2J", None).contains('\u{1b}'));
    }
}

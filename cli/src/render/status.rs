//! CLUSTER_STATUS for people: a line on top, a row for each node, a line for each thing that is wrong.

use rstmdb_rcp::message::cluster::{ClusterStatusResult, NodeStatus};
use rstmdb_rcp::message::session::RemovedInfo;

use super::output::{Paint, printable};
use super::table::{TextTable, not_shown};

/// As many digits of a digest as tell two of them apart by eye.
const DIGEST_CHARS: usize = 8;

/// The columns, and the order in which they are dropped when the terminal is too narrow. A part of an address
/// is useless, so no column is cut.
const COLUMNS: [Column; 9] = [
    ("node", 0, |node| node.node_id.to_string()),
    ("role", 0, |node| role(node).to_owned()),
    ("RCP address", 0, |node| node.rcp_addr.to_string()),
    ("peer address", 1, |node| node.peer_addr.to_string()),
    ("last log", 3, |node| number(node.last_log)),
    ("applied", 0, |node| number(node.applied)),
    ("lag", 0, |node| number(node.lag)),
    ("version", 2, |node| text(node.version.as_deref())),
    ("digest", 0, |node| {
        short(&text(node.digest.as_deref())).to_owned()
    }),
];

/// Heading, when it goes (0: never), what stands under it.
type Column = (&'static str, u8, fn(&NodeStatus<'_>) -> String);

/// The whole picture, each line ended by a newline.
pub fn render(status: &ClusterStatusResult<'_>, paint: Paint) -> String {
    let mut shown = format!("{}\n{}", headline(status), nodes(status, paint));
    for problem in problems(status) {
        shown.push_str(&paint.alarm(&printable(&problem)));
        shown.push('\n');
    }
    shown
}

fn nodes(status: &ClusterStatusResult<'_>, paint: Paint) -> String {
    let nodes: Vec<NodeStatus<'_>> = status
        .nodes
        .iter()
        .cloned()
        .map(|mut node| {
            // The lag counts from the longest log among the nodes that answer. Without a leader that log does not
            // show what is acknowledged, and a lag of 0 would look like a node that has everything.
            node.lag = node.lag.filter(|_| status.leader.is_some());
            node
        })
        .collect();
    let with = |gone: u8| {
        let columns = COLUMNS
            .iter()
            .filter(move |(_, goes, _)| *goes == 0 || *goes > gone);
        let mut table = TextTable::new(columns.clone().map(|(heading, _, _)| *heading));
        for node in &nodes {
            table.push(columns.clone().map(|(_, _, cell)| cell(node)));
        }
        table
    };
    let fits = |table: &TextTable| {
        let plain = table.render(Paint::PLAIN);
        let widest = plain.lines().map(console::measure_text_width).max();
        paint.width.is_none_or(|room| widest.unwrap_or(0) <= room)
    };
    let mut table = with(0);
    let mut left_out = 0;
    for gone in 1..=3 {
        if fits(&table) {
            break;
        }
        table = with(gone);
        left_out = gone;
    }
    let left_out = COLUMNS
        .iter()
        .filter(|(_, goes, _)| *goes != 0 && *goes <= left_out)
        .map(|(heading, _, _)| *heading);
    format!("{}{}", table.render(paint), not_shown(left_out, paint))
}

/// The cluster, its leader and its feature level, on one line.
pub(super) fn headline(status: &ClusterStatusResult<'_>) -> String {
    let leader = match status.leader {
        _ if status.removed.is_some() => "seen from a node that was removed from it".to_owned(),
        Some(id) => format!("leader: node {id}"),
        None if waits_to_be_added(status) => "waits to be added".to_owned(),
        None => "no leader".to_owned(),
    };
    let level = match status.feature_level {
        Some(level) => format!(", feature level {level}"),
        None => String::new(),
    };
    printable(&format!(
        "cluster {} ({}), {leader}, term {}{level}",
        status.cluster_name, status.cluster_id, status.term
    ))
}

/// A node that was started with cluster.join and was never a member: it has seen no term and knows no voter.
fn waits_to_be_added(status: &ClusterStatusResult<'_>) -> bool {
    status.leader.is_none() && status.term == 0 && !status.nodes.iter().any(|node| node.voter)
}

/// What a node is, or that it does not answer.
pub fn role<'a>(node: &'a NodeStatus<'_>) -> &'a str {
    match node.role.as_deref() {
        _ if !node.reachable => "unreachable",
        Some(role) => role,
        None if node.voter => "voter",
        None => "learner",
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn short(digest: &str) -> &str {
    let end = digest.char_indices().nth(DIGEST_CHARS);
    &digest[..end.map_or(digest.len(), |(end, _)| end)]
}

/// What a node says that is no member. All else that it knows of the cluster is old.
fn no_member(status: &ClusterStatusResult<'_>) -> Option<String> {
    if let Some(RemovedInfo { by, membership }) = status.removed {
        return Some(format!(
            "the node that answers was removed from the cluster: node {by} says that the membership at log index \
             {membership} does not have it. Stop it, and ask a member. To use its machine again, empty its data folder \
             (`rstmdb rejoin --data DIR --yes`) and start it with a new cluster.node_id and cluster.join"
        ));
    }
    waits_to_be_added(status).then(|| {
        let own = status.nodes.first().map(|node| node.peer_addr.as_ref());
        let own = own.unwrap_or("HOST:PORT, where this node listens for its peers");
        format!(
            "this node is no member yet: to add it, run `rstmdb-cli -s MEMBER cluster add {own}`, with the address of a \
             member for clients"
        )
    })
}

/// The problems that the operator must know of, one line each.
pub fn problems(status: &ClusterStatusResult<'_>) -> Vec<String> {
    if let Some(problem) = no_member(status) {
        return vec![problem];
    }
    let mut problems = Vec::new();
    if status.leader.is_none() {
        problems.push("no leader: writes and linearizable reads wait for an election".to_owned());
    }
    for node in &status.nodes {
        let id = node.node_id;
        if !node.reachable {
            let kind = if node.voter { "" } else { ", a learner," };
            problems.push(match &node.unreachable {
                Some(reason) => format!("node {id}{kind} at {} {reason}", node.peer_addr),
                None => format!("node {id}{kind} does not answer"),
            });
        }
        if let Some(reason) = &node.read_only {
            problems.push(format!("node {id} takes no writes: {reason}"));
        }
        if node.diverged {
            problems.push(format!(
                "node {id} has diverged: its state differs from its peers' at the same offset; \
                 remove it and add it again, empty, under a new id"
            ));
        }
    }
    problems.extend(lost_quorum(&status.nodes));
    problems.extend(differing(&status.nodes, "digests", |node| {
        node.digest.as_deref()
    }));
    problems.extend(differing(&status.nodes, "heads of the chain", |node| {
        node.chain_head.as_deref()
    }));
    problems.extend(unfinished_upgrade(status));
    let automation = status.automation.as_ref();
    if automation.is_some_and(|set| set.automation == "paused") {
        problems.push(
            "automation is paused: `rstmdb-cli automation` says why, `rstmdb-cli automation resume` ends it"
                .to_owned(),
        );
    }
    problems
}

/// While some node understands more than the feature level, the upgrade is not over.
fn unfinished_upgrade(status: &ClusterStatusResult<'_>) -> Option<String> {
    let level = status.feature_level?;
    let newest = status
        .nodes
        .iter()
        .filter_map(|node| node.understands_level);
    let newest = newest.max().filter(|newest| *newest > level)?;
    let behind = |node: &&NodeStatus<'_>| node.understands_level.is_none_or(|known| known < newest);
    let behind: Vec<String> = status
        .nodes
        .iter()
        .filter(behind)
        .map(|node| node.node_id.to_string())
        .collect();
    Some(match behind.is_empty() {
        true => format!(
            "the upgrade is not finished: every node understands feature level {newest}; \
             `rstmdb-cli cluster finalize-upgrade` raises it, and there is no way back then"
        ),
        false => format!(
            "the upgrade is not finished: feature level {newest} is held back by node {}",
            behind.join(", ")
        ),
    })
}

fn lost_quorum(nodes: &[NodeStatus<'_>]) -> Option<String> {
    let voters = nodes.iter().filter(|node| node.voter).count();
    let answering = nodes.iter().filter(|n| n.voter && n.reachable).count();
    let quorum = voters / 2 + 1;
    (answering < quorum).then(|| {
        format!("no quorum: {answering} of {voters} voters answer, {quorum} are needed to write")
    })
}

/// Digests can be compared only at the same offset, and so can heads.
fn differing<'a>(
    nodes: &'a [NodeStatus<'a>],
    what: &str,
    value: impl Fn(&'a NodeStatus<'a>) -> Option<&'a str>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let known: Vec<(u64, u64, &str)> = nodes
        .iter()
        .filter_map(|node| Some((node.node_id, node.digest_offset?, value(node)?)))
        .collect();
    for (at, (id, offset, digest)) in known.iter().enumerate() {
        let first_with_other = known[..at]
            .iter()
            .find(|(_, other_offset, other)| other_offset == offset && other != digest);
        if let Some((other_id, _, other)) = first_with_other {
            problems.push(format!(
                "{what} differ at offset {offset}: node {other_id} has {}, node {id} has {}",
                short(other),
                short(digest)
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use rstmdb_rcp::message::storage::automation::AutomationResult;

    use super::*;

    fn node(node_id: u64, role: &'static str) -> NodeStatus<'static> {
        NodeStatus {
            node_id,
            voter: role != "learner",
            peer_addr: format!("10.0.0.{node_id}:7402").into(),
            rcp_addr: format!("10.0.0.{node_id}:7401").into(),
            reachable: true,
            role: Some(role.into()),
            term: Some(7),
            last_log: Some(1_234_567),
            applied: Some(1_234_560),
            lag: Some(0),
            version: Some("0.1.0".into()),
            digest: Some("5be0cd19137e2179".into()),
            digest_offset: Some(1_234_560),
            ..NodeStatus::default()
        }
    }

    fn cluster(nodes: Vec<NodeStatus<'static>>) -> ClusterStatusResult<'static> {
        ClusterStatusResult {
            cluster_id: "0d9c2a52-4f1e-4f0c-9c0a-3f6c1f6f1c11".into(),
            cluster_name: "orders".into(),
            leader: Some(1),
            term: 7,
            feature_level: None,
            automation: None,
            removed: None,
            nodes,
        }
    }

    fn shown(status: &ClusterStatusResult<'_>) -> String {
        render(status, Paint::PLAIN)
    }

    /// The lines under the table.
    fn problems_shown(status: &ClusterStatusResult<'_>) -> Vec<String> {
        let text = shown(status);
        text.lines()
            .skip(2 + status.nodes.len())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_healthy_cluster_is_a_headline_and_a_table_within_100_columns() {
        let status = cluster(vec![
            node(1, "leader"),
            node(2, "follower"),
            node(3, "learner"),
        ]);
        let expected = "\
cluster orders (0d9c2a52-4f1e-4f0c-9c0a-3f6c1f6f1c11), leader: node 1, term 7
node  role      RCP address    peer address   last log  applied  lag  version  digest
1     leader    10.0.0.1:7401  10.0.0.1:7402  1234567   1234560  0    0.1.0    5be0cd19
2     follower  10.0.0.2:7401  10.0.0.2:7402  1234567   1234560  0    0.1.0    5be0cd19
3     learner   10.0.0.3:7401  10.0.0.3:7402  1234567   1234560  0    0.1.0    5be0cd19
";
        assert_eq!(shown(&status), expected);
        assert!(expected.lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn on_a_narrow_terminal_columns_go_before_addresses_are_cut() {
        let status = cluster(vec![node(1, "leader"), node(2, "follower")]);
        let at = |width| {
            let paint = Paint {
                width: Some(width),
                ..Paint::PLAIN
            };
            let text = render(&status, paint);
            text.lines().nth(2).unwrap_or_default().to_owned()
        };
        let row = "1     leader    10.0.0.1:7401  10.0.0.1:7402  1234567   1234560  0    0.1.0    5be0cd19";
        assert_eq!(at(100), row);
        assert_eq!(
            at(80),
            "1     leader    10.0.0.1:7401  1234567   1234560  0    0.1.0    5be0cd19"
        );
        assert_eq!(
            at(60),
            "1     leader    10.0.0.1:7401  1234560  0    5be0cd19"
        );
    }

    #[test]
    fn a_node_that_does_not_answer_is_shown_as_such_and_named() {
        let silent = NodeStatus {
            node_id: 2,
            voter: true,
            peer_addr: "10.0.0.2:7402".into(),
            rcp_addr: "10.0.0.2:7401".into(),
            ..NodeStatus::default()
        };
        let mut status = cluster(vec![node(1, "leader"), silent.clone(), node(3, "follower")]);
        let row = "2     unreachable  10.0.0.2:7401  10.0.0.2:7402\n";
        assert!(shown(&status).contains(row), "{}", shown(&status));
        assert_eq!(problems_shown(&status), ["node 2 does not answer"]);
        status.nodes[1].unreachable = Some("cannot be reached: connection refused".into());
        assert_eq!(
            problems_shown(&status),
            ["node 2 at 10.0.0.2:7402 cannot be reached: connection refused"]
        );
        status.nodes[1].unreachable = None;
        status.nodes[2].reachable = false;
        status.leader = None;
        assert_eq!(
            problems_shown(&status),
            [
                "no leader: writes and linearizable reads wait for an election",
                "node 2 does not answer",
                "node 3 does not answer",
                "no quorum: 1 of 3 voters answer, 2 are needed to write",
            ]
        );
        assert!(shown(&status).contains(", no leader, term 7\n"));
    }

    #[test]
    fn a_node_that_waits_to_be_added_says_so_and_by_which_command() {
        let mut status = cluster(Vec::new());
        (status.leader, status.term) = (None, 0);
        assert!(shown(&status).contains(", waits to be added, term 0\n"));
        assert_eq!(
            problems_shown(&status),
            [
                "this node is no member yet: to add it, run `rstmdb-cli -s MEMBER cluster add HOST:PORT, where this node \
              listens for its peers`, with the address of a member for clients"
            ]
        );
        let mut alone = node(4, "learner");
        alone.voter = false;
        alone.peer_addr = "db4:7402".into();
        status.nodes = vec![alone];
        assert!(problems_shown(&status)[0].contains("cluster add db4:7402`"));
        // One that has been a member has seen a term.
        status.term = 3;
        assert!(shown(&status).contains(", no leader, term 3\n"));
    }

    #[test]
    fn a_node_that_was_removed_says_so_and_nothing_else() {
        let mut status = cluster(vec![node(1, "leader"), node(2, "follower")]);
        status.leader = None;
        status.removed = Some(RemovedInfo {
            by: 1,
            membership: 57,
        });
        let text = shown(&status);
        assert!(
            text.contains(", seen from a node that was removed from it, term 7\n"),
            "{text}"
        );
        let problems = problems_shown(&status);
        assert_eq!(problems.len(), 1, "{problems:?}");
        for part in [
            "node 1 says that the membership at log index 57 does not have it",
            "ask a member",
            "rstmdb rejoin",
        ] {
            assert!(problems[0].contains(part), "{problems:?}");
        }
    }

    #[test]
    fn without_a_leader_no_node_has_a_lag() {
        let mut status = cluster(vec![node(1, "follower"), node(2, "follower")]);
        status.leader = None;
        let text = shown(&status);
        assert!(text.contains("1234560       0.1.0"), "{text}");
    }

    #[test]
    fn heads_of_the_chain_are_compared_like_digests() {
        let mut status = cluster(vec![
            node(1, "leader"),
            node(2, "follower"),
            node(3, "follower"),
        ]);
        status.nodes[0].chain_head = Some("aaaaaaaa00".into());
        status.nodes[1].chain_head = Some("aaaaaaaa00".into());
        assert!(problems(&status).is_empty());
        status.nodes[1].chain_head = Some("bbbbbbbb00".into());
        assert_eq!(
            problems(&status),
            [
                "heads of the chain differ at offset 1234560: node 1 has aaaaaaaa, node 2 has bbbbbbbb"
            ]
        );
    }

    #[test]
    fn digests_are_compared_at_the_same_offset_only() {
        let mut status = cluster(vec![node(1, "leader"), node(2, "follower")]);
        status.nodes[1].digest = Some("ffffffff00000000".into());
        assert_eq!(
            problems_shown(&status),
            ["digests differ at offset 1234560: node 1 has 5be0cd19, node 2 has ffffffff"]
        );
        status.nodes[1].digest_offset = Some(1_234_000);
        assert!(problems_shown(&status).is_empty());
    }

    #[test]
    fn a_diverged_or_read_only_node_is_named_with_what_to_do() {
        let mut status = cluster(vec![node(1, "leader"), node(2, "follower")]);
        status.nodes[0].read_only = Some("12 MiB of disk space left".into());
        status.nodes[1].diverged = true;
        let problems = problems_shown(&status);
        assert_eq!(
            problems[0],
            "node 1 takes no writes: 12 MiB of disk space left"
        );
        assert!(problems[1].starts_with("node 2 has diverged: "));
        assert!(problems[1].contains("under a new id"));
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn data_never_steers_the_terminal() {
        let mut status = cluster(vec![node(1, "leader")]);
        status.cluster_name = "\u{1b}[2J".into();
        status.nodes[0].digest = Some("\u{1b}[2Jäöüß€".into());
        status.nodes[0].read_only = Some("\u{1b}[2J".into());
        assert!(!shown(&status).contains('\u{1b}'));
    }

    #[test]
    fn an_upgrade_that_is_not_finished_says_who_holds_it_back() {
        let mut status = cluster(vec![node(1, "leader"), node(2, "follower")]);
        status.feature_level = Some(1);
        status.nodes[0].understands_level = Some(2);
        let shown = render(&status, Paint::PLAIN);
        assert!(shown.contains("term 7, feature level 1\n"), "{shown}");
        assert!(
            shown.contains("level 2 is held back by node 2\n"),
            "{shown}"
        );
        status.nodes[1].understands_level = Some(2);
        let shown = render(&status, Paint::PLAIN);
        assert!(shown.contains("cluster finalize-upgrade"), "{shown}");
        status.feature_level = Some(2);
        let shown = render(&status, Paint::PLAIN);
        assert!(!shown.contains("upgrade"), "{shown}");
    }

    #[test]
    fn paused_automation_is_said_loudly() {
        let mut status = cluster(vec![node(1, "leader")]);
        status.automation = Some(AutomationResult {
            automation: "paused".into(),
            ..AutomationResult::default()
        });
        assert!(render(&status, Paint::PLAIN).contains("automation is paused"));
        status.automation = Some(AutomationResult {
            automation: "running".into(),
            ..AutomationResult::default()
        });
        assert!(!render(&status, Paint::PLAIN).contains("paused"));
    }
}

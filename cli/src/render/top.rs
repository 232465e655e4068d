//! What `top` shows.

use rstmdb_rcp::text::counted;
use serde::Serialize;

use super::output::{Paint, SAYS_SHORTENED, printable};
use super::table::TextTable;

/// What has happened within a time. Later versions may add fields.
#[derive(Debug, Default, Serialize)]
pub struct TopFrame {
    /// The cluster's name.
    pub cluster: String,
    /// The leader's node id.
    pub leader: Option<u64>,
    /// Raft's term.
    pub term: u64,
    /// Within this time.
    pub interval_ms: f64,
    /// How fast the log has grown.
    pub entries_per_sec: Option<f64>,
    /// How long a linearizable read took.
    pub read_ms: Option<f64>,
    /// Live instances, as the answering node has them.
    pub instances: Option<u64>,
    /// By id.
    pub nodes: Vec<TopNode>,
    /// What the servers count, where that was asked for.
    pub servers: Vec<TopServer>,
    /// The busiest first.
    pub machines: Vec<BusyMachine>,
    /// For people, one thing each.
    pub attention: Vec<String>,
}

/// A node.
#[derive(Debug, Default, Serialize)]
pub struct TopNode {
    /// Its id.
    pub node_id: u64,
    /// Where clients reach it.
    pub rcp_addr: String,
    /// leader, follower, learner, candidate, voter or unreachable.
    pub role: String,
    /// The last offset that it has applied.
    pub applied: Option<u64>,
    /// How many entries it is behind.
    pub lag: Option<u64>,
    /// How fast it applies entries.
    pub entries_per_sec: Option<f64>,
    /// How long it took to answer this program.
    pub answer_ms: Option<f64>,
    /// Open client connections.
    pub connections: Option<u64>,
}

/// What a server counts itself.
#[derive(Debug, Default, Serialize)]
pub struct TopServer {
    /// Where it serves its metrics.
    pub metrics_addr: String,
    /// Requests answered.
    pub requests_per_sec: Option<f64>,
    /// Half of the requests took at most this.
    pub p50_ms: Option<f64>,
    /// 99 of 100 did.
    pub p99_ms: Option<f64>,
    /// Syncs of the log.
    pub syncs_per_sec: Option<f64>,
    /// How long a sync took on average.
    pub sync_ms: Option<f64>,
}

/// A machine.
#[derive(Debug, Default, Serialize)]
pub struct BusyMachine {
    /// Its name.
    pub machine: String,
    /// Of all its instances.
    pub events_per_sec: f64,
}

/// The frame for a screen that the next frame clears: it says itself that cells are shortened.
pub fn screen(frame: &TopFrame, paint: Paint) -> String {
    let mut text = render(frame, paint);
    if paint.shortens(&text, |paint| render(frame, paint)) {
        text.push_str(&format!("{}\n", paint.dim(SAYS_SHORTENED)));
    }
    text
}

/// The frame for people.
pub fn render(frame: &TopFrame, paint: Paint) -> String {
    let leader = match frame.leader {
        Some(id) => format!("leader: node {id}, term {}", frame.term),
        None => "no leader".to_owned(),
    };
    let mut head = vec![format!("cluster {}", frame.cluster), leader];
    head.extend(
        frame
            .entries_per_sec
            .map(|rate| format!("{rate} entries/s")),
    );
    head.push(match frame.read_ms {
        Some(ms) => format!("read {ms} ms"),
        None => "reads are not answered".to_owned(),
    });
    head.extend(
        frame
            .instances
            .map(|count| counted(count, "instance", "instances")),
    );
    let mut text = format!("{}\n\n{}", printable(&head.join(", ")), nodes(frame, paint));
    if !frame.servers.is_empty() {
        text.push_str(&format!("\n{}", servers(frame, paint)));
    }
    if !frame.machines.is_empty() {
        let mut table = TextTable::new(["machine", "events/s"]);
        for machine in &frame.machines {
            table.push([machine.machine.clone(), machine.events_per_sec.to_string()]);
        }
        text.push_str(&format!("\n{}", table.render(paint)));
    }
    for problem in &frame.attention {
        text.push_str(&format!("{}\n", paint.alarm(&printable(problem))));
    }
    text
}

fn nodes(frame: &TopFrame, paint: Paint) -> String {
    let headings = [
        "node",
        "role",
        "RCP address",
        "entries/s",
        "lag",
        "answers in",
        "clients",
    ];
    let mut table = TextTable::new(headings).keeping_whole(&["role", "entries/s", "lag"]);
    for node in &frame.nodes {
        table.push([
            node.node_id.to_string(),
            node.role.clone(),
            node.rcp_addr.clone(),
            shown(node.entries_per_sec),
            shown(node.lag),
            ms(node.answer_ms),
            shown(node.connections),
        ]);
    }
    table.render(paint)
}

fn servers(frame: &TopFrame, paint: Paint) -> String {
    let headings = ["metrics", "requests/s", "p50", "p99", "syncs/s", "sync"];
    let mut table = TextTable::new(headings);
    for server in &frame.servers {
        let cells = [
            shown(server.requests_per_sec),
            ms(server.p50_ms),
            ms(server.p99_ms),
            shown(server.syncs_per_sec),
            ms(server.sync_ms.map(|ms| (ms * 100.0).round() / 100.0)),
        ];
        let known = server.requests_per_sec.is_some();
        let addr = match known {
            true => server.metrics_addr.clone(),
            false => format!("{} (no answer)", server.metrics_addr),
        };
        table.push([addr].into_iter().chain(cells));
    }
    table.render(paint)
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(String::new, |ms| format!("{ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_what_each_node_does_and_which_machines_are_busy() {
        let node = |node_id, role: &str| TopNode {
            node_id,
            role: role.to_owned(),
            rcp_addr: format!("db{node_id}:7401"),
            lag: Some(0),
            entries_per_sec: Some(12.5),
            answer_ms: Some(0.31),
            connections: Some(2),
            ..TopNode::default()
        };
        let gone = TopNode {
            node_id: 2,
            role: "unreachable".to_owned(),
            rcp_addr: "db2:7401".to_owned(),
            ..TopNode::default()
        };
        let frame = TopFrame {
            cluster: "orders".to_owned(),
            leader: Some(1),
            term: 7,
            entries_per_sec: Some(12.5),
            read_ms: Some(1.25),
            instances: Some(3),
            nodes: vec![node(1, "leader"), gone],
            servers: vec![
                TopServer {
                    metrics_addr: "db1:9090".to_owned(),
                    requests_per_sec: Some(90.0),
                    p50_ms: Some(1.0),
                    p99_ms: Some(5.0),
                    syncs_per_sec: Some(12.0),
                    sync_ms: Some(0.4),
                },
                TopServer {
                    metrics_addr: "db2:9090".to_owned(),
                    ..TopServer::default()
                },
            ],
            machines: vec![BusyMachine {
                machine: "order".to_owned(),
                events_per_sec: 12.5,
            }],
            attention: vec!["node 2 does not answer".to_owned()],
            ..TopFrame::default()
        };
        let expected = "\
cluster orders, leader: node 1, term 7, 12.5 entries/s, read 1.25 ms, 3 instances

node  role         RCP address  entries/s  lag  answers in  clients
1     leader       db1:7401     12.5       0    0.31 ms     2
2     unreachable  db2:7401

metrics               requests/s  p50   p99   syncs/s  sync
db1:9090              90          1 ms  5 ms  12       0.4 ms
db2:9090 (no answer)

machine  events/s
order    12.5
node 2 does not answer
";
        assert_eq!(render(&frame, Paint::PLAIN), expected);
    }
}

//! The arguments of `cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const FINALIZE_HELP: &str = "\
The feature level rises to what every member understands, and the command shows the level before\n\
and after. It fails with FEATURE_LEVEL while a member runs an older version or does not answer,\n\
and names that member. Until then the nodes can go back to the version before; afterwards they\n\
cannot, and a node with an older version cannot join. Asking again is harmless.";

/// `cluster`.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ClusterCommand,
}

/// What can be asked of a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show every node: its role, how far behind it is, and whether its state agrees with the others.
    Status,
    /// Add a node that was started with `cluster.join`. It gets a vote once it has caught up.
    Add(ClusterAddArgs),
    /// Give a learner a vote.
    Promote(NodeId),
    /// Remove a node, also one that is down.
    Remove(NodeId),
    /// Change a member's addresses, also those of a node that is down. A node that is up changes its own by itself.
    SetAddress(SetAddress),
    /// Hand the leadership to another node.
    TransferLeader(TransferLeader),
    /// End an upgrade: let the log hold what every node's new version understands. You cannot go back after that.
    #[command(after_help = FINALIZE_HELP)]
    FinalizeUpgrade,
    /// Start a cluster on this machine, to try things out.
    Demo(DemoArgs),
}

/// `cluster add`.
#[derive(Debug, Args)]
#[command(after_help = "\
The node first copies the log as a learner. The command shows on standard error how far it is\n\
behind, and gives it a vote when it is close. After Ctrl-C the node stays a learner: run\n\
`cluster promote ID` later. After 60 s without progress, or 20 s without an answer of the node,\n\
the command gives up with exit code 4.")]
pub struct ClusterAddArgs {
    /// Where the node listens for its peers, HOST:PORT.
    #[arg(value_name = "PEER_ADDR")]
    pub peer_addr: String,
    /// Refuse a node that has another id than this.
    #[arg(long, value_name = "ID")]
    pub node_id: Option<u64>,
    /// Leave it a learner, which serves reads and watches but has no vote.
    #[arg(long)]
    pub learner: bool,
}

/// `cluster promote`, `cluster remove`.
#[derive(Debug, Args)]
pub struct NodeId {
    /// The node.
    #[arg(value_name = "ID")]
    pub node_id: u64,
}

/// `cluster set-address`.
#[derive(Debug, Args)]
pub struct SetAddress {
    /// The node.
    #[arg(value_name = "ID")]
    pub node_id: u64,
    /// Where it listens for its peers, HOST:PORT.
    #[arg(value_name = "PEER_ADDR")]
    pub peer_addr: String,
    /// Where it listens for clients, HOST:PORT.
    #[arg(value_name = "RCP_ADDR")]
    pub rcp_addr: String,
}

/// `cluster transfer-leader`.
#[derive(Debug, Args)]
pub struct TransferLeader {
    /// The new leader; the present one chooses when absent.
    #[arg(value_name = "ID")]
    pub node_id: Option<u64>,
}

/// `cluster demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each node is a process of the `rstmdb` beside this program, or else of the one in PATH, and\n\
listens on 127.0.0.1 only. Ctrl-C ends them all. Without --dir everything is in a temporary\n\
folder that is removed then; with --dir it is kept, and a later demo in the same folder goes\n\
on with the same cluster at the same addresses. Variables named RSTMDB_… are not handed down.\n\
Should this program be killed with SIGKILL, a shell that waits beside it kills the nodes.")]
pub struct DemoArgs {
    /// How many nodes, 1 to 9. A new folder gets 3 when absent.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: Option<u8>,
    /// Where to keep everything.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// The first of three ports for each node: clients at P, P+1, …, then peers, then metrics. Free
    /// ones are chosen when absent.
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..=65_509))]
    pub base_port: Option<u16>,
}

//! `cluster demo`: a cluster of child processes on this machine, until Ctrl-C.
//!
//! | module | subject |
//! |---|---|
//! | [`plan`] | the folder: which nodes, at which ports, their configuration |
//! | [`nodes`] | the processes: started, noticed when they end, ended |
//! | [`guard`] | ends the processes if this program cannot |

pub mod guard;
pub mod nodes;
pub mod plan;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::machine::ListMachines;
use rstmdb_rcp::text::counted;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::args::DemoArgs;
use crate::session::CliSession;
use nodes::DemoNodes;
use plan::DemoPlan;

/// The server program's name.
const SERVER: &str = "rstmdb";
/// How long a cluster may take to have a leader.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Interval between these checks.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Runs the demo until a signal ends it.
pub async fn run(session: &CliSession, args: &DemoArgs) -> Result<(), Error> {
    if session.watches.is_some() {
        let message = "cluster demo runs until Ctrl-C; start it outside of the REPL";
        return Err(Error::Usage(message.to_owned()));
    }
    let program = server_program()?;
    // Set this up before the first process starts: a signal must not end this program before it has ended the nodes.
    let mut signals = Signals::new()?;
    let temporary = match &args.dir {
        Some(_) => None,
        None => Some(temporary_folder()?),
    };
    let dir = match (&args.dir, &temporary) {
        (Some(dir), _) => dir.as_path(),
        (None, Some(temporary)) => temporary.path(),
        (None, None) => return Err(Error::Failed("no folder can be used".to_owned())),
    };
    let plan = DemoPlan::open(dir, args.nodes, args.base_port)?;
    let mut nodes = DemoNodes::start(&plan, &program).await?;
    let outcome = stay(session, &plan, &program, &mut nodes, &mut signals).await;
    if outcome.is_ok() {
        eprintln!("ending {}…", count(nodes.running()));
    }
    tokio::select! {
        () = nodes.end() => {}
        () = signals.next() => nodes.kill().await,
    }
    match (&outcome, temporary) {
        // Keep the folder, because the logs show what went wrong.
        (Err(_), Some(temporary)) => eprintln!(
            "kept the folder, with the logs: {}",
            temporary.keep().display()
        ),
        (Err(_), None) => {}
        (Ok(()), Some(temporary)) => remove(temporary),
        (Ok(()), None) => eprintln!("kept: {}", plan.dir.display()),
    }
    outcome
}

/// Waits for a leader, prints the nodes, and runs until a signal.
async fn stay(
    session: &CliSession,
    plan: &DemoPlan,
    program: &Path,
    nodes: &mut DemoNodes,
    signals: &mut Signals,
) -> Result<(), Error> {
    let ready = timeout(READY_WITHIN, leader(plan));
    tokio::pin!(ready);
    loop {
        tokio::select! {
            ready = &mut ready => match ready {
                Ok(()) => break,
                Err(_) => return Err(Error::Timeout(not_ready(plan))),
            },
            ended = nodes.next_ended() => {
                eprintln!("{}", ended.report(plan, program));
                if nodes.running() == 0 {
                    return Err(Error::Failed("all nodes have ended".to_owned()));
                }
            }
            () = signals.next() => return Ok(()),
        }
    }
    if session.out.for_programs() {
        session.out.value(&DemoFacts::of(plan, nodes))?;
    } else {
        session.out.line(&describe(plan, nodes))?;
    }
    loop {
        tokio::select! {
            ended = nodes.next_ended() => eprintln!("{}", ended.report(plan, program)),
            () = signals.next() => return Ok(()),
        }
    }
}

/// Returns once a linearizable read is answered, which takes a leader.
async fn leader(plan: &DemoPlan) {
    let options = ClientOptions {
        addrs: plan
            .nodes
            .iter()
            .map(|node| node.rcp_addr.clone())
            .collect(),
        ..ClientOptions::default()
    };
    loop {
        if let Ok(client) = Client::connect(options.clone()).await {
            let answer = client.list_machines(&ListMachines::default()).await;
            client.close().await;
            if answer.is_ok() {
                return;
            }
        }
        sleep(ASK_EVERY).await;
    }
}

fn not_ready(plan: &DemoPlan) -> String {
    format!(
        "the cluster has no leader after {} s; see the logs: {}",
        READY_WITHIN.as_secs(),
        plan.dir.join("node*/log").display()
    )
}

/// Ctrl-C, a plain `kill`, and the terminal's closing.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Signals, Error> {
        let on =
            |kind| signal(kind).map_err(|e| Error::Failed(format!("cannot wait for signals: {e}")));
        Ok(Signals([
            on(SignalKind::interrupt())?,
            on(SignalKind::terminate())?,
            on(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The server beside this program, else the first in PATH.
fn server_program() -> Result<PathBuf, Error> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join(SERVER)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join(SERVER));
    find(beside.into_iter().chain(in_path)).ok_or_else(|| {
        Error::Usage(format!(
            "{SERVER} is neither beside this program nor in PATH; in the source folder \
             `cargo build --release -p rstmdb -p rstmdb-cli` builds both side by side"
        ))
    })
}

fn find(mut candidates: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    candidates.find(|path| path.is_file())
}

fn temporary_folder() -> Result<tempfile::TempDir, Error> {
    tempfile::Builder::new()
        .prefix("rstmdb-demo-")
        .tempdir()
        .map_err(|error| Error::Failed(format!("cannot create a temporary folder: {error}")))
}

fn remove(temporary: tempfile::TempDir) {
    let path = temporary.path().to_owned();
    if let Err(error) = temporary.close() {
        eprintln!("cannot remove {}: {error}", path.display());
    }
}

fn count(nodes: usize) -> String {
    counted(nodes as u64, "node", "nodes")
}

/// The addresses and processes, for a program that starts a demo.
#[derive(Serialize)]
struct DemoFacts<'a> {
    dir: &'a Path,
    server: String,
    nodes: Vec<NodeFacts<'a>>,
}

#[derive(Serialize)]
struct NodeFacts<'a> {
    #[serde(flatten)]
    node: &'a plan::DemoNode,
    pid: Option<u32>,
    log: PathBuf,
}

impl<'a> DemoFacts<'a> {
    fn of(plan: &'a DemoPlan, nodes: &DemoNodes) -> DemoFacts<'a> {
        let node = |node: &'a plan::DemoNode| NodeFacts {
            node,
            pid: nodes.pid(node.node_id),
            log: plan.folder(node).join(plan::LOG),
        };
        DemoFacts {
            dir: &plan.dir,
            server: plan.server_list(),
            nodes: plan.nodes.iter().map(node).collect(),
        }
    }
}

fn describe(plan: &DemoPlan, nodes: &DemoNodes) -> String {
    let mut table = crate::render::table::TextTable::new([
        "node",
        "RCP address",
        "HTTP",
        "metrics",
        "pid",
        "log",
    ]);
    for node in &plan.nodes {
        let pid = nodes.pid(node.node_id);
        table.push([
            node.node_id.to_string(),
            node.rcp_addr.clone(),
            node.http_addr
                .as_ref()
                .map_or_else(|| "off".to_owned(), |addr| format!("http://{addr}")),
            format!("http://{}/metrics", node.metrics_addr),
            pid.map_or_else(|| "ended".to_owned(), |pid| pid.to_string()),
            plan.folder(node).join(plan::LOG).display().to_string(),
        ]);
    }
    let servers = plan.server_list();
    format!(
        "{} running, with a leader.\n\n{}\n\
         Talk to it:     rstmdb-cli --server {servers} cluster status\n\
         Kill one:       kill -9 PID\n\
         End it all:     Ctrl-C\n",
        count(nodes.running()),
        table.render(crate::render::output::Paint::PLAIN),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_server_that_exists_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("b").join(SERVER);
        std::fs::create_dir(dir.path().join("b")).unwrap();
        // A folder of that name is not the program.
        std::fs::create_dir_all(dir.path().join("a").join(SERVER)).unwrap();
        std::fs::write(&there, "").unwrap();
        let candidates = ["none", "a", "b"].map(|folder| dir.path().join(folder).join(SERVER));
        assert_eq!(find(candidates.clone().into_iter()), Some(there));
        assert_eq!(find(candidates.into_iter().take(2)), None);
    }
}

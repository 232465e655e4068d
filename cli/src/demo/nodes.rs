//! The processes of a demo: started, noticed when they end, ended.

use std::fs::{self, File};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::guard::DemoGuard;
use super::plan::{CONFIG, DemoNode, DemoPlan, LOG};
use crate::Error;

/// How long a node may take to end after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How much of a log is shown when its node ends unexpectedly.
const LOG_LINES_SHOWN: usize = 5;

/// The nodes' processes. Dropping it kills those that run.
pub struct DemoNodes {
    running: Vec<RunningNode>,
    guard: DemoGuard,
}

struct RunningNode {
    node_id: u64,
    child: Child,
}

/// A node whose process ended.
pub struct EndedNode {
    node_id: u64,
    status: std::io::Result<ExitStatus>,
}

impl DemoNodes {
    /// Starts every node of the plan.
    pub async fn start(plan: &DemoPlan, program: &Path) -> Result<DemoNodes, Error> {
        let mut nodes = DemoNodes {
            running: Vec::new(),
            guard: DemoGuard::start()?,
        };
        for node in &plan.nodes {
            match spawn(plan, node, program) {
                Ok(child) => nodes.running.push(RunningNode {
                    node_id: node.node_id,
                    child,
                }),
                Err(error) => {
                    nodes.kill().await;
                    return Err(Error::Failed(format!(
                        "cannot start {} for node {}: {error}",
                        program.display(),
                        node.node_id
                    )));
                }
            }
            nodes.tell_guard();
        }
        Ok(nodes)
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The process of a node, while it runs.
    pub fn pid(&self, node_id: u64) -> Option<u32> {
        let running = self.running.iter().find(|node| node.node_id == node_id)?;
        running.child.id()
    }

    /// Waits until a node ends; forever if no node runs. Dropping the future loses nothing.
    pub async fn next_ended(&mut self) -> EndedNode {
        let mut waits: FuturesUnordered<_> = self
            .running
            .iter_mut()
            .map(|node| async { (node.node_id, node.child.wait().await) })
            .collect();
        let Some((node_id, status)) = waits.next().await else {
            return std::future::pending().await;
        };
        drop(waits);
        self.running.retain(|node| node.node_id != node_id);
        self.tell_guard();
        EndedNode { node_id, status }
    }

    /// Asks all nodes to end, and kills those that do not end in time.
    pub async fn end(&mut self) {
        for pid in self.running.iter().filter_map(|node| node.child.id()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // A node that has just ended needs no signal.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let all_ended = async {
            while !self.running.is_empty() {
                self.next_ended().await;
            }
        };
        if timeout(END_WITHIN, all_ended).await.is_err() {
            let late: Vec<String> = self.running.iter().map(|n| n.node_id.to_string()).collect();
            eprintln!(
                "killed, because they did not end within {} s: node {}",
                END_WITHIN.as_secs(),
                late.join(", ")
            );
            self.kill().await;
        }
    }

    /// Kills all.
    pub async fn kill(&mut self) {
        for node in &mut self.running {
            // This fails only for a process that has ended already.
            let _ = node.child.kill().await;
        }
        self.running.clear();
        self.tell_guard();
    }

    fn tell_guard(&mut self) {
        let pids = self.running.iter().filter_map(|node| node.child.id());
        self.guard.watch(pids);
    }
}

fn spawn(plan: &DemoPlan, node: &DemoNode, program: &Path) -> std::io::Result<Child> {
    let folder = plan.folder(node);
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join(LOG))?;
    let mut command = Command::new(program);
    command
        .args(["--config", CONFIG])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C at the terminal is for this program, which then ends the nodes.
        .process_group(0)
        .kill_on_drop(true);
    // A variable would override the file of every node.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RSTMDB_") {
            command.env_remove(name);
        }
    }
    command.spawn()
}

impl EndedNode {
    /// What happened, the end of its log, and how to start it again.
    pub fn report(&self, plan: &DemoPlan, program: &Path) -> String {
        let how = match &self.status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let mut report = format!("node {} has ended: {how}", self.node_id);
        let Some(node) = plan.nodes.iter().find(|node| node.node_id == self.node_id) else {
            return report;
        };
        let folder = plan.folder(node);
        // A killed process writes nothing about it to its log.
        if self
            .status
            .as_ref()
            .is_ok_and(|status| status.code().is_some())
            && let Ok(log) = fs::read_to_string(folder.join(LOG))
        {
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
                report.push_str("\n  ");
                report.push_str(line);
            }
        }
        report.push_str(&format!(
            "\nstart it again in another terminal (there Ctrl-C ends it):\n  cd {} && {} --config {CONFIG}",
            folder.display(),
            program.display()
        ));
        report
    }
}

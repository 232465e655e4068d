//! The real binary, with one system call on its log that fails or at which the process is killed. After the first error
//! the node writes nothing more, and a restart finds everything acknowledged. `RSTMDB_FAULTS` sets the number of
//! faults; the first ones are always the same.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::faults::strace::can_trace;
use rstmdb_jepsen::load::pipelines::{Pipelines, RunningPipelines};
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::{Error, audit};

const FAULTS_VARIABLE: &str = "RSTMDB_FAULTS";
const CONNECTIONS: usize = 2;
/// The highest number of log segments that a run may reach.
const SEGMENTS: u64 = 30;
/// How long the load may take to bring a node to its fault, and how long the node may take to end after that.
const FAULT_TIMEOUT: Duration = Duration::from_secs(20);
const SIGKILL: i32 = 9;

/// What happens at which call of its kind. Calls are counted by thread, and the log has one writer.
#[derive(Debug, Clone)]
struct Fault {
    call: &'static str,
    what: &'static str,
    at: u64,
}

const SYNC: &str = "fdatasync";
const WRITE: &str = "pwrite64";
const EIO: &str = "error=EIO";
const ENOSPC: &str = "error=ENOSPC";
const KILL: &str = "signal=SIGKILL";

const FIXED: [(&str, &str, u64); 10] = [
    (SYNC, EIO, 1),
    (SYNC, EIO, 2),
    (SYNC, EIO, 40),
    (WRITE, EIO, 1),
    (WRITE, EIO, 25),
    (WRITE, ENOSPC, 3),
    (WRITE, ENOSPC, 60),
    (WRITE, KILL, 30),
    (SYNC, KILL, 3),
    (SYNC, KILL, 50),
];

fn faults(rng: &mut Rng) -> Vec<Fault> {
    let wanted = std::env::var(FAULTS_VARIABLE);
    let count = wanted.map_or(FIXED.len(), |count| count.parse().unwrap());
    let mut drawn = || {
        let (call, what, _) = *rng.pick(&FIXED);
        (call, what, rng.between(1, 300))
    };
    let all = FIXED
        .into_iter()
        .chain(std::iter::from_fn(|| Some(drawn())));
    all.take(count)
        .map(|(call, what, at)| Fault { call, what, at })
        .collect()
}

#[test]
fn after_a_failed_call_nothing_is_acknowledged_and_nothing_is_lost() {
    let _turn = turns::light();
    if let Err(reason) = can_trace() {
        rstmdb_jepsen::skipped(reason);
        return;
    }
    let begun = Instant::now();
    let mut rng = Rng::new(rng::seed("strace"));
    let faults = faults(&mut rng);
    let mut acknowledged = 0;
    for fault in &faults {
        acknowledged += survive(fault, &mut rng);
    }
    println!(
        "strace: {} faults, {acknowledged} acknowledged writes, {:.1?}",
        faults.len(),
        begun.elapsed()
    );
}

/// Gives how many writes were acknowledged.
fn survive(fault: &Fault, rng: &mut Rng) -> usize {
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let workload = Pipelines::prepare(&[node.addr()]).unwrap();
    node.kill().unwrap();
    let trace = node.folder().join("trace");
    node.launch_under(strace(fault, &trace, &node.data_dir()))
        .unwrap();
    let load = workload.start(CONNECTIONS, rng);
    let ended = fail(&mut node, fault, &trace);
    if let Err(problem) = ended.and_then(|()| node.restart().map_err(|error| error.to_string())) {
        panic!("{fault:?}: {problem}");
    }
    check(node, fault, workload, load)
}

/// Runs the server under strace, which becomes the server and traces it from a process of its own.
fn strace(fault: &Fault, trace: &Path, data_dir: &Path) -> Command {
    let Fault { call, what, at } = fault;
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-q", "-y", "-o"]).arg(trace);
    strace.args(["-e", &format!("trace={SYNC},{WRITE}")]);
    strace.args(["-e", &format!("inject={call}:{what}:when={at}")]);
    for number in 1..=SEGMENTS {
        strace.arg("-P").arg(segment(data_dir, number));
    }
    strace
}

fn segment(data_dir: &Path, number: u64) -> PathBuf {
    data_dir.join("wal").join(format!("{number:016}.wal"))
}

/// Waits until the node has met its fault and has ended because of it.
fn fail(node: &mut Node, fault: &Fault, trace: &Path) -> Result<(), String> {
    let status = match node.wait_exit(FAULT_TIMEOUT) {
        Ok(status) => status,
        Err(error) => return Err(format!("it goes on: {error}: {}", node.log_tail())),
    };
    if fault.what == KILL {
        return match status.signal() {
            Some(SIGKILL) => Ok(()),
            _ => Err(format!("it ended otherwise: {status}")),
        };
    }
    if status.success() || status.code().is_none() {
        return Err(format!("it ended with {status}"));
    }
    let said = match fault.what {
        EIO => "Input/output error",
        _ => "No space left on device",
    };
    if !node.log_text().contains(said) {
        return Err(format!("its log does not say {said:?}"));
    }
    nothing_after_the_fault(&fs::read_to_string(trace).map_err(|error| error.to_string())?)
}

/// An error is final: a repeated sync reports success although data is lost.
fn nothing_after_the_fault(trace: &str) -> Result<(), String> {
    let mut lines = trace
        .lines()
        .skip_while(|line| !line.contains("(INJECTED)"));
    let Some(fault) = lines.next() else {
        return Err("the fault was not met".to_owned());
    };
    let is_call = |line: &&str| line.contains(SYNC) || line.contains(WRITE);
    match lines.find(is_call) {
        Some(line) => Err(format!("{line:?} came after {fault:?}")),
        None => Ok(()),
    }
}

fn check(node: Node, fault: &Fault, workload: Pipelines, load: RunningPipelines) -> usize {
    let mut ledgers = load.finish();
    ledgers.push(workload.preparation);
    let audit = || -> Result<Vec<String>, Error> {
        let mut connection = RawConnection::connect(node.addr())?;
        let mut verdict = audit::read_log(&mut connection, &ledgers)?;
        let mut found = std::mem::take(&mut verdict.violations);
        found.extend(audit::wrong_instances(
            &mut connection,
            &verdict,
            "linearizable",
        )?);
        Ok(found)
    };
    assert_eq!(audit().unwrap(), [""; 0], "{fault:?}");
    ledgers.iter().map(|ledger| ledger.acknowledged()).sum()
}

#[test]
fn a_call_after_the_fault_is_noticed() {
    let good = "1 pwrite64(9</wal>, \"\"..., 8, 0) = 8\n1 fdatasync(9</wal>) = -1 EIO (INJECTED)\n1 +++ exited with 1 +++\n";
    assert_eq!(nothing_after_the_fault(good), Ok(()));
    let again = format!("{good}1 fdatasync(9</wal>) = 0\n");
    assert!(nothing_after_the_fault(&again).is_err());
    assert!(nothing_after_the_fault("1 fdatasync(9</wal>) = 0\n").is_err());
}

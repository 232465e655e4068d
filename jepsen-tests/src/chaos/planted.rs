//! `rstmdb-jepsen planted`: runs the suite against nodes with one known bug each. That the suite finds no bug in the
//! product means something only if it finds these.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rstmdb::planted::{self, Bug};

use super::check::CheckerResult;
use crate::Error;
use crate::harness::arguments;
use crate::process::binaries;

/// How long one run has faults. A bug that shows itself at all does so soon.
const RUN_SECS: u64 = 40;
/// How long a bug may go unnoticed.
const CAUGHT_WITHIN: Duration = Duration::from_secs(300);

/// The arguments of `rstmdb-jepsen planted`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this bug.
    #[arg(long, value_parser = Bug::ALL.map(Bug::name))]
    bug: Option<String>,
    /// The seed of the first run.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_parser = arguments::seed)]
    seed: u64,
    /// Where the results go.
    #[arg(long, default_value = "store/planted")]
    store: PathBuf,
}

/// The faults under which a bug shows itself; `None` if the suite has none.
fn faults(bug: Bug) -> Option<&'static str> {
    Some(match bug {
        Bug::ReadWithoutReadIndex => "leader-alone,pause,one-way,halves",
        Bug::AckBeforeFsync => "kill-all,kill-minority",
        Bug::StaleFactApplied => "members,leader-alone,kill-one,transfer",
        Bug::WatchDrops | Bug::ProgressTooEarly | Bug::CatchUpDropsDeletions => {
            "kill-one,rolling,transfer"
        }
        Bug::KeysLostOnFailover => "transfer,kill-one,leader-alone",
        // No other fault, so that as many clocks as possible jump. Half of the jumps are the leader's, and a sixth are
        // as long as keys are remembered.
        Bug::LogTimeFollowsWallClock => "clock-jump",
        Bug::ChainSkipsStale => "members,leader-alone,kill-one,transfer",
        Bug::ChainLostBySnapshot => "kill-one,rolling",
        // The last member is not asked, and each of them is upgraded as the last one in some run.
        Bug::LevelRaisedTooEarly => "upgrade",
        Bug::DryRunWrites => "kill-one",
        Bug::MetadataLostByForwarding => "transfer",
        Bug::ReloadForgetsARevocation => "reload",
        Bug::MovedMemberStaysWhereItWas => "moved",
        Bug::FenceNotChecked => "pause,leader-alone",
        Bug::TimerFiresBeforeDue | Bug::SelfTransitionRearms => "kill-one,transfer",
        Bug::TimerFiresTwiceAfterFailover => "transfer,kill-one,leader-alone",
        Bug::MachineInUseDeleted => "kill-one",
        // Only the simulation has a fault that resets and refuses the connections of a process that lives.
        Bug::LeaseOutlivesThePromise => return None,
    })
}

/// Runs the suite against every planted bug; fails when it misses one.
pub fn main(args: &Args) -> ExitCode {
    if !cfg!(feature = "planted-bugs") {
        eprintln!("planted: needs servers that can have a bug: build with --features planted-bugs");
        return ExitCode::FAILURE;
    }
    // Built here, so that the build does not count as time to find a bug.
    if let Err(error) = binaries::dir() {
        eprintln!("planted: {error}");
        return ExitCode::FAILURE;
    }
    let bugs = Bug::ALL.into_iter();
    let bugs = bugs.filter(|bug| args.bug.as_ref().is_none_or(|name| name == bug.name()));
    let mut missed = 0;
    let mut report = String::new();
    for bug in bugs {
        let Some(faults) = faults(bug) else {
            println!("planted: {:26} is for the simulation to find", bug.name());
            continue;
        };
        let line = match look_for(bug, faults, args) {
            Ok(Some(found)) => format!("{:26} {found}", bug.name()),
            Ok(None) => {
                missed += 1;
                format!("{:26} NOT FOUND within {CAUGHT_WITHIN:?}", bug.name())
            }
            Err(error) => {
                missed += 1;
                format!("{:26} {error}", bug.name())
            }
        };
        println!("planted: {line}");
        report.push_str(&line);
        report.push('\n');
    }
    println!("planted: in sum\n{report}");
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs until a checker finds a violation. Returns the checker and the time it took.
fn look_for(bug: Bug, faults: &str, args: &Args) -> Result<Option<String>, Error> {
    let begun = Instant::now();
    for seed in args.seed.. {
        if begun.elapsed() > CAUGHT_WITHIN {
            break;
        }
        let store = args.store.join(bug.name()).join(seed.to_string());
        let program = std::env::current_exe().map_err(Error::io("this program"))?;
        // The environment of a process chooses its bug.
        let ended = Command::new(program)
            .env(planted::VARIABLE, bug.name())
            .args(["chaos", "--nodes", "3", "--rate", "400", "--faults", faults])
            .args([
                "--seed",
                &seed.to_string(),
                "--run-time",
                &format!("{RUN_SECS}s"),
            ])
            .arg("--store")
            .arg(&store)
            .output()
            .map_err(Error::io("this program"))?;
        let found = objections(&store)?;
        if !found.is_empty() {
            let (runs, took) = (seed - args.seed + 1, begun.elapsed());
            let found = found.join(", ");
            return Ok(Some(format!("{took:.0?}, run {runs}: {found}")));
        }
        let said = String::from_utf8_lossy(&ended.stdout);
        println!(
            "planted: {}: nothing found in run {seed}: {}",
            bug.name(),
            last_line(&said)
        );
    }
    Ok(None)
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

/// Which checkers found a violation in the runs below a folder.
fn objections(store: &Path) -> Result<Vec<String>, Error> {
    let runs = std::fs::read_dir(store).map_err(Error::io(store.display().to_string()))?;
    let mut found = Vec::new();
    for run in runs.flatten() {
        let path = run.path().join("results.json");
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(Error::io(path.display().to_string()))?;
        let results: Vec<CheckerResult> =
            serde_json::from_str(&text).map_err(Error::content(&path))?;
        let objecting = results
            .iter()
            .filter(|result| !result.violations().is_empty());
        found.extend(objecting.map(|result| format!("{} of {}", result.checker, result.subject)));
    }
    Ok(found)
}

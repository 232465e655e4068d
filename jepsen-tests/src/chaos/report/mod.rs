//! The report of a run. One page shows the verdicts, the throughput and latency over time with the faults, and every
//! violation as a picture. Beside it are files with all records of the run.
//!
//! | module | subject |
//! |---|---|
//! | `page` | the page, with the run as JSON inside; `page.html` draws it |
//! | `series` | requests as numbers for each interval |

mod page;
mod series;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{CheckVerdict, CheckerResult};
use super::history::{self, HistoryEntry};
use crate::Error;

/// A fault and when it was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSpan {
    /// When it began, in microseconds since the run began.
    pub begun_us: u64,
    /// When it was over.
    pub ended_us: u64,
    /// Its kind, as `--faults` names it.
    pub kind: String,
    /// What it was, and which nodes it affected.
    pub name: String,
}

/// The data of one run's report.
#[derive(Debug, Clone)]
pub struct ReportedRun {
    /// What was run.
    pub name: String,
    /// What all random choices came from.
    pub seed: u64,
    /// What the nodes were: processes or containers.
    pub runner: String,
    /// How many there were at the beginning.
    pub nodes: usize,
    /// When it began, by the clock on the wall.
    pub begun: String,
    /// How long it took.
    pub duration: Duration,
    /// The command that repeats it.
    pub command: String,
    /// The faults, in the order in which they began.
    pub faults: Vec<FaultSpan>,
    /// The requests.
    pub entries: Vec<HistoryEntry>,
    /// What the checkers said.
    pub results: Vec<CheckerResult>,
    /// The names of the nodes' log files, in the folder of the report.
    pub logs: Vec<String>,
    /// Notes.
    pub notes: Vec<String>,
}

/// The outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// Everything was checked and is right.
    Pass,
    /// The run is inconclusive: too few requests succeeded, or faults did not begin.
    Unknown,
    /// The suite itself failed.
    Failed,
    /// The cluster broke a promise.
    Violation,
}

impl ReportedRun {
    /// The outcome: the worst of all results.
    pub fn overall(&self) -> Overall {
        let of_result = |result: &CheckerResult| match result.verdict {
            CheckVerdict::Valid => Overall::Pass,
            CheckVerdict::Unknown(_) => Overall::Unknown,
            CheckVerdict::Failed(_) => Overall::Failed,
            CheckVerdict::Invalid(_) => Overall::Violation,
        };
        // A run without any check proves nothing.
        let checked = self.results.iter().map(of_result).max();
        checked.unwrap_or(Overall::Unknown)
    }
}

impl Overall {
    /// As it stands on the page.
    pub fn label(self) -> &'static str {
        match self {
            Overall::Pass => "pass",
            Overall::Unknown => "unknown",
            Overall::Failed => "the suite failed",
            Overall::Violation => "VIOLATION",
        }
    }
}

/// Writes `index.html`, `history.jsonl`, `faults.json` and `results.json` into a folder.
///
/// # Errors
/// When one of them cannot be written.
pub fn write(dir: &Path, run: &ReportedRun) -> Result<(), Error> {
    let put = |name: &str, text: serde_json::Result<String>| {
        let path = dir.join(name);
        let text = text.map_err(Error::content(&path))?;
        fs::write(&path, text).map_err(Error::io(path.display().to_string()))
    };
    fs::create_dir_all(dir).map_err(Error::io(dir.display().to_string()))?;
    history::write(&dir.join("history.jsonl"), &run.entries)?;
    put("faults.json", serde_json::to_string_pretty(&run.faults))?;
    put("results.json", serde_json::to_string_pretty(&run.results))?;
    put("index.html", page::html(run))
}

#[cfg(test)]
mod tests;

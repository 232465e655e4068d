//! The report of a run: one page that shows what was checked, how the cluster did over time under which
//! faults, and every violation as a picture; and beside it all that is needed to look closer.
//!
//! | module | subject |
//! |---|---|
//! | `page` | the page |
//! | `series` | requests as numbers for each interval |
//! | `plot` | these numbers and the faults as a picture |
//! | `strip` | where each fault goes in it |
//! | `window` | a violation as a picture |
//! | `svg` | shapes and text of pictures |

mod page;
mod plot;
mod series;
mod strip;
mod svg;
mod window;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{CheckerResult, Verdict};
use super::history::{self, Entry};

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] crate::Error),
    /// Something cannot be put as JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A fault and when it was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSpan {
    /// When it began, in microseconds since the run began.
    pub begun_us: u64,
    /// When it was over.
    pub ended_us: u64,
    /// What it was.
    pub name: String,
    /// Whether it really came about.
    pub happened: bool,
}

/// Everything that is known of one run.
#[derive(Debug, Clone)]
pub struct Run {
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
    /// What repeats it.
    pub command: String,
    /// The faults, in the order in which they began.
    pub faults: Vec<FaultSpan>,
    /// The requests.
    pub entries: Vec<Entry>,
    /// What the checkers said.
    pub results: Vec<CheckerResult>,
    /// The names of the nodes' log files, in the folder of the report.
    pub logs: Vec<String>,
    /// What is worth saying besides.
    pub notes: Vec<String>,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// Everything was checked and is right.
    Pass,
    /// Something that had to be shown was not: too little was done, or a fault did not come about.
    Unknown,
    /// The suite itself failed.
    Failed,
    /// The cluster broke a promise.
    Violation,
}

impl Run {
    /// What it came to: the worst of all there is.
    pub fn overall(&self) -> Overall {
        let of_result = |result: &CheckerResult| match result.verdict {
            Verdict::Valid => Overall::Pass,
            Verdict::Unknown(_) => Overall::Unknown,
            Verdict::Failed(_) => Overall::Failed,
            Verdict::Invalid(_) => Overall::Violation,
        };
        let all_happened = self.faults.iter().all(|fault| fault.happened);
        let faults = if all_happened {
            Overall::Pass
        } else {
            Overall::Unknown
        };
        // A run that nobody checked has shown nothing.
        let checked = self.results.iter().map(of_result).max();
        checked.map_or(Overall::Unknown, |checked| checked.max(faults))
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
pub fn write(dir: &Path, run: &Run) -> Result<(), Error> {
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        let failed = crate::Error::io(path.display().to_string());
        fs::write(&path, text).map_err(failed)
    };
    let failed = crate::Error::io(dir.display().to_string());
    fs::create_dir_all(dir).map_err(failed)?;
    history::write(&dir.join("history.jsonl"), &run.entries)?;
    put("faults.json", serde_json::to_string_pretty(&run.faults)?)?;
    put("results.json", serde_json::to_string_pretty(&run.results)?)?;
    put("index.html", page::html(run))?;
    Ok(())
}

#[cfg(test)]
mod tests;

//! The incidents file: 73,088 real operations and what they must lead to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Error;
use crate::harness::skipped::skipped;
use crate::rcp::raw::RawConnection;

/// Names the file if it is at another place.
const FILE_VARIABLE: &str = "RSTMDB_INCIDENTS";

/// The file and the number of instances by state at the end, from the table beside it.
#[derive(Debug)]
pub struct Incidents {
    file: PathBuf,
    states: Vec<(String, u64)>,
}

impl Incidents {
    /// Finds the file, or says why the test is skipped.
    ///
    /// # Errors
    /// When the table beside it is missing.
    pub fn find() -> Result<Option<Self>, Error> {
        let given = std::env::var_os(FILE_VARIABLE).map(PathBuf::from);
        let file = given.unwrap_or_else(|| {
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/incidents.jsonl.gz")
        });
        if !file.is_file() {
            let file = file.display();
            skipped(format!(
                "{file} does not exist ({FILE_VARIABLE} names another)"
            ));
            return Ok(None);
        }
        let readme = std::fs::read_to_string(file.with_file_name("README.md"))
            .map_err(Error::io("the table beside the incidents"))?;
        let states: Vec<(String, u64)> = readme.lines().filter_map(row).collect();
        if states.is_empty() {
            let problem = format!("no table of states beside {}", file.display());
            return Err(Error::Protocol(problem));
        }
        Ok(Some(Self { file, states }))
    }

    /// Where it is, for the command line.
    pub fn path(&self) -> String {
        self.file.display().to_string()
    }

    /// Compares how many instances a node has in each state with the table. Returns the differences.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn wrong_states(&self, addr: SocketAddr, consistency: &str) -> Result<Vec<String>, Error> {
        let mut connection = RawConnection::connect(addr)?;
        let mut wrong = Vec::new();
        let mut count = |mut filter: Value, expected: u64| {
            filter["limit"] = json!(1);
            filter["consistency"] = json!(consistency);
            let total = connection.call("LIST_INSTANCES", &filter)?["total"].as_u64();
            if total != Some(expected) {
                wrong.push(format!("{filter}: {total:?} instead of {expected}"));
            }
            Ok::<(), Error>(())
        };
        for (state, instances) in &self.states {
            count(json!({"machine": "incident", "state": state}), *instances)?;
        }
        let all = self.states.iter().map(|(_, instances)| instances).sum();
        count(json!({}), all)?;
        Ok(wrong)
    }
}

/// A row of the table: `| state | number |`.
fn row(line: &str) -> Option<(String, u64)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    match cells.as_slice() {
        ["", state, number, ""] => Some(((*state).to_owned(), number.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_from_headings_and_rules() {
        assert_eq!(row("| Closed | 24 |"), Some(("Closed".to_owned(), 24)));
        for line in ["| state | instances |", "|---|---|", "text", ""] {
            assert_eq!(row(line), None, "{line}");
        }
    }
}

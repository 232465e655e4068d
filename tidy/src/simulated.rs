//! Code that a simulation runs takes its time, tasks and randomness from the simulation only.

use crate::tree::TreeFile;

/// Folders and files that a simulation runs.
const SIMULATED: [&str; 11] = [
    "node/src/replica/",
    "node/src/server/peer/asking/",
    "node/src/server/peer/budget/",
    "node/src/server/peer/codec/",
    "node/src/server/peer/connecting/call_error.rs",
    "node/src/server/peer/connecting/channel.rs",
    "node/src/server/peer/connecting/connections.rs",
    "node/src/server/peer/identity/",
    "node/src/server/peer/serving/",
    "node/src/server/peer/way/pace.rs",
    "node/src/server/peer/way/path.rs",
];

/// Every place of such code that would make two runs of one seed differ.
#[must_use]
pub fn beside_the_simulation(files: &[TreeFile]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| is_simulated(file)) {
        let lines = places(&file.product_lines());
        wrong.extend(lines.iter().map(|line| format!("{}:{line}", file.path)));
    }
    wrong
}

/// Whether a simulation runs this file.
#[must_use]
pub fn is_simulated(file: &TreeFile) -> bool {
    file.is_product() && SIMULATED.iter().any(|path| file.path.starts_with(path))
}

fn places(lines: &[&str]) -> Vec<usize> {
    const NAMES: [&str; 4] = ["tokio::time", "tokio::task", "tokio::spawn", "SystemTime"];
    let is_wrong = |at: usize| {
        let line = lines[at].trim_start();
        let next = lines.get(at + 1).map_or("", |line| line.trim());
        // Without `biased`, `select!` begins with a random branch.
        let chooses = line.ends_with("tokio::select! {") && next != "biased;";
        let reads_the_clock = line.contains("std::time::") && line.contains("Instant");
        let is_code = !line.starts_with("//");
        is_code && (chooses || reads_the_clock || NAMES.iter().any(|name| line.contains(name)))
    };
    (0..lines.len())
        .filter(|at| is_wrong(*at))
        .map(|at| at + 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn clocks_tasks_and_chance_are_found() {
        for (text, lines) in [
            ("use tokio::time::Instant;", vec![1]),
            ("use std::time::{Duration, Instant};", vec![1]),
            ("use std::time::Duration;\nuse openraft::Instant;", vec![]),
            ("let now = std::time::SystemTime::now();", vec![1]),
            ("\n    tokio::spawn(work);", vec![2]),
            ("// not tokio::spawn", vec![]),
            ("    let a = tokio::select! {\n        a = b => a,", vec![1]),
            ("    tokio::select! {\n        biased;", vec![]),
        ] {
            let found = places(&text.lines().collect::<Vec<_>>());
            assert_eq!(found, lines, "{text}");
        }
    }
}

//! Golden scenarios, decided and applied in this process. `UPDATE_SCENARIOS=1` rewrites the results of their commands.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use crate::scenario::{Run, files, steps};

fn play(script: &str) -> String {
    let mut run = Run::new();
    for step in steps(script) {
        run.echo(&step);
        if let Some(command) = step.command() {
            run.line(command, &step.ops);
        }
    }
    run.out
}

#[test]
fn every_scenario_plays_as_written() {
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    for file in files() {
        let written = std::fs::read_to_string(&file).unwrap();
        let played = play(&written);
        if update {
            std::fs::write(&file, played).unwrap();
        } else {
            assert_eq!(written, played, "{}", file.display());
        }
    }
}

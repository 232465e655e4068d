//! Runs this program under valgrind, once for each step.

use std::process::Command;

use crate::ROUNDS;
use crate::record::{CountRecord, Error};
use crate::steps::{CHAIN, EVENT, LOG, LOG_ENTRIES, STEPS};

/// What the line with the count begins with.
const COLLECTED: &str = "Collected : ";

/// Counts the instructions of all steps.
///
/// # Errors
/// [`Error::CannotCount`] without valgrind or a compiler, [`Error::Step`] when a step fails.
pub fn measure() -> Result<CountRecord, Error> {
    let compiler = output_of(Command::new("rustc").arg("--version"))?;
    let counts = STEPS
        .iter()
        .map(|(name, _)| Ok((String::from(*name), count(name)?)));
    Ok(CountRecord {
        compiler: compiler.trim().to_owned(),
        steps: counts.collect::<Result<_, Error>>()?,
    })
}

/// Of a hundred instructions that an event costs in the counted steps, how many are the chain's, in hundredths; and both
/// counts.
///
/// # Errors
/// As [`measure`].
pub fn chain_share() -> Result<(f64, u64, u64), Error> {
    let mut event = count(LOG)? / LOG_ENTRIES;
    for step in EVENT {
        event += count(step)?;
    }
    let chain = count(CHAIN)?;
    let whole = event + chain;
    Ok((chain as f64 * 100.0 / whole as f64, chain, whole))
}

fn output_of(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        Error::CannotCount(format!("{program} cannot be run: {error}"))
    })?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

fn count(step: &str) -> Result<u64, Error> {
    let program = std::env::current_exe().map_err(|error| Error::File {
        path: "this program".to_owned(),
        error,
    })?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=*instructions_counted*",
    ]);
    let output = output_of(valgrind.arg(program).args(["step", step]))?;
    collected(&output).ok_or_else(|| Error::Step {
        step: step.to_owned(),
        output,
    })
}

/// The instructions of one repetition, from what callgrind prints.
fn collected(output: &str) -> Option<u64> {
    let at = output.find(COLLECTED)? + COLLECTED.len();
    let count = output[at..].split_whitespace().next()?;
    let all: u64 = count.parse().ok()?;
    (all > 0).then_some(all / ROUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_prints() {
        let output = "==7== Events    : Ir\n==7== Collected : 12345\n==7== \n";
        assert_eq!(collected(output), Some(123));
        assert_eq!(collected("==7== Collected : 0\n"), None);
        assert_eq!(collected("valgrind: no such program"), None);
    }
}

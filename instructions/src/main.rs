//! `rstmdb-instructions check` fails when a step takes more instructions than recorded; `rstmdb-instructions record`
//! records what the steps take now; `rstmdb-instructions chain` prints the chain's share of an event.

use std::path::Path;
use std::process::ExitCode;

use rstmdb_instructions::record::{self, CountRecord};
use rstmdb_instructions::{steps, valgrind};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded.txt");
    let result = match args[..] {
        ["step", name] if steps::run(name) => return ExitCode::SUCCESS,
        ["check"] => check(&file),
        ["chain"] => valgrind::chain_share().map(|(percent, chain, event)| {
            println!("chain: {chain} of {event} instructions of an event: {percent:.1} %");
            true
        }),
        ["record"] => valgrind::measure()
            .and_then(|now| now.write(&file))
            .map(|()| true),
        _ => {
            eprintln!("usage: rstmdb-instructions check | record | chain | step NAME");
            return ExitCode::FAILURE;
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(record::Error::CannotCount(reason)) => {
            println!("skipped: {reason}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path) -> Result<bool, record::Error> {
    let recorded = CountRecord::read(file)?;
    let now = valgrind::measure()?;
    recorded.is_comparable(&now)?;
    let mut passes = true;
    for (name, verdict) in recorded.compare(&now) {
        passes &= verdict.passes();
        println!("{name:24} {verdict}");
    }
    if !passes {
        println!(
            "more instructions than recorded; if that is meant: \
             cargo run --release -p rstmdb-instructions -- record"
        );
    }
    Ok(passes)
}

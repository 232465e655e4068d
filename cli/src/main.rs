//! `rstmdb-cli`: reads the command line, runs the command, says what went wrong.

use std::process::ExitCode;

use clap::Parser;
use rstmdb_cli::args::{Cli, Command};
use rstmdb_cli::commands;
use rstmdb_cli::session::Session;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let session = Session::new(&cli.global);
        let command = cli.command.unwrap_or(Command::Repl);
        let outcome = commands::run(&session, command).await;
        session.close().await;
        outcome
    });
    // A thread that still reads standard input must not hold up the exit.
    runtime.shutdown_background();
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    if let Some(report) = error.report() {
        eprintln!("{report}");
    }
    ExitCode::from(error.exit_code())
}

//! `rstmdb-cli`: reads the command line, runs the command, says what went wrong.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use rstmdb_cli::args::{Cli, CliCommand};
use rstmdb_cli::session::CliSession;
use rstmdb_cli::{Error, commands, repl};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return explain(&said),
    };
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
        let session = CliSession::new(&cli.global);
        let outcome = match cli.command {
            None | Some(CliCommand::Repl) => repl::run(&session).await,
            Some(command) => commands::run(&session, command).await,
        };
        session.close().await;
        outcome
    });
    // A thread that still reads standard input must not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    if let Some(report) = error.report() {
        eprintln!("{report}");
    }
    ExitCode::from(error.exit_code())
}

/// Prints what clap has to say instead of running a command: help, the version, or what is wrong with the arguments.
fn explain(said: &clap::Error) -> ExitCode {
    let printed = said.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(error) if !said.use_stderr() => failed(&Error::Output(error)),
        _ => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(u8::MAX)),
    }
}

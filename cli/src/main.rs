//! `rstmdb-cli`: reads the command line, runs the command, says what went wrong.

use std::io::{self, Write};
use std::process::ExitCode;

use rstmdb_cli::args::{self, Cli, CliCommand, Global};
use rstmdb_cli::render::output::Output;
use rstmdb_cli::session::{CliSession, profiles};
use rstmdb_cli::{Error, commands, repl};
use rstmdb_rcp::environment;
use rstmdb_rcp::text::printable;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::parse_words(std::env::args_os().skip(1)) {
        Ok(cli) => cli,
        Err(said) => return explain(&said),
    };
    let out = Output::new(cli.global.form.asked(), cli.global.color);
    if !out.errors_are_json() {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for warning in environment::warnings(names) {
            eprintln!("warning: {}", printable(&warning));
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&out, &Error::Failed(format!("cannot start: {error}")));
        }
    };
    let global = match connection(&cli, &out) {
        Ok(global) => global,
        Err(error) => return failed(&out, &error),
    };
    let outcome = runtime.block_on(async {
        let session = CliSession::new(&global);
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
        Err(error) => failed(&out, &error),
    }
}

/// How to connect, with the profile that counts. A command that needs no server needs no profile either.
fn connection(cli: &Cli, out: &Output) -> Result<Global, Error> {
    let global = cli.global.clone();
    let local = cli.command.as_ref().is_some_and(CliCommand::is_local);
    if local && !global.given.is_typed("profile") {
        return Ok(Global {
            profile: None,
            ..global
        });
    }
    let global = profiles::with_profile(global, profiles::file)?;
    if global.profile.is_some() && !out.errors_are_json() {
        let warning = profiles::file()
            .ok()
            .and_then(|path| profiles::warning(&path));
        if let Some(warning) = warning {
            eprintln!("warning: {}", printable(&warning));
        }
    }
    Ok(global)
}

fn failed(out: &Output, error: &Error) -> ExitCode {
    out.report(error);
    ExitCode::from(error.exit_code())
}

/// Prints what clap has to say instead of running a command: help, the version, or what is wrong with the arguments.
fn explain(said: &clap::Error) -> ExitCode {
    let asked = args::form_asked(std::env::args_os().skip(1));
    let out = Output::new(asked, args::Color::Never);
    if said.use_stderr() && out.errors_are_json() {
        let error = Error::Usage(said.to_string().trim_end().to_owned());
        return failed(
            &out,
            &match args::suggestion(said) {
                Some(hint) => Error::Hinted {
                    error: Box::new(error),
                    hint,
                },
                None => error,
            },
        );
    }
    let printed = said.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(error) if !said.use_stderr() => failed(&out, &Error::Output(error)),
        _ => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(u8::MAX)),
    }
}

//! The commands of the command line.

mod verify;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rstmdb_raft_store::{self as raft_store, RealFs};
use rstmdb_rcp::environment;

use super::args::{Args, DevClock, ProgramCommand};
use super::signals;
use crate::server::config::{self, Config};
use crate::server::node::{self, peering};
use crate::server::transport::tls;
use crate::server::{logging, restore};

/// At the end the runtime's last tasks have this long.
const RUNTIME_TIMEOUT: Duration = Duration::from_millis(500);

/// Why a command has failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error(transparent)]
    Store(#[from] raft_store::Error),
    #[error("{what}: {reason}")]
    System {
        what: &'static str,
        reason: io::Error,
    },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Restore(#[from] restore::Error),
    #[cfg(feature = "planted-bugs")]
    #[error(transparent)]
    Planted(#[from] crate::planted::UnknownBug),
    #[error("{0}")]
    Refused(String),
}

/// Runs the command of the command line. The exit code of the process tells the result: 0, or 1 with the reason on
/// standard error.
#[must_use]
pub fn execute(args: &Args) -> ExitCode {
    let done = match &args.command {
        None => serve(args),
        Some(ProgramCommand::CheckConfig) => check_config(args),
        Some(ProgramCommand::Verify { data, head }) => verify::verify(args, data.as_deref(), head),
        Some(ProgramCommand::Rejoin { data, yes }) => rejoin(data, *yes),
        Some(ProgramCommand::Restore {
            from,
            data,
            to_offset,
            to_time,
        }) => {
            let target = match (to_offset, to_time) {
                (Some(offset), _) => restore::RestoreTarget::Offset(*offset),
                (None, Some(time)) => restore::RestoreTarget::Time(*time),
                (None, None) => restore::RestoreTarget::End,
            };
            restore(args, from, data.as_deref(), target)
        }
        Some(ProgramCommand::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            logging::print(&format_args!("rstmdb {version}")).map_err(Error::Output)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::say(&format_args!("rstmdb: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints what clap has to say instead of running a command: help, the version, or what is wrong with the arguments.
#[must_use]
pub fn explain(said: &clap::Error) -> ExitCode {
    let printed = said.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(error) if !said.use_stderr() && error.kind() != io::ErrorKind::BrokenPipe => {
            logging::say(&format_args!("rstmdb: {}", Error::Output(error)));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(u8::MAX)),
    }
}

fn load(args: &Args) -> Result<Config, Error> {
    let config = Config::load(args.config_path(), |name| std::env::var(name).ok())?;
    Ok(config)
}

/// A warning for each variable that looks like a setting and is none.
fn unknown_variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    environment::warnings(names)
}

fn serve(args: &Args) -> Result<(), Error> {
    let mut config = load(args)?;
    config.must_be_closed()?;
    logging::init(&config.logging);
    #[cfg(feature = "planted-bugs")]
    crate::planted::set_by_environment()?;
    #[cfg(any(debug_assertions, feature = "planted-bugs"))]
    {
        config.cluster.understands = crate::planted::level_by_environment();
    }
    for warning in unknown_variables().into_iter().chain(config.warnings()) {
        tracing::warn!("{warning}");
    }
    if args.clock == DevClock::Manual {
        stop_clock(&mut config)?;
    }
    // Dropped, and with it removed, when this function returns.
    let temporary = if args.dev {
        Some(temporary_folder(&mut config)?)
    } else {
        None
    };
    let folder = temporary.as_ref().map(|folder| folder.path().to_owned());
    let shutdown = signals::shutdown(folder).map_err(|reason| Error::System {
        what: "the signal handlers cannot be installed",
        reason,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|reason| Error::System {
            what: "the runtime cannot be started",
            reason,
        })?;
    let served = runtime.block_on(node::run_until(&config, shutdown));
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    if let Some(folder) = temporary {
        tracing::warn!(folder = %folder.path().display(), "--dev: removing the data folder");
    }
    match &served {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::error!(%error, "stopped"),
    }
    logging::flush();
    Ok(served?)
}

fn stop_clock(config: &mut Config) -> Result<(), Error> {
    if !peering::is_alone(&config.cluster) {
        return Err(Error::Refused(
            "--clock manual is for a single node: leave out cluster.peers and cluster.join"
                .to_owned(),
        ));
    }
    config.clock_is_manual = true;
    tracing::warn!("--clock manual: TIME STANDS STILL until `rstmdb-cli clock advance`");
    Ok(())
}

fn temporary_folder(config: &mut Config) -> Result<tempfile::TempDir, Error> {
    let folder = tempfile::Builder::new()
        .prefix("rstmdb-dev-")
        .tempdir()
        .map_err(|reason| Error::System {
            what: "--dev: the temporary data folder cannot be made",
            reason,
        })?;
    config.set_data_dir(folder.path(), "--dev");
    config.anyone_imports = true;
    tracing::warn!(
        folder = %folder.path().display(),
        "--dev: EVERYTHING IS LOST AT EXIT: the data folder is temporary"
    );
    Ok(folder)
}

fn check_config(args: &Args) -> Result<(), Error> {
    let config = load(args)?;
    config.must_be_closed()?;
    tls::acceptor(&config.tls)?;
    peering::proofs(&config.cluster)?;
    for setting in config.settings() {
        logging::print(&format_args!(
            "{}: {}  # {}",
            setting.key, setting.value, setting.origin
        ))?;
    }
    for warning in unknown_variables().into_iter().chain(config.warnings()) {
        logging::say(&format_args!("warning: {warning}"));
    }
    Ok(())
}

/// Names in a folder that are not files of a node.
fn foreign_names(dir: &Path) -> Vec<String> {
    names_of(dir, raft_store::Owner::Other)
}

/// The names in a folder that are this owner's, sorted.
fn names_of(dir: &Path, owner: raft_store::Owner) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| raft_store::owner_of(name) == owner)
        .collect();
    names.sort();
    names
}

/// A folder that holds other files, and none of a node, is most likely not the folder that the operator meant.
fn must_be_data_folder(dir: &Path) -> Result<(), Error> {
    let foreign = foreign_names(dir);
    if foreign.is_empty() || !names_of(dir, raft_store::Owner::Node).is_empty() {
        return Ok(());
    }
    let dir = dir.display();
    Err(Error::Refused(
        if foreign.iter().any(|name| name == "manifest.json") {
            format!(
                "{dir} is not a node's data folder but a backup: check it with `rstmdb-cli backup {dir} --verify`"
            )
        } else {
            let shown: Vec<&str> = foreign.iter().take(5).map(String::as_str).collect();
            format!(
                "{dir} holds no files of a node (it holds {}): is the path right?",
                shown.join(", ")
            )
        },
    ))
}

fn rejoin(dir: &Path, yes: bool) -> Result<(), Error> {
    if !yes {
        return Err(Error::Refused(format!(
            "rejoin removes everything that the node has in {}; pass --yes to confirm that this node is to come \
             back as a new member under a new id. In a cluster of one there is no other node to \
             get the data from: this deletes the only copy",
            dir.display()
        )));
    }
    raft_store::rejoin(&RealFs, dir)?;
    let left = match foreign_names(dir) {
        names if names.is_empty() => String::new(),
        names => format!(
            " The files left there are not the node's: {}.",
            names.join(", ")
        ),
    };
    print_done(&format_args!(
        "Removed what the node had in {}.{left} On a leader, remove the old member (`rstmdb-cli cluster remove ID`); \
         then start the node with a new cluster.node_id and cluster.join",
        dir.display()
    ));
    Ok(())
}

fn restore(
    args: &Args,
    from: &Path,
    data: Option<&Path>,
    target: restore::RestoreTarget,
) -> Result<(), Error> {
    let mut config = load(args)?;
    if let Some(dir) = data {
        config.set_data_dir(dir, "--data");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|reason| Error::System {
            what: "the runtime cannot be started",
            reason,
        })?;
    let restored = runtime.block_on(restore::restore(&config, from, target))?;
    print_done(&restored);
    Ok(())
}

/// Prints the report of work that cannot be done a second time: if the report cannot be written, the work has still
/// succeeded.
fn print_done(report: &dyn std::fmt::Display) {
    if let Err(error) = logging::print(report) {
        logging::say(&format_args!(
            "this is done, but cannot be written to standard output ({error}): {report}"
        ));
    }
}

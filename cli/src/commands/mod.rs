//! The commands, a file for each group.

mod asking;
mod cluster;
mod diagram;
mod events;
mod instances;
mod keys;
mod log;
mod machines;
mod offline;
mod server;
mod storage;
mod watches;

use clap::CommandFactory;
pub use watches::several as several_watches;

use crate::args::{Cli, CliCommand, CompletionsArgs};
use crate::session::CliSession;
use crate::{Error, audit, backup, bench, load};

/// Runs one command.
pub async fn run(session: &CliSession, command: CliCommand) -> Result<(), Error> {
    match command {
        // The program itself starts the REPL, so this command arrives here only from within a REPL.
        CliCommand::Repl => Err(Error::Usage("the REPL is running already".to_owned())),
        CliCommand::Ping => server::ping(session).await,
        CliCommand::Info => server::info(session).await,
        CliCommand::Whoami => server::whoami(session).await,
        CliCommand::Summary(args) => Box::pin(server::summary::run(session, args)).await,
        CliCommand::Top(args) => Box::pin(server::top::run(session, args)).await,
        CliCommand::Profile(args) => server::profile::run(session, args),
        CliCommand::HashToken(args) => server::hash_token(session, args),
        CliCommand::ReplicationStatus => server::replication_status(session).await,
        CliCommand::Cluster(args) => Box::pin(cluster::run(session, args)).await,
        CliCommand::PutMachine(args) => machines::put(session, args).await,
        CliCommand::GetMachine(args) => machines::get(session, &args).await,
        CliCommand::ListMachines(args) => machines::list(session, &args).await,
        CliCommand::DeleteMachine(args) => machines::delete(session, args).await,
        CliCommand::CreateInstance(args) => instances::create(session, args).await,
        CliCommand::GetInstance(args) => instances::get(session, args).await,
        CliCommand::ListInstances(args) => instances::list(session, args).await,
        CliCommand::DeleteInstance(args) => instances::delete(session, args).await,
        CliCommand::ApplyEvent(args) => events::apply(session, args).await,
        CliCommand::Allowed(args) => asking::allowed(session, args).await,
        CliCommand::Explain(args) => asking::explain(session, args).await,
        CliCommand::Batch(args) => events::batch(session, args).await,
        CliCommand::WatchInstance(args) => watches::instance(session, args).await,
        CliCommand::WatchAll(args) => watches::all(session, args).await,
        CliCommand::Unwatch(args) => watches::unwatch(session, &args),
        CliCommand::Automation(args) => server::automation::run(session, args).await,
        CliCommand::Clock(args) => server::clock::run(session, args).await,
        CliCommand::Timers(args) => server::timers::run(session, args).await,
        CliCommand::Lock(args) => Box::pin(server::locks::run(session, args)).await,
        CliCommand::FlushAll(args) => storage::flush_all(session, args).await,
        CliCommand::WalRead(args) => log::wal_read(session, &args).await,
        CliCommand::Ancestors(args) => storage::ancestors(session, &args).await,
        CliCommand::WalStats => storage::wal_stats(session).await,
        CliCommand::SnapshotInstance(args) => storage::snapshot_instance(session, args).await,
        CliCommand::Compact(args) => storage::compact(session, &args).await,
        CliCommand::RotateKey => keys::rotate(session).await,
        CliCommand::Reload => server::reload::run(session).await,
        CliCommand::Load(args) => load::run(session, args).await,
        CliCommand::Import(args) => Box::pin(load::import::run(session, *args)).await,
        CliCommand::Export(args) => log::export(session, args).await,
        CliCommand::Backup(args) => backup::run(session, &args).await,
        CliCommand::Diagram(args) => diagram::run(session, args).await,
        CliCommand::History(args) => log::history(session, args).await,
        CliCommand::AuditHead(args) => audit::head(session, &args).await,
        CliCommand::AuditProof(args) => audit::proof(session, &args).await,
        CliCommand::Bench(args) => bench::run(session, args).await,
        CliCommand::Offline(command) => offline::run(session, &command),
        CliCommand::Completions(args) => completions(session, &args),
    }
}

fn completions(session: &CliSession, args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rstmdb-cli", &mut script);
    session.out.line(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::*;

    #[test]
    fn completions_know_the_commands_of_every_shell() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rstmdb-cli", &mut script);
            let script = String::from_utf8_lossy(&script);
            assert!(script.contains("watch-instance"), "{shell}");
        }
    }
}

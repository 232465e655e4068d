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

use crate::args::{Cli, Command, Completions};
use crate::session::Session;
use crate::{Error, audit, backup, bench, load};

/// Runs one command.
pub async fn run(session: &Session, command: Command) -> Result<(), Error> {
    match command {
        // The program itself starts the REPL, so this command arrives here only from within a REPL.
        Command::Repl => Err(Error::Usage("the REPL is running already".to_owned())),
        Command::Ping => server::ping(session).await,
        Command::Info => server::info(session).await,
        Command::HashToken(args) => server::hash_token(session, args),
        Command::ReplicationStatus => server::replication_status(session).await,
        Command::Cluster(args) => Box::pin(cluster::run(session, args)).await,
        Command::PutMachine(args) => machines::put(session, args).await,
        Command::GetMachine(args) => machines::get(session, &args).await,
        Command::ListMachines(args) => machines::list(session, &args).await,
        Command::CreateInstance(args) => instances::create(session, args).await,
        Command::GetInstance(args) => instances::get(session, args).await,
        Command::ListInstances(args) => instances::list(session, args).await,
        Command::DeleteInstance(args) => instances::delete(session, args).await,
        Command::ApplyEvent(args) => events::apply(session, args).await,
        Command::Allowed(args) => asking::allowed(session, args).await,
        Command::Explain(args) => asking::explain(session, args).await,
        Command::Batch(args) => events::batch(session, args).await,
        Command::WatchInstance(args) => watches::instance(session, args).await,
        Command::WatchAll(args) => watches::all(session, args).await,
        Command::Unwatch(args) => watches::unwatch(session, &args),
        Command::Automation(args) => server::automation::run(session, args).await,
        Command::Clock(args) => server::clock::run(session, args).await,
        Command::Timers(args) => server::timers::run(session, args).await,
        Command::Lock(args) => Box::pin(server::locks::run(session, args)).await,
        Command::FlushAll(args) => storage::flush_all(session, args).await,
        Command::WalRead(args) => storage::wal_read(session, &args).await,
        Command::Ancestors(args) => storage::ancestors(session, &args).await,
        Command::WalStats => storage::wal_stats(session).await,
        Command::SnapshotInstance(args) => storage::snapshot_instance(session, args).await,
        Command::Compact(args) => storage::compact(session, &args).await,
        Command::RotateKey => keys::rotate(session).await,
        Command::Reload => server::reload::run(session).await,
        Command::Load(args) => load::run(session, args).await,
        Command::Export(args) => log::export(session, args).await,
        Command::Backup(args) => backup::run(session, &args).await,
        Command::Diagram(args) => diagram::run(session, args).await,
        Command::History(args) => log::history(session, args).await,
        Command::AuditHead(args) => audit::head(session, &args).await,
        Command::AuditProof(args) => audit::proof(session, &args).await,
        Command::Bench(args) => bench::run(session, args).await,
        Command::Offline(command) => offline::run(session, &command),
        Command::Completions(args) => completions(session, &args),
    }
}

fn completions(session: &Session, args: &Completions) -> Result<(), Error> {
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

//! lock run: a command that runs while this process holds a lock.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rstmdb_rcp::client::{Error as ClientError, Lock};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::timeout;

use crate::Error;
use crate::args::LockRun;
use crate::demo::guard::DemoGuard;
use crate::session::{CliSession, from_client};

/// How a shell says that there is no such command, and that a command cannot be started.
const NO_COMMAND: u8 = 127;
const NOT_STARTED: u8 = 126;

pub(super) async fn run(session: &CliSession, args: LockRun) -> Result<(), Error> {
    let client = session.client().await?;
    let mut asked = client
        .lock(args.how.name)
        .ttl(args.how.ttl)
        .wait(args.how.wait.unwrap_or_default())
        .meta(args.how.about.meta());
    if let Some(owner) = args.owner {
        asked = asked.owner(owner);
    }
    // If the lock of an outer fence is lost, or this one before the command is started, nothing has run.
    let lock = asked.acquire().await.map_err(not_acquired)?;
    let ended = match LockedCommand::start(&lock, &args.command) {
        Ok(running) => running.supervise(&lock, args.grace).await,
        Err(error) => Err(error),
    };
    let released = match lock.check() {
        Ok(()) => lock.release().await,
        // There is nothing to release, and perhaps no cluster that would answer.
        Err(lost) => Err(lost),
    };
    match (ended, released) {
        (Err(error), _) => Err(error),
        // The command has ended, but it was not alone until then.
        (Ok(_), Err(error)) if error.is_lock_lost() => Err(from_lock(error)),
        (Ok(status), released) => {
            if let Err(error) = released {
                eprintln!("the lock could not be released, and will expire by itself: {error}");
            }
            exit_of(status)
        }
    }
}

fn not_acquired(error: ClientError) -> Error {
    match error {
        error @ ClientError::LockLost { .. } => Error::Failed(error.to_string()),
        error => from_client(error),
    }
}

fn from_lock(error: ClientError) -> Error {
    match error {
        error @ ClientError::LockLost { .. } => Error::LockLost {
            said: error.to_string(),
            body: None,
        },
        error => from_client(error),
    }
}

fn exit_of(status: ExitStatus) -> Result<(), Error> {
    let of_signal = || status.signal().map_or(1, |signal| 128 + signal);
    match status.code().unwrap_or_else(of_signal) {
        0 => Ok(()),
        code => Err(Error::Command(u8::try_from(code).unwrap_or(u8::MAX))),
    }
}

/// The command.
struct LockedCommand {
    child: Child,
    pid: Option<Pid>,
    /// It is the leader of a process group, which gets the signals as a whole.
    own_group: bool,
    interrupt: Signals,
    terminate: Signals,
    /// Kills the command, with its group, if this process is killed, because then no process renews the lock.
    guard: DemoGuard,
}

impl LockedCommand {
    fn start(lock: &Lock, words: &[OsString]) -> Result<Self, Error> {
        let token = lock.token().map_err(from_lock)?;
        // Before the command starts: a signal must not end this process while the command runs.
        let on = |kind| {
            signal(kind).map_err(|error| Error::Failed(format!("cannot wait for signals: {error}")))
        };
        let (interrupt, terminate) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
        let mut guard = DemoGuard::start()?;
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| Error::Usage("no command is given".to_owned()))?;
        // A command in the background of a terminal could not read from it.
        let own_group = !std::io::stdin().is_terminal();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("RSTMDB_LOCK_NAME", lock.name())
            .env("RSTMDB_LOCK_TOKEN", token.to_string())
            .env("RSTMDB_FENCE", format!("{}:{token}", lock.name()));
        if own_group {
            command.process_group(0);
        }
        let child = command.spawn().map_err(|error| {
            eprintln!("cannot start {}: {error}", program.to_string_lossy());
            Error::Command(match error.kind() {
                ErrorKind::NotFound => NO_COMMAND,
                _ => NOT_STARTED,
            })
        })?;
        match child.id() {
            Some(pid) if own_group => guard.watch_group(pid),
            pid => guard.watch(pid.into_iter()),
        }
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Ok(Self {
            child,
            pid: pid.and_then(Pid::from_raw),
            own_group,
            interrupt,
            terminate,
            guard,
        })
    }

    /// Waits until the command ends; ends it when the lock is lost.
    async fn supervise(mut self, lock: &Lock, grace: Duration) -> Result<ExitStatus, Error> {
        let ended = loop {
            tokio::select! {
                status = self.child.wait() => break status.map_err(Error::Output),
                lost = lock.lost() => {
                    eprintln!("{lost}; the command gets SIGTERM");
                    self.end(grace).await;
                    break Err(from_lock(lost));
                }
                _ = self.terminate.recv() => self.send(Signal::TERM),
                // A terminal sends it to all processes of its foreground.
                _ = self.interrupt.recv() => if self.own_group {
                    self.send(Signal::INT);
                }
            }
        };
        self.guard.watch(std::iter::empty());
        ended
    }

    async fn end(&mut self, grace: Duration) {
        self.send(Signal::TERM);
        if timeout(grace, self.child.wait()).await.is_err() {
            self.send(Signal::KILL);
            // No process can refuse this signal.
            let _ = self.child.wait().await;
        } else if self.own_group {
            // What the command has started may go on for longer than the command.
            self.send(Signal::KILL);
        }
    }

    fn send(&self, signal: Signal) {
        let Some(pid) = self.pid else { return };
        // A process that has just ended needs no signal.
        let _ = match self.own_group {
            true => kill_process_group(pid, signal),
            false => kill_process(pid, signal),
        };
    }
}

//! Ctrl-C and SIGTERM end a run early. The run kills the processes that it started, and unmounts its file systems.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::Error;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// A second signal within this time counts as the first one, because `timeout` signals a program and its group.
const SAME_WITHIN: Duration = Duration::from_secs(1);
/// The exit code that a shell expects after an interrupt.
const EXIT_CODE: i32 = 130;

/// Takes note of the first signal; the second one ends the process at once.
///
/// # Errors
/// When signals cannot be listened to.
pub fn listen() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Error::io("a runtime for signals"))?;
    let signals = runtime.block_on(async {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok((interrupt, signal(SignalKind::terminate())?))
    });
    let (mut interrupt, mut terminate) = signals.map_err(Error::io("signals"))?;
    thread::spawn(move || {
        runtime.block_on(async {
            let mut requested = None;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                match requested {
                    None => {
                        requested = Some(Instant::now());
                        REQUESTED.store(true, Ordering::Relaxed);
                        println!(
                            "chaos: interrupted; cleaning up; a second signal ends the program at once"
                        );
                    }
                    Some(at) if at.elapsed() < SAME_WITHIN => {}
                    Some(_) => std::process::exit(EXIT_CODE),
                }
            }
        });
    });
    Ok(())
}

/// Whether there was a signal.
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

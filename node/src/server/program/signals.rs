//! SIGTERM and SIGINT: the first one ends the node in order. The second, or an end that takes too long, exits at once.
//!
//! A separate thread waits for them, because the node's own threads may be busy with the very work that must end: the
//! replay of a long log, or a disk that does not answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::server::logging;

/// Time limit of an orderly end. The phases of the end have limits of their own, a little less than this together. This
/// one is for causes that none of them covers.
const END_TIMEOUT: Duration = Duration::from_millis(9_800);

/// Resolves at the first signal. From then on a second signal, or an end that takes too long, exits the process with 1;
/// `temporary` is removed then.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn shutdown(
    temporary: Option<PathBuf>,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Before the thread runs, so that no signal finds the process without its handlers.
    let (mut terminate, mut interrupt, hangup) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            // `reload` listens for it and reads files again; from here on it does not end the process.
            signal(SignalKind::hangup())?,
        )
    };
    let first = CancellationToken::new();
    let told = first.clone();
    let wait = async move {
        let _hangup = hangup;
        any(&mut terminate, &mut interrupt).await;
        told.cancel();
        tokio::select! {
            () = any(&mut terminate, &mut interrupt) => {
                tracing::warn!("second signal: exiting at once");
            }
            () = tokio::time::sleep(END_TIMEOUT) => {
                tracing::error!("the node has not stopped in time: exiting at once");
            }
        }
        if let Some(folder) = &temporary {
            remove(folder);
        }
        logging::flush();
        std::process::exit(1);
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(wait))?;
    Ok(first.cancelled_owned())
}

async fn any(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The node still runs, and may add a file between the last check and the removal of the folder.
fn remove(folder: &Path) {
    const TRIES: usize = 5;
    for _ in 0..TRIES {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::debug!(%error, "the temporary data folder is not gone yet");
            }
            _ => return,
        }
    }
    tracing::warn!(folder = %folder.display(), "the temporary data folder could not be removed");
}

//! SIGTERM and SIGINT: the first ends the node in order, the second at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves at the first signal; from then on a second one exits the process.
///
/// # Errors
/// When the handlers cannot be installed.
pub(super) fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        any(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            any(&mut terminate, &mut interrupt).await;
            tracing::warn!("second signal: exiting at once");
            std::process::exit(1);
        });
    })
}

async fn any(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

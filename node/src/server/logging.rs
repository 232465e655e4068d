//! Structured logs on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::config::{LogFormat, Logging};

/// Starts logging. The first call wins: a second one (a test that runs two nodes) changes nothing.
pub fn init(logging: &Logging) {
    // openraft tells each of its steps at `info` and every failed call at `warn`; what matters of it is said
    // by `replica/observer`. A directive for it in the level still wins.
    let directives = format!("openraft=error,{}", logging.level);
    // The configuration has parsed it already; whoever builds one by hand gets the default.
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let format = logging.format.unwrap_or(if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Pretty => builder.with_ansi(terminal).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

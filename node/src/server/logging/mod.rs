//! Structured logs on standard error, and traces.
//!
//! | module | subject |
//! |---|---|
//! | `lines` | lines on their way to standard error, which may be full, slow or closed |
//! | `traces` | spans of requests, for a collector |

mod lines;
pub(crate) mod traces;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use crate::server::config::{LogFormat, Logging};
use lines::LogLines;

/// At its end the process waits this long for its last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Brings another filter into force; `false` when logging has ended.
type Refilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

static REFILTER: OnceLock<Refilter> = OnceLock::new();

/// What is logged at a level.
fn filter(level: &str) -> EnvFilter {
    // openraft logs each of its steps at `info` and every failed call at `warn`; `replica/observer` logs what matters
    // of it. A directive for openraft in the level still wins.
    let directives = format!("openraft=error,{level}");
    // The configuration has parsed it already; one that a test builds by hand gets the default.
    EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Brings another level into force. Changes nothing where logging was not started.
pub(crate) fn set_level(level: &str) {
    if let Some(refilter) = REFILTER.get()
        && !refilter(filter(level))
    {
        tracing::warn!(level, "the log level cannot be changed: restart the node");
    }
}

/// Leaves openraft's messages out of the log of a node that ends. openraft calls each message an error that another node
/// sends to a Raft core which has just ended, and such messages are on their way until the connections are closed.
pub(crate) fn without_openraft(level: &str) {
    set_level(&format!("{level},openraft=off"));
}

fn refilter_by<S: 'static>(handle: Handle<EnvFilter, S>) -> Refilter {
    Box::new(move |filter| handle.reload(filter).is_ok())
}

/// Starts logging. The first call wins: a second one (a test that runs two nodes) changes nothing.
pub fn init(logging: &Logging) {
    let terminal = std::io::stderr().is_terminal();
    let format = logging.format.unwrap_or(if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    });
    let builder = tracing_subscriber::fmt().with_writer(LogLines::writer);
    let filter = filter(&logging.level);
    let (started, refilter) = match format {
        LogFormat::Pretty => {
            let builder = builder.with_ansi(terminal).with_env_filter(filter);
            let builder = builder.with_filter_reloading();
            let refilter = refilter_by(builder.reload_handle());
            (builder.try_init(), refilter)
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_env_filter(filter);
            let builder = builder.with_filter_reloading();
            let refilter = refilter_by(builder.reload_handle());
            (builder.try_init(), refilter)
        }
    };
    match started {
        Ok(()) => {
            // Set once: a second `init` fails above.
            let _ = REFILTER.set(refilter);
            LogLines::start();
            log_panics();
        }
        Err(_) => tracing::debug!("logging was started before"),
    }
}

/// Logs panics: the standard library would print a panic to standard error itself, and wait if it is not read.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!(%panic, %backtrace, "a panic"),
            _ => tracing::error!(%panic, "a panic"),
        }
    }));
}

/// Waits until all lines were written, for half a second at most.
pub fn flush() {
    LogLines::flush(FLUSH_TIMEOUT);
}

/// Lines that were not written since the start, because standard error took none.
pub(crate) fn lines_dropped() -> u64 {
    LogLines::dropped()
}

/// Prints a line for people on standard error, behind what is logged. One that cannot be printed is dropped.
pub(crate) fn say(text: &dyn Display) {
    LogLines::push(format!("{text}\n").as_bytes());
    flush();
}

/// Prints a line of a command's result on standard output. A reader that has closed it, such as `head`, wants no more:
/// this is no failure.
pub(crate) fn print(text: &dyn Display) -> io::Result<()> {
    let mut out = io::stdout();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

use std::io;
use std::path::PathBuf;

use rstmdb_rcp::message::ErrorBody;

/// Why a test could not go on. None of these says that the node broke a promise: that is what checkers
/// and assertions are for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The binaries could not be built or found.
    #[error("the binaries cannot be had: {0}")]
    Binaries(String),
    /// A process, file or socket operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The node did not become ready in time, or stopped before it was.
    #[error("the node is not ready: {reason}; its log, {log:?}, ends with:\n{tail}")]
    NotReady {
        /// What was seen instead.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The server closed the connection.
    #[error("the connection is closed")]
    Closed,
    /// Nothing came within the connection's read timeout.
    #[error("nothing came in time")]
    Silent,
    /// The server refused a request.
    #[error("refused: {0}")]
    Refused(Box<ErrorBody>),
    /// The server sent what is not RCP.
    #[error("not RCP: {0}")]
    Protocol(String),
}

impl Error {
    /// Wraps an I/O error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }

    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused(body) => Some(body.code.as_str()),
            _ => None,
        }
    }
}

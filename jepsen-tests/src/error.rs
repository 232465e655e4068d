use std::io;
use std::path::{Path, PathBuf};

use rstmdb_rcp::message::ErrorBody;

/// How [`Error::Protocol`] begins in a history.
pub(crate) const NOT_RCP: &str = "not RCP";

/// Why a test could not go on. None of these means that the node broke a promise. Checkers and assertions
/// report that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The binaries could not be built or found.
    #[error("the binaries cannot be built or found: {0}")]
    Binaries(String),
    /// A process, file or socket operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A command that had to succeed did not, or did not end in time.
    #[error("{0}")]
    Command(String),
    /// The node did not become ready in time, or stopped before it was.
    #[error("the node is not ready: {reason}; its log, {log:?}, ends with:\n{tail}")]
    NotReady {
        /// The state of the node instead.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A condition that a test waited for was not met.
    #[error("not done within {timeout:?}: {reason}")]
    NotInTime {
        /// What was seen instead.
        reason: String,
        /// How long it was waited for.
        timeout: std::time::Duration,
    },
    /// A process that had to end did not. Holds its standard error.
    #[error("still running: {0}")]
    StillRunning(String),
    /// The client library reported an error.
    #[error("the client library: {0}")]
    Library(#[from] rstmdb_rcp::client::Error),
    /// The server closed the connection.
    #[error("the connection is closed")]
    Closed,
    /// Nothing came within the connection's read timeout.
    #[error("no message came within the timeout")]
    Silent,
    /// The server refused a request.
    #[error("{op} refused: {body}")]
    Refused {
        /// What was asked for.
        op: String,
        /// Whether it may be asked for again.
        retryable: bool,
        /// The error as it was sent.
        body: Box<ErrorBody>,
    },
    /// A file does not hold what it should.
    #[error("{}: {source}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The user interrupted the run.
    #[error("interrupted")]
    Interrupted,
    /// The server sent something that is not RCP.
    #[error("{NOT_RCP}: {0}")]
    Protocol(String),
}

impl Error {
    /// Wraps an I/O error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }

    /// Wraps what is wrong with the JSON in a file.
    pub fn content(file: &Path) -> impl FnOnce(serde_json::Error) -> Error {
        let file = file.to_owned();
        move |source| Error::Content { file, source }
    }

    /// A refusal of this operation.
    pub fn refused(op: &str, body: ErrorBody) -> Error {
        Error::Refused {
            op: op.to_owned(),
            retryable: body.retryable,
            body: Box::new(body),
        }
    }

    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused { body, .. } => Some(body.code.as_str()),
            _ => None,
        }
    }
}

//! What is wrong with a configuration: always the key, the value, and a value that would be right.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueOrigin {
    /// It is not set.
    Default,
    /// The configuration file, at this line (counted from 1).
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// An environment variable.
    Variable(&'static str),
    /// An option of the command line.
    CommandLine(&'static str),
}

impl Error {
    /// The key to change; `None` if the file as a whole cannot be read.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Unreadable { key, .. } | Self::UnknownKey { key, .. } => Some(key),
            Self::BadValue { key, .. } | Self::Conflict { key, .. } => Some(key),
            Self::Syntax { .. } => None,
        }
    }
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::CommandLine(option) => write!(f, "option {option}"),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file the configuration names, or the configuration file itself, cannot be read, or holds what it must not.
    #[error("{key}: {path:?} cannot be used: {reason}")]
    Unreadable {
        /// The key (or option) that names the file.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file is not YAML, or not a mapping of keys.
    #[error("{path:?} is not a valid configuration file: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// An unknown key: a typing mistake must not silently leave a default in force.
    #[error("unknown key `{key}` ({origin}); known here: {known}")]
    UnknownKey {
        /// The whole key.
        key: String,
        /// Where it stands.
        origin: ValueOrigin,
        /// The keys of the same section.
        known: String,
    },
    /// A value its key cannot have.
    #[error("{key}: {value} is not valid ({origin}); expected {expects}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value as it was written (secrets only by their length).
        value: String,
        /// Where it was written.
        origin: ValueOrigin,
        /// What would be right.
        expects: String,
    },
    /// Values that are fine alone but not together.
    #[error("{key}: {reason}")]
    Conflict {
        /// The key to change.
        key: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}

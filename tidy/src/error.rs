//! Why the tree cannot be judged.

use std::path::{Path, PathBuf};

/// A file that cannot be read or understood.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system does not give it.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no Rust.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: syn::Error,
    },
    /// A `mod` without a file.
    #[error("{}: no file for `mod {module}`", path.display())]
    NoFile {
        /// The file with the declaration.
        path: PathBuf,
        /// The module.
        module: String,
    },
}

/// What reading the tree gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

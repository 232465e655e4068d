//! Objects in a bucket that speaks S3.
//!
//! The crate `object_store` speaks the protocol: signatures, multipart uploads, retries. Its requests go through a client
//! of ours, because the one it brings needs a TLS library that needs cmake.
//!
//! | module | subject |
//! |---|---|
//! | `location` | `s3://bucket/prefix`, `file:///folder` or a folder |
//! | `credentials` | keys from files |
//! | `connector` | HTTP for `object_store` |
//! | `bucket` | reading and writing objects |
//! | `double` | a server for tests |

mod bucket;
mod connector;
mod credentials;
#[cfg(feature = "testing")]
pub mod double;
mod location;

pub use bucket::{Bucket, BucketObject, BucketOptions, ObjectVersion};
pub use credentials::read_key_file;
pub use location::{BucketLocation, Location};

/// Why nothing was read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The location or an option cannot be used.
    #[error("{0}")]
    Options(String),
    /// There is no such object.
    #[error("there is no object {name}")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// The object is larger than expected.
    #[error("the object {name} has {bytes} bytes; at most {bytes_max} were expected")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Fewer bytes came than the server had announced.
    #[error("the object {name} ended after {got} of {bytes} bytes")]
    CutOff {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
        /// What came.
        got: u64,
    },
    /// Another writer was faster.
    #[error("the object {name} was changed by another writer")]
    Changed {
        /// Its name.
        name: String,
    },
    /// A file of this machine could not be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The server, or the way to it, has failed.
    #[error("the bucket: {0}")]
    Bucket(String),
}

//! RELOAD: an extension, for connections that agreed on the feature `cluster`.

use serde::{Deserialize, Serialize};

/// Result of RELOAD: the node has read its configuration, its tokens, certificates and keys again. It concerns the
/// answering node alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReloadResult {
    /// The keys whose values have changed since they were last read, and which are in force now.
    pub applied: Vec<String>,
    /// The files that have changed and are in force now: `tokens`, `tls`, `cluster.tls and cluster.secret_file`,
    /// `storage.encryption_key_file`.
    pub files: Vec<String>,
    /// The keys that differ from what the node runs with, and that need a restart.
    pub needs_restart: Vec<String>,
}

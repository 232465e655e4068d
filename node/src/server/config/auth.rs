//! Who may use the server, as configured.

use std::path::PathBuf;

/// Who may use the server.
#[derive(Debug, Clone, Default)]
pub struct AuthConfig {
    /// `auth.required`
    pub required: bool,
    /// `auth.token_hashes` and the lines of `auth.secrets_file`: SHA-256 of each token
    pub token_hashes: Vec<[u8; 32]>,
    /// `auth.token_hashes` alone
    pub(in crate::server) listed_hashes: Vec<[u8; 32]>,
    /// `auth.secrets_file`
    pub secrets_file: Option<PathBuf>,
    /// `auth.import_token_hashes`: SHA-256 of each token whose bearer may also import. All of them are in
    /// `token_hashes`, too.
    pub import_token_hashes: Vec<[u8; 32]>,
}

//! Who may use the server, as configured.
//!
//! | module | subject |
//! |---|---|
//! | `roles` | what a role may do; the roles that are built in, and those of `auth.roles` |
//! | `tokens_file` | tokens and certificates with names and roles |

mod roles;
pub(crate) mod tokens_file;

use std::path::PathBuf;

pub(crate) use roles::{Grant, Roles, Verb};
pub(crate) use tokens_file::NamedClient;

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
    /// `auth.tokens_file`
    pub tokens_file: Option<PathBuf>,
    /// What `auth.tokens_file` holds
    pub(in crate::server) named: Vec<NamedClient>,
    /// `auth.roles`, beside those that are built in
    pub(in crate::server) roles: Roles,
}

impl AuthConfig {
    /// Whether any client could authenticate.
    pub(in crate::server) fn knows_anyone(&self) -> bool {
        !self.token_hashes.is_empty() || !self.named.is_empty()
    }
}

//! The tokens that some clients show, and the file in which the nodes find their hashes.
//!
//! Authentication is not required, so the other clients go without. The file is the same for all nodes; a fault changes
//! the token as an operator does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;

use super::binaries;
use crate::Error;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// What clients show.
    pub secret: String,
    /// What the nodes know.
    hash: String,
}

impl AccessToken {
    fn of(secret: String) -> Result<Self, Error> {
        let hashed = Command::new(binaries::cli()?)
            .args(["hash-token", &secret])
            .output()
            .map_err(Error::io("rstmdb-cli"))?;
        let hash = String::from_utf8_lossy(&hashed.stdout).trim().to_owned();
        match hash.len() {
            64 => Ok(Self { secret, hash }),
            _ => Err(Error::Command(format!("hash-token said {hash:?}"))),
        }
    }

    /// What the log calls who shows it.
    pub fn actor(&self) -> String {
        format!("token:{}", &self.hash[..8])
    }
}

/// The tokens of a run. Clones are the same; there are none by default.
#[derive(Debug, Clone, Default)]
pub struct RunTokens {
    held: Option<Arc<Mutex<TokensHeld>>>,
}

#[derive(Debug)]
struct TokensHeld {
    file: PathBuf,
    present: AccessToken,
    given: u64,
    refused: Vec<String>,
}

impl RunTokens {
    /// The first token, in a file of this folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(folder: &Path) -> Result<Self, Error> {
        let present = AccessToken::of("chaos-0".to_owned())?;
        let held = TokensHeld {
            file: folder.join("tokens"),
            present: present.clone(),
            given: 0,
            refused: Vec::new(),
        };
        let tokens = Self {
            held: Some(Arc::new(Mutex::new(held))),
        };
        tokens.accept(&[&present])?;
        Ok(tokens)
    }

    /// The file, for the nodes' configuration.
    pub fn file(&self) -> Option<PathBuf> {
        Some(self.held.as_ref()?.lock().file.clone())
    }

    /// The token that clients show now.
    pub fn present(&self) -> Option<AccessToken> {
        Some(self.held.as_ref()?.lock().present.clone())
    }

    /// The token that the client of this number shows: every second one has one.
    pub fn of_client(&self, number: u32) -> Option<AccessToken> {
        self.present().filter(|_| number.is_multiple_of(2))
    }

    /// A token that no client has shown yet.
    ///
    /// # Errors
    /// When its hash cannot be computed.
    pub fn draw(&self) -> Result<Option<AccessToken>, Error> {
        let Some(held) = &self.held else {
            return Ok(None);
        };
        let number = {
            let mut held = held.lock();
            held.given += 1;
            held.given
        };
        AccessToken::of(format!("chaos-{number}")).map(Some)
    }

    /// From now on, nodes that read the file take these tokens and no others.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn accept(&self, tokens: &[&AccessToken]) -> Result<(), Error> {
        let Some(file) = self.file() else {
            return Ok(());
        };
        let hashes: Vec<&str> = tokens.iter().map(|token| &*token.hash).collect();
        // Renamed into place: a node that starts meanwhile must not find half of it.
        let new = file.with_extension("new");
        fs::write(&new, hashes.join("\n") + "\n").map_err(Error::io("the file of tokens"))?;
        fs::rename(&new, &file).map_err(Error::io("the file of tokens"))
    }

    /// From now on, clients show this token.
    pub fn switch(&self, to: AccessToken) {
        if let Some(held) = &self.held {
            held.lock().present = to;
        }
    }

    /// A node has refused a token. It must not, if clients still show that one.
    pub fn was_refused(&self, node: u64, token: &AccessToken) {
        if let Some(held) = &self.held {
            let mut held = held.lock();
            if held.present == *token {
                let secret = &token.secret;
                let what = format!("node {node} refused {secret}, which it has to know");
                held.refused.push(what);
            }
        }
    }

    /// What nodes have refused wrongly.
    pub fn refused(&self) -> Vec<String> {
        let refused = self.held.as_ref().map(|held| held.lock().refused.clone());
        refused.unwrap_or_default()
    }
}

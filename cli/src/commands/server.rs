//! The server itself: ping, info, whoami, replication-status; and hash-token, which needs no server.

pub(super) mod automation;
pub(super) mod clock;
pub(super) mod locks;
pub(super) mod profile;
pub(super) mod reload;
pub(super) mod summary;
pub(super) mod timers;
pub(super) mod top;

use std::time::Instant;

use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::NoParams;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::args::HashTokenArgs;
use crate::input::{self, STDIN};
use crate::session::CliSession;

pub(super) async fn ping(session: &CliSession) -> Result<(), Error> {
    let client = session.client().await?;
    let begin = Instant::now();
    let answer = session.call(op::PING, &NoParams {}).await?;
    let millis = begin.elapsed().as_secs_f64() * 1e3;
    if session.out.for_programs() {
        return session.print(op::PING, &answer.result);
    }
    let pong = session.out.paint.highlight("pong");
    let address = client.address();
    session
        .out
        .line(&format!("{pong} from {address} in {millis:.2} ms"))
}

pub(super) async fn info(session: &CliSession) -> Result<(), Error> {
    session.show(op::INFO, &NoParams {}).await
}

pub(super) async fn whoami(session: &CliSession) -> Result<(), Error> {
    session.show(op::WHOAMI, &NoParams {}).await
}

pub(super) async fn replication_status(session: &CliSession) -> Result<(), Error> {
    session.show(op::REPLICATION_STATUS, &NoParams {}).await
}

pub(super) fn hash_token(session: &CliSession, args: HashTokenArgs) -> Result<(), Error> {
    let token = match &args.plain_token {
        Some(token) => token.clone(),
        None => input::read_to_string(STDIN)?,
    };
    let token = token.trim_end_matches(['\r', '\n']);
    if token.is_empty() {
        return Err(Error::Usage("the token is empty".to_owned()));
    }
    session.out.line(&match &args.name {
        Some(name) => entry(name, token, &args),
        None => hash(token),
    })
}

/// An entry for `auth.tokens_file`. Texts are quoted as in JSON, which YAML reads.
fn entry(name: &str, token: &str, args: &HashTokenArgs) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let roles: Vec<String> = args.role.iter().map(|role| quoted(role)).collect();
    let (name, hash, roles) = (quoted(name), hash(token), roles.join(", "));
    let mut entry = format!("- name: {name}\n  hash: {hash}\n  roles: [{roles}]");
    if let Some(expires) = &args.expires {
        entry += &format!("\n  expires: {}", quoted(expires));
    }
    entry
}

/// SHA-256, in lower-case hex.
fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_for_the_tokens_file_has_what_was_given() {
        let args = HashTokenArgs {
            plain_token: None,
            name: None,
            role: vec!["writer".to_owned(), "own: role".to_owned()],
            expires: Some("2027-01-31".to_owned()),
        };
        assert_eq!(
            entry("a \"shop\"", "secret", &args),
            format!(
                "- name: \"a \\\"shop\\\"\"\n  hash: {}\n  roles: [\"writer\", \"own: role\"]\n  expires: \"2027-01-31\"",
                hash("secret")
            )
        );
    }

    #[test]
    fn a_token_is_hashed_as_the_server_expects() {
        assert_eq!(
            hash("secret"),
            "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
        );
    }
}

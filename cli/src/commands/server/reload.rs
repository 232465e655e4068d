//! reload.

use rstmdb_rcp::message::storage::reload::ReloadResult;
use serde_json::json;

use crate::Error;
use crate::commands::keys;
use crate::session::{Session, from_client};

/// Asks every member. One that cannot be reached, or that refuses, does not keep the others from reading theirs.
pub(in crate::commands) async fn run(session: &Session) -> Result<(), Error> {
    let mut nodes = Vec::new();
    let mut failed = None;
    for addr in keys::addresses(session).await? {
        match reload(session, &addr).await {
            Ok(result) => {
                if !session.out.json {
                    session.out.line(&told(&addr, &result))?;
                }
                nodes.push(json!({"rcp_addr": addr, "result": result}));
            }
            Err(error) => {
                if failed.is_some() {
                    // The first one ends the command; the others would be lost.
                    eprintln!("{error}");
                }
                failed.get_or_insert(error);
            }
        }
    }
    if session.out.json {
        session.out.json_line(&json!({"nodes": nodes}))?;
    }
    failed.map_or(Ok(()), Err)
}

async fn reload(session: &Session, addr: &str) -> Result<ReloadResult, Error> {
    let member = keys::connect(session, addr.to_owned()).await?;
    match member.client.reload().await.map_err(from_client) {
        Ok(answer) => Ok(answer.result),
        Err(Error::Refused(mut body)) => {
            body.message = format!("{addr}: {}", body.message).into();
            Err(Error::Refused(body))
        }
        Err(error) => Err(error),
    }
}

/// What a node did, for people.
fn told(addr: &str, result: &ReloadResult) -> String {
    let in_force: Vec<&str> = [&result.applied, &result.files]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let in_force = match in_force.as_slice() {
        [] => "nothing has changed".to_owned(),
        changed => format!("in force now: {}", changed.join(", ")),
    };
    match result.needs_restart.as_slice() {
        [] => format!("{addr}: {in_force}"),
        keys => format!("{addr}: {in_force}; needs a restart: {}", keys.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_what_is_in_force_and_what_needs_a_restart() {
        let mut result = ReloadResult::default();
        assert_eq!(told("a:1", &result), "a:1: nothing has changed");
        result.applied = vec!["logging.level".into()];
        result.files = vec!["tokens".into()];
        result.needs_restart = vec!["network.bind_addr".into()];
        assert_eq!(
            told("a:1", &result),
            "a:1: in force now: logging.level, tokens; needs a restart: network.bind_addr"
        );
    }
}

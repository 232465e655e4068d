//! reload.

use rstmdb_rcp::message::storage::reload::ReloadResult;
use serde_json::json;

use crate::Error;
use crate::commands::keys;
use crate::session::{CliSession, from_client};

/// Asks every member. One that cannot be reached, or that refuses, does not keep the others from reading theirs.
pub(in crate::commands) async fn run(session: &CliSession) -> Result<(), Error> {
    let mut nodes = Vec::new();
    let mut failures = Vec::new();
    for addr in keys::addresses(session).await? {
        match reload(session, &addr).await {
            Ok(result) => {
                if !session.out.for_programs() {
                    session.out.line(&told(&addr, &result))?;
                }
                nodes.push(json!({"rcp_addr": addr, "result": result}));
            }
            Err(error) => {
                nodes.push(json!({"rcp_addr": addr, "error": error.to_string()}));
                failures.push(error);
            }
        }
    }
    if session.out.for_programs() {
        session.out.value(&json!({"nodes": nodes}))?;
    }
    let Some(worst) = worst(&failures) else {
        return Ok(());
    };
    let ends_with = failures.swap_remove(worst);
    // The worst one ends the command and prints itself; the others would be lost. Programs have them in the result.
    if !session.out.errors_are_json() {
        for report in failures.iter().filter_map(Error::report) {
            eprintln!("{report}");
        }
    }
    Err(ends_with)
}

/// The failure that decides the exit code. A node that cannot use its files needs someone to mend them. A node that is
/// down reads its files when it starts.
fn worst(failures: &[Error]) -> Option<usize> {
    let severity = |error: &Error| match error.exit_code() {
        3 => 0,
        4 => 1,
        _ => 2,
    };
    let ranked = failures.iter().enumerate();
    // Of equal ones the first.
    let worst = ranked.max_by_key(|(at, error)| (severity(error), failures.len() - at));
    worst.map(|(at, _)| at)
}

async fn reload(session: &CliSession, addr: &str) -> Result<ReloadResult, Error> {
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
    fn a_broken_file_counts_for_more_than_a_node_that_is_down() {
        let down = || Error::NoConnection("b:1".to_owned());
        let silent = || Error::Timeout("c:1".to_owned());
        let broken = || Error::Failed("a:1: no key".to_owned());
        assert_eq!(worst(&[]), None);
        assert_eq!(worst(&[down(), broken(), silent()]), Some(1));
        assert_eq!(worst(&[down(), silent()]), Some(1));
        assert_eq!(worst(&[down(), down()]), Some(0));
    }

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

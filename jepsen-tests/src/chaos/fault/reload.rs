//! Tokens and limits that change while the nodes run, as an operator changes them: first the new token beside the old
//! one, then clients move over, then the old one goes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BegunFault, EndFault, FaultFindings, Scene};
use crate::Error;
use crate::chaos::nodes::Nodes;
use crate::harness::wait::within;
use crate::process::tokens::{AccessToken, RunTokens};
use crate::rcp::raw::RawConnection;

/// How long a node may take to read its files.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections that show a revoked token end within this time on a busy machine.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// The limit that changes. No client comes near it.
const LIMIT: &str = "storage.max_machine_versions";
/// The least value of the limit.
const LIMIT_MIN: u64 = 200;

/// Changes the token that clients show, and a limit.
pub fn change(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let Some(tokens) = scene.nodes.tokens().filter(|_| scene.held.is_empty()) else {
        return Ok(None);
    };
    let (Some(old), Some(new)) = (tokens.present(), tokens.draw()?) else {
        return Ok(None);
    };
    tokens.accept(&[&old, &new])?;
    let ids = scene.nodes.ids();
    let limit = LIMIT_MIN + scene.number;
    let mut open = Vec::new();
    for id in &ids {
        if let Some(processes) = scene.nodes.processes() {
            processes
                .cluster()
                .node(*id)?
                .change_key(LIMIT, &limit.to_string())?;
        }
        // A node that does not answer now may not know the new token. Then no client may show it yet.
        let Ok(reloaded) = reload(scene.nodes, *id) else {
            return Ok(None);
        };
        let is_applied = applied(&reloaded).any(|key| key == LIMIT);
        if !is_applied {
            let what = format!("node {id} has reloaded, and not {LIMIT}: {reloaded}");
            scene.findings.lock().push(what);
        }
        let Ok(connection) = shown(scene.nodes, *id, &new) else {
            return Ok(None);
        };
        drop(connection);
        open.extend(
            shown(scene.nodes, *id, &old)
                .ok()
                .map(|connection| (*id, connection)),
        );
    }
    tokens.switch(new.clone());
    let what = format!("{} instead of {} on {ids:?}", new.secret, old.secret);
    Ok(Some(BegunFault {
        what,
        holds: BTreeSet::new(),
        healing: revoking(tokens, [old, new], ids, open, scene.findings.clone()),
    }))
}

/// Takes the old token away from each node, and looks whether it is gone.
fn revoking(
    tokens: RunTokens,
    [old, new]: [AccessToken; 2],
    mut left: Vec<u64>,
    mut open: Vec<(u64, RawConnection)>,
    findings: FaultFindings,
) -> EndFault {
    Box::new(move |nodes: &mut dyn Nodes| {
        tokens.accept(&[&new])?;
        let members = nodes.ids();
        left.retain(|id| members.contains(id));
        while let Some(id) = left.last().copied() {
            if reload(nodes, id).is_err() {
                return Ok(false);
            }
            left.pop();
            if shown(nodes, id, &old).is_ok() {
                let what = format!("node {id} has reloaded, and takes {} still", old.secret);
                findings.lock().push(what);
            }
            for (_, connection) in open.iter_mut().filter(|(at, _)| *at == id) {
                let ended = within(ENDED_WITHIN, || match read(connection) {
                    Ok(_) => Err("it is open".to_owned()),
                    Err(_) => Ok(()),
                });
                if ended.is_err() {
                    let what = format!("node {id} lets a connection with {} go on", old.secret);
                    findings.lock().push(what);
                }
            }
        }
        Ok(true)
    })
}

fn reload(nodes: &dyn Nodes, id: u64) -> Result<Value, Error> {
    nodes.ask(id, "RELOAD", &json!({}), RELOAD_TIMEOUT)
}

fn applied(reloaded: &Value) -> impl Iterator<Item = &str> {
    let keys = reloaded["applied"].as_array().into_iter().flatten();
    keys.filter_map(Value::as_str)
}

/// A connection to a node that has taken this token.
fn shown(nodes: &dyn Nodes, id: u64, token: &AccessToken) -> Result<RawConnection, Error> {
    let mut connection = RawConnection::connect_within(nodes.addr(id)?, RELOAD_TIMEOUT)?;
    connection.authenticate(&token.secret)?;
    Ok(connection)
}

fn read(connection: &mut RawConnection) -> Result<Value, Error> {
    let read = json!({"limit": 1, "consistency": "local"});
    connection.call("LIST_INSTANCES", &read)
}

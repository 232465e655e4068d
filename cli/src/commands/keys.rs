//! rotate-key.

use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::{InfoResult, NoParams};
use rstmdb_rcp::message::storage::keys::{RotateKey, RotateKeyResult};
use serde_json::json;

use crate::Error;
use crate::session::{CliSession, from_client};

/// A member and its address.
pub(super) struct KeyMember {
    pub(super) addr: String,
    pub(super) client: Client,
}

/// First lets every node learn the keys, and only then lets each use the last one. A node that uses the new
/// key may send its snapshot to any other node.
pub(super) async fn rotate(session: &CliSession) -> Result<(), Error> {
    let members = members(session).await?;
    let mut learned = Vec::new();
    for member in &members {
        learned.push((&member.addr, member.rotate(None).await?));
    }
    check_agreement(&learned)?;
    if learned
        .iter()
        .all(|(_, keys)| keys.key_id == keys.last_key_id)
    {
        eprintln!("nothing to rotate: every node already uses the last key of its key file");
    }
    let mut rotated = Vec::new();
    for member in &members {
        rotated.push((&member.addr, member.rotate(Some(true)).await?));
    }
    if session.out.for_programs() {
        let nodes = rotated.iter().map(|(addr, result)| {
            json!({"rcp_addr": addr, "key_id": result.key_id, "known": result.known})
        });
        let nodes: Vec<_> = nodes.collect();
        return session.out.value(&json!({"nodes": nodes}));
    }
    for (addr, result) in rotated {
        session.out.line(&format!(
            "{addr}: new files are encrypted with key {} (known: {})",
            result.key_id,
            result
                .known
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ))?;
    }
    Ok(())
}

/// Checks that the key files of all nodes end with the same key, before any node uses it.
fn check_agreement(learned: &[(&String, RotateKeyResult)]) -> Result<(), Error> {
    let last = |keys: &RotateKeyResult| {
        let (id, fingerprint) = (keys.last_key_id, &keys.last_key_fingerprint);
        format!("key {id} with fingerprint {fingerprint}")
    };
    let first = learned.first().map(|(_, keys)| last(keys));
    if learned.iter().all(|(_, keys)| Some(last(keys)) == first) {
        return Ok(());
    }
    let each = learned
        .iter()
        .map(|(addr, keys)| format!("{addr}: {}", last(keys)));
    Err(Error::Failed(format!(
        "nothing was rotated: the key files do not end with the same key ({}); every node needs the \
         same file",
        each.collect::<Vec<_>>().join(", ")
    )))
}

/// Connects to all members before changing anything on one of them. A single node is reached at the address
/// from the command line.
async fn members(session: &CliSession) -> Result<Vec<KeyMember>, Error> {
    let mut connected = Vec::new();
    for addr in addresses(session).await? {
        connected.push(connect(session, addr).await?);
    }
    Ok(connected)
}

/// Where clients reach each member.
pub(super) async fn addresses(session: &CliSession) -> Result<Vec<String>, Error> {
    let info: InfoResult<'_> = session.ask(op::INFO, &NoParams {}).await?;
    let members = info.cluster.map(|cluster| cluster.members);
    Ok(match members.unwrap_or_default().as_slice() {
        [] | [_] => vec![session.client().await?.address().to_string()],
        members => members
            .iter()
            .map(|member| member.rcp_addr.to_string())
            .collect(),
    })
}

pub(super) async fn connect(session: &CliSession, addr: String) -> Result<KeyMember, Error> {
    let options = ClientOptions {
        addrs: vec![addr.clone()],
        ..session.own_options()
    };
    let client = session.connect(options).await?;
    Ok(KeyMember { addr, client })
}

impl KeyMember {
    async fn rotate(&self, switch: Option<bool>) -> Result<RotateKeyResult, Error> {
        let answer = self.client.rotate_key(&RotateKey { switch }).await;
        match answer.map_err(from_client) {
            Ok(answer) => Ok(answer.result),
            Err(Error::Refused(mut body)) => {
                body.message = format!("{}: {}", self.addr, body.message).into();
                Err(Error::Refused(body))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(last_key_id: u32, fingerprint: &str) -> RotateKeyResult {
        RotateKeyResult {
            key_id: 1,
            last_key_id,
            last_key_fingerprint: fingerprint.into(),
            known: vec![1],
        }
    }

    #[test]
    fn nothing_is_rotated_while_one_node_lacks_the_new_key() {
        let (a, b) = ("a:1".to_owned(), "b:1".to_owned());
        assert!(check_agreement(&[(&a, keys(2, "f")), (&b, keys(2, "f"))]).is_ok());
        for other in [keys(1, "e"), keys(2, "e")] {
            let refused = check_agreement(&[(&a, keys(2, "f")), (&b, other)]);
            let Err(refused) = refused else {
                panic!("two keys pass for one");
            };
            let text = refused.to_string();
            assert!(text.contains("a:1: key 2 with fingerprint f"), "{text}");
        }
    }
}

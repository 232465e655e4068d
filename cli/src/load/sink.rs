//! Sending: an instance's operations always take the same connection.

use std::hash::{DefaultHasher, Hash, Hasher};

use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::NoParams;
use rstmdb_rcp::message::storage::WalStatsResult;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lanes::{LoadEffect, Sink};
use super::reader::LoadLine;
use crate::Error;
use crate::session::{CliSession, from_client};

/// Several connections to the server.
pub struct ClientSink {
    clients: Vec<Client>,
    /// The log's head before the load. A result at or below this offset is from an earlier write.
    head: u64,
}

impl ClientSink {
    /// Opens the connections.
    pub async fn connect(
        session: &CliSession,
        options: &ClientOptions,
        connections: usize,
    ) -> Result<ClientSink, Error> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(session.connect(options.clone()).await?);
        }
        let stats: WalStatsResult = session.ask(op::WAL_STATS, &NoParams {}).await?;
        Ok(ClientSink {
            clients,
            head: stats.latest_offset,
        })
    }

    /// Closes the connections.
    pub async fn close(self) {
        for client in self.clients {
            client.close().await;
        }
    }

    fn client(&self, line: &LoadLine) -> &Client {
        let mut hasher = DefaultHasher::new();
        line.lane.hash(&mut hasher);
        let lanes = self.clients.len() as u64;
        &self.clients[(hasher.finish() % lanes) as usize]
    }
}

impl Sink for ClientSink {
    async fn send(&self, line: &LoadLine) -> Result<LoadEffect, Error> {
        let answer = self.client(line).call_raw(&line.op, &line.params).await;
        Ok(effect(&answer.map_err(from_client)?.result, self.head))
    }
}

/// Whether the write was made now or before this load. `applied: false` alone does not tell this, because our
/// own retries get it too.
fn effect(result: &RawValue, head: u64) -> LoadEffect {
    #[derive(Deserialize)]
    struct Marks {
        created: Option<bool>,
        wal_offset: Option<u64>,
    }
    let replayed = match serde_json::from_str::<Marks>(result.get()) {
        Ok(Marks {
            wal_offset: Some(offset),
            ..
        }) => offset <= head,
        Ok(marks) => marks.created == Some(false),
        Err(_) => false,
    };
    if replayed {
        LoadEffect::Replayed
    } else {
        LoadEffect::Applied
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_result_tells_whether_it_is_of_before_the_load() {
        for (result, expected) in [
            (r#"{"wal_offset":10,"applied":false}"#, LoadEffect::Replayed),
            (r#"{"wal_offset":11,"applied":false}"#, LoadEffect::Applied),
            (r#"{"wal_offset":11,"applied":true}"#, LoadEffect::Applied),
            (r#"{"machine":"m","created":false}"#, LoadEffect::Replayed),
            (r#"{"machine":"m","created":true}"#, LoadEffect::Applied),
            (r#"{"instances":[]}"#, LoadEffect::Applied),
        ] {
            let raw = RawValue::from_string(result.to_owned()).unwrap();
            assert_eq!(effect(&raw, 10), expected, "{result}");
        }
    }
}

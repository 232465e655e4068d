//! Notices a server that has gone silent while calls wait: a stopped process, a host without power, a network
//! that drops all packets. None of these closes the connection.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::ConnectionShared;
use crate::client::Error;
use crate::frame::Flags;
use crate::message::{op, request};
use crate::wire;

/// The server stops reading a connection while it works on 1024 of its requests. A PING after that many
/// proves nothing about the server.
const ASKABLE_BEHIND_MAX: u64 = 1000;
/// How many times within the patience the driver checks for progress.
const LOOKS: u32 = 10;

/// Returns when the server counts as gone; never without a patience.
pub(super) async fn noticed(shared: &ConnectionShared, patience: Option<Duration>) -> Error {
    let Some(patience) = patience else {
        return std::future::pending().await;
    };
    loop {
        let Some(heard) = shared.heard_while_busy() else {
            shared.busy.notified().await;
            continue;
        };
        sleep(patience / 2).await;
        if shared.heard_while_busy() != Some(heard) {
            continue;
        }
        // A server that is only slow, for example during an election, answers a PING at once.
        if let Some(ping) = shared.ask_for_life()
            && !is_alive(shared, heard, ping, patience).await
        {
            return Error::Disconnected {
                reason: "the server has sent nothing for too long".to_owned(),
                outcome_unknown: false,
            };
        }
    }
}

/// Waits for anything from the server; false when nothing comes for `patience` after the PING left.
async fn is_alive(shared: &ConnectionShared, heard: u64, ping: u64, patience: Duration) -> bool {
    let mut before = shared.written(ping);
    let mut since = Instant::now();
    while since.elapsed() < patience {
        sleep(patience / LOOKS).await;
        if shared.lock().heard != heard {
            return true;
        }
        // Until the PING is sent, earlier requests may still be in transmission. Later writes prove nothing,
        // because the operating system accepts some bytes even if the server is dead.
        let now = shared.written(ping);
        if now != before && !before.1 {
            since = Instant::now();
        }
        before = now;
    }
    false
}

impl ConnectionShared {
    /// How many reads brought data; `None` if no call waits.
    fn heard_while_busy(&self) -> Option<u64> {
        let state = self.lock();
        (!state.waiting.is_empty()).then_some(state.heard)
    }

    /// How many writes there were, and whether this request has left to the last byte.
    fn written(&self, id: u64) -> (u64, bool) {
        let state = self.lock();
        (state.writes, id < state.written_below)
    }

    /// Queues a PING whose answer no call takes, and returns its id. `None` if its answer would prove nothing.
    fn ask_for_life(&self) -> Option<u64> {
        let params = RawValue::from_string("{}".to_owned()).ok()?;
        let mut state = self.lock();
        let id = state.next_id;
        if id.saturating_sub(state.answered) >= ASKABLE_BEHIND_MAX {
            return None;
        }
        wire::encode_with(self.mode, &mut state.outbox, Flags::NONE, |out| {
            request::write_numbered(out, id, op::PING, &params)
        })
        .ok()?;
        state.next_id += 1;
        drop(state);
        self.outbox_filled.notify_one();
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::timeout;

    use super::*;
    use crate::client::connection::{Connection, PendingCall};
    use crate::client::dial::DialedLink;
    use crate::frame::FrameLimits;
    use crate::message::{RequestHead, response};
    use crate::wire::{Decoder, WireMode};

    const PATIENCE: Duration = Duration::from_secs(1);
    const PIPE_BYTES: usize = 64 * 1024;

    fn connect() -> (Arc<Connection>, DuplexStream) {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let (read, write) = tokio::io::split(client);
        let link = DialedLink::new(Box::new(read), Box::new(write), 0, "here".to_owned());
        (Connection::start(link, Some(PATIENCE)), server)
    }

    fn call(connection: &Arc<Connection>, params: &str) -> PendingCall {
        let params = RawValue::from_string(params.to_owned()).unwrap();
        let queued = connection.enqueue(op::INFO, &params);
        queued.map_err(|lost| lost.error).unwrap()
    }

    /// Reads requests and answers each PING, and nothing else.
    async fn answer_pings(mut server: DuplexStream) {
        let mut decoder = Decoder::new(WireMode::Binary, FrameLimits::default());
        let mut buf = bytes::BytesMut::new();
        while server.read_buf(&mut buf).await.is_ok_and(|count| count > 0) {
            while let Some(message) = decoder.take(&mut buf).unwrap() {
                let head = RequestHead::parse(&message.payload).unwrap();
                if head.op == op::PING {
                    let mut out = bytes::BytesMut::new();
                    let pong = serde_json::json!({"pong": true});
                    response::encode_ok(WireMode::Binary, &mut out, &head.id, &pong, None).unwrap();
                    server.write_all(&out).await.unwrap();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stopped_is_given_up_after_one_and_a_half_times_the_patience() {
        let (connection, _server) = connect();
        // While no call waits, silence says nothing.
        sleep(PATIENCE * 100).await;
        assert!(connection.is_usable());
        let mut waiting = call(&connection, "{}");
        let begun = Instant::now();
        let lost = waiting.answer().await.err().unwrap();
        assert!(lost.sent);
        assert!(
            matches!(&*lost.error, Error::Disconnected { reason, .. } if reason.contains("sent nothing"))
        );
        let took = begun.elapsed();
        assert!(took >= PATIENCE && took < PATIENCE * 2, "{took:?}");
        assert!(!connection.is_usable());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_only_slow_is_waited_for() {
        let (connection, server) = connect();
        tokio::spawn(answer_pings(server));
        let mut waiting = call(&connection, "{}");
        assert!(timeout(PATIENCE * 60, waiting.answer()).await.is_err());
        assert!(connection.is_usable());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_still_moving_is_no_silence() {
        let (connection, mut server) = connect();
        let mut waiting = call(
            &connection,
            &format!("{{\"a\":\"{}\"}}", "x".repeat(PIPE_BYTES * 20)),
        );
        let mut chunk = vec![0; PIPE_BYTES];
        for _ in 0..20 {
            assert!(timeout(PATIENCE / 2, waiting.answer()).await.is_err());
            server.read_exact(&mut chunk).await.unwrap();
        }
        assert!(connection.is_usable());
        // And then it moves no more.
        let lost = timeout(PATIENCE * 3, waiting.answer()).await.unwrap();
        assert!(lost.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn behind_more_requests_than_the_server_reads_a_ping_proves_nothing() {
        let (connection, server) = connect();
        let _calls: Vec<PendingCall> = (0..=ASKABLE_BEHIND_MAX)
            .map(|_| call(&connection, "{}"))
            .collect();
        sleep(PATIENCE * 10).await;
        assert!(connection.is_usable());
        drop(server);
    }
}

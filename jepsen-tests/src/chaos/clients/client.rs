//! A client of a workload: one request or one pipeline at a time, everything recorded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use serde_json::Value;

use crate::Error;
use crate::chaos::history::{HistoryEntry, Recorder, RequestOutcome, Workload};
use crate::harness::rng::Rng;
use crate::load::said;
use crate::process::tokens::{AccessToken, RunTokens};
use crate::rcp::raw::{RawConnection, RawMessage};

/// Longer than a node keeps a request waiting. After this time, the answer is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a client waits for the greeting of a node.
const HELLO_TIMEOUT: Duration = Duration::from_millis(700);
/// The pause after a node that cannot be reached, or could not carry out the request.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// How often a client changes to another node, in percent of its requests.
const CHANGE_PERCENT: u64 = 5;

/// The client number of the suite itself, for requests before and after the load.
pub const SUITE: u32 = u32::MAX;

/// Where clients find the nodes at the moment.
pub type NodeDirectory = Arc<RwLock<Vec<(u64, SocketAddr)>>>;

/// What all clients of a run share.
#[derive(Debug, Clone)]
pub struct ClientsShared {
    /// The nodes.
    pub directory: NodeDirectory,
    /// Records what they did.
    pub recorder: Arc<Recorder>,
    /// Set when the load must end.
    pub stop: Arc<AtomicBool>,
    /// What clients show who have a token.
    pub tokens: RunTokens,
}

/// A client.
#[derive(Debug)]
pub struct ChaosClient {
    /// Its number, unique in the run.
    pub number: u32,
    /// Its choices.
    pub rng: Rng,
    /// The workload that its requests belong to, unless a request names another.
    pub workload: Workload,
    shared: ClientsShared,
    connection: Option<(u64, RawConnection)>,
    /// The token that this client has shown on its connection.
    token: Option<AccessToken>,
}

impl ChaosClient {
    /// A client that is not connected yet.
    pub fn new(number: u32, workload: Workload, rng: Rng, shared: &ClientsShared) -> Self {
        Self {
            number,
            rng,
            workload,
            shared: shared.clone(),
            connection: None,
            token: None,
        }
    }

    /// Whether the load must end.
    pub fn is_over(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// Continues with this node.
    pub fn go_to(&mut self, node: u64) {
        let directory = self.shared.directory.read().clone();
        let addr = directory.into_iter().find(|(id, _)| *id == node);
        let connect = |addr| RawConnection::connect_within(addr, ANSWER_TIMEOUT).ok();
        self.token = None;
        self.connection = addr.and_then(|(id, addr)| Some((id, connect(addr)?)));
    }

    /// Sends a request to a node; `None` when the load ends before one can be reached.
    pub fn call(&mut self, op: &str, params: Value) -> Option<RequestOutcome> {
        self.call_for(self.workload, op, params)
    }

    /// As [`Self::call`], for another workload.
    pub fn call_for(
        &mut self,
        workload: Workload,
        op: &str,
        mut params: Value,
    ) -> Option<RequestOutcome> {
        self.say(op, &mut params);
        let (node, mut connection) = self.connected()?;
        let begun = self.shared.recorder.now();
        let answer = ask(&mut connection, op, &params);
        let ended = self.shared.recorder.now();
        let (outcome, keeps) = judge(answer);
        if !keeps {
            std::thread::sleep(RECONNECT_PAUSE);
        } else if !self.rng.percent(CHANGE_PERCENT) {
            self.connection = Some((node, connection));
        }
        self.shared.recorder.take(HistoryEntry {
            workload,
            client: self.number,
            pipeline: 0,
            node,
            actor: self.actor(),
            begun,
            ended,
            op: op.to_owned(),
            params,
            outcome: outcome.clone(),
        });
        Some(outcome)
    }

    /// Sends requests on one connection without waiting in between, and waits for all answers.
    pub fn pipeline(&mut self, op: &str, mut all: Vec<Value>) {
        for params in &mut all {
            self.say(op, params);
        }
        let Some((node, mut connection)) = self.connected() else {
            return;
        };
        let recorder = self.shared.recorder.clone();
        let begun = recorder.now();
        let (answers, lost) = ask_all(&mut connection, op, &all, &recorder);
        let mut keeps = lost.is_none();
        let why = lost.map_or_else(String::new, |error| error.to_string());
        let pipeline = recorder.next_pipeline();
        for (params, answer) in all.into_iter().zip(answers) {
            let (ended, (outcome, is_of_use)) = match answer {
                Some((ended, answer)) => (ended, judge(Ok(answer))),
                None => (
                    recorder.now(),
                    (RequestOutcome::Unknown { why: why.clone() }, false),
                ),
            };
            keeps &= is_of_use;
            recorder.take(HistoryEntry {
                workload: self.workload,
                client: self.number,
                pipeline,
                node,
                actor: self.actor(),
                begun,
                ended,
                op: op.to_owned(),
                params,
                outcome,
            });
        }
        if keeps {
            self.connection = Some((node, connection));
        } else {
            std::thread::sleep(RECONNECT_PAUSE);
        }
    }

    /// The result of a request that was done.
    pub fn result(&mut self, op: &str, params: Value) -> Option<Value> {
        match self.call(op, params)? {
            RequestOutcome::Ok(result) => Some(result),
            RequestOutcome::Refused { .. } | RequestOutcome::Unknown { .. } => None,
        }
    }

    /// Adds what it says about a write. The suite itself says nothing: its writes come before the level allows it.
    fn say(&self, op: &str, params: &mut Value) {
        if self.number != SUITE {
            said::add(op, params);
        }
    }

    fn actor(&self) -> String {
        self.token
            .as_ref()
            .map(AccessToken::actor)
            .unwrap_or_default()
    }

    /// Shows the present token, if this client has one. Returns whether the connection can be used.
    fn authenticate(&mut self, node: u64, connection: &mut RawConnection) -> bool {
        self.token = None;
        let Some(token) = self.shared.tokens.of_client(self.number) else {
            return true;
        };
        match connection.authenticate(&token.secret) {
            Ok(()) => {
                self.token = Some(token);
                true
            }
            Err(Error::Refused { .. }) => {
                self.shared.tokens.was_refused(node, &token);
                false
            }
            Err(_) => false,
        }
    }

    fn connected(&mut self) -> Option<(u64, RawConnection)> {
        if let Some(connection) = self.connection.take() {
            return Some(connection);
        }
        loop {
            if self.is_over() {
                return None;
            }
            let directory = self.shared.directory.read().clone();
            let (node, addr) = *self.rng.pick(&directory);
            if let Ok(mut connection) = RawConnection::connect_within(addr, HELLO_TIMEOUT)
                && connection.set_timeout(ANSWER_TIMEOUT).is_ok()
                && self.authenticate(node, &mut connection)
            {
                return Some((node, connection));
            }
            std::thread::sleep(RECONNECT_PAUSE);
        }
    }
}

/// The answer, or the reason why none came.
fn ask(
    connection: &mut RawConnection,
    op: &str,
    params: &Value,
) -> Result<Result<Value, ErrorBody>, Error> {
    let sent = connection.queue(op, params);
    connection.flush()?;
    loop {
        match connection.receive()? {
            RawMessage::Response { id, outcome } if id == sent || id.is_empty() => {
                return Ok(outcome);
            }
            RawMessage::Response { .. }
            | RawMessage::Event(_)
            | RawMessage::Progress(_)
            | RawMessage::End(_) => {}
        }
    }
}

/// An answer and when it came, for those requests that have one.
type BurstAnswers = Vec<Option<(u64, Result<Value, ErrorBody>)>>;

/// The answers that came, and why no more did.
fn ask_all(
    connection: &mut RawConnection,
    op: &str,
    all: &[Value],
    recorder: &Recorder,
) -> (BurstAnswers, Option<Error>) {
    let mut answers: BurstAnswers = vec![None; all.len()];
    let ids: Vec<String> = all
        .iter()
        .map(|params| connection.queue(op, params))
        .collect();
    let mut receive = || {
        connection.flush()?;
        while answers.iter().any(Option::is_none) {
            if let RawMessage::Response { id, outcome } = connection.receive()?
                && let Some(at) = ids.iter().position(|sent| *sent == id)
            {
                answers[at] = Some((recorder.now(), outcome));
            }
        }
        Ok(())
    };
    let lost = receive().err();
    (answers, lost)
}

/// What an answer says about the request, and whether the connection can still be used.
fn judge(answer: Result<Result<Value, ErrorBody>, Error>) -> (RequestOutcome, bool) {
    match answer {
        Ok(Ok(result)) => (RequestOutcome::Ok(result), true),
        // The connection's token was revoked meanwhile; the node ends the connection.
        Ok(Err(body)) if body.code == Code::Unauthorized => {
            let why = body.to_string();
            (RequestOutcome::Unknown { why }, false)
        }
        Ok(Err(body)) => {
            let keeps = !matches!(
                body.code,
                Code::NoLeader | Code::Timeout | Code::ReadOnlyMode
            );
            (refusal(body), keeps)
        }
        Err(error) => {
            let why = error.to_string();
            (RequestOutcome::Unknown { why }, false)
        }
    }
}

/// What an error says about the request. For a write without a key, `retryable` tells whether it may have
/// been done. For a write with a key, it only tells that the client may send it again.
pub fn refusal(body: ErrorBody) -> RequestOutcome {
    let is_definite = !body.outcome_unknown()
        && (!body.retryable || matches!(body.code, Code::NoLeader | Code::ReadOnlyMode));
    if is_definite {
        RequestOutcome::Refused {
            code: body.code.to_string(),
            details: body.details.unwrap_or_default(),
        }
    } else {
        let why = body.to_string();
        RequestOutcome::Unknown { why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_certainly_was_not_done_is_a_refusal() {
        let of = |body| matches!(judge(Ok(Err(body))).0, RequestOutcome::Refused { .. });
        assert!(of(ErrorBody::new(Code::Conflict, "no")));
        assert!(of(ErrorBody::new(Code::NoLeader, "no")));
        assert!(!of(
            ErrorBody::new(Code::Timeout, "late").with_unknown_outcome()
        ));
        assert!(!of(ErrorBody::new(Code::InternalError, "hm")));
        let (outcome, keeps) = judge(Err(Error::Closed));
        assert!(matches!(outcome, RequestOutcome::Unknown { .. }) && !keeps);
    }
}

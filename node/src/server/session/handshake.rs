//! HELLO, AUTH, PING, BYE: what belongs to the connection itself.

use std::sync::Arc;
use std::time::Instant;

use rstmdb_rcp::feature::Features;
use rstmdb_rcp::frame::Limits;
use rstmdb_rcp::message::session::{Auth, Hello, HelloResult};
use rstmdb_rcp::message::{ErrorBody, Params, op};
use rstmdb_rcp::wire::WireMode;
use rstmdb_rcp::{Code, PAYLOAD_BYTES_MAX, PROTOCOL_VERSION};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{STRANGER_PAYLOAD_BYTES_MAX, Session};
use crate::server::json::{self, Object};
use crate::server::ops::Op;
use crate::server::shared::{SERVER_NAME, SERVER_VERSION};

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Peer {
    hello: bool,
    authenticated: bool,
    actor: Arc<str>,
    /// Since when it is not known who is there.
    unknown_since: Instant,
    /// Wrong tokens so far.
    failures: u32,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            hello: false,
            authenticated: false,
            actor: "".into(),
            unknown_since: Instant::now(),
            failures: 0,
        }
    }
}

impl Peer {
    /// Whether HELLO is done, and AUTH where it is required.
    pub(super) fn is_known(&self, auth_required: bool) -> bool {
        self.hello && (self.authenticated || !auth_required)
    }

    /// Since when that is not so: from the connection's begin, or the last AUTH that failed after one that had not.
    pub(super) fn unknown_since(&self) -> Instant {
        self.unknown_since
    }

    /// Wrong tokens so far.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The name that facts carry as who asked.
    pub(super) fn actor(&self) -> &Arc<str> {
        &self.actor
    }

    /// Why the operation is not allowed now.
    pub(super) fn refusal(&self, op: Op, auth_required: bool) -> Option<ErrorBody> {
        if !self.hello && op != Op::Hello {
            let message = format!("{} before HELLO: HELLO comes first", op.name());
            return Some(ErrorBody::new(Code::BadRequest, message));
        }
        if auth_required && !self.authenticated && !op::is_open(op.name()) {
            let message = format!("{} needs authentication: AUTH comes first", op.name());
            return Some(ErrorBody::new(Code::Unauthorized, message));
        }
        None
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// HELLO. The answer still goes out in the old mode: it tells of the new one.
    pub(super) fn hello(&mut self, id: &str, params: &RawValue) -> Result<(), ErrorBody> {
        if self.peer.hello {
            let message = "HELLO comes once, at the start of a connection";
            return Err(ErrorBody::new(Code::BadRequest, message));
        }
        let hello = Hello::read(params)?;
        if hello.protocol_version != u64::from(PROTOCOL_VERSION) {
            let message = format!(
                "params.protocol_version: expected {PROTOCOL_VERSION}, got {}",
                hello.protocol_version
            );
            return Err(ErrorBody::new(Code::UnsupportedProtocol, message));
        }
        let mode = WireMode::negotiate(&hello.wire_modes);
        let features = Features::from_names(&hello.features).intersection(Features::ALL);
        let result = HelloResult {
            protocol_version: PROTOCOL_VERSION,
            wire_mode: mode.name().into(),
            server_name: SERVER_NAME.into(),
            server_version: SERVER_VERSION.into(),
            features: features.names().map(Into::into).collect(),
        };
        let _ = self
            .outbox
            .ok(id, None, |out| json::serialized(out, &result));
        self.outbox.agree(mode, features);
        self.decoder.set_mode(mode);
        self.peer.hello = true;
        self.mind_standing();
        tracing::debug!(
            client = hello.client_name.as_deref().unwrap_or(""),
            ?features,
            "hello"
        );
        Ok(())
    }

    /// AUTH.
    pub(super) fn auth(&mut self, id: &str, params: &RawValue) -> Result<(), ErrorBody> {
        let auth = Auth::read(params)?;
        self.look_at_token(id, &auth.token);
        Ok(())
    }

    /// From now on it is this one who asks.
    pub(super) fn authenticated(&mut self, actor: Arc<str>) {
        self.peer.authenticated = true;
        self.peer.actor = actor;
    }

    /// Nobody asks, until a right token comes. Returns how many wrong ones there were.
    pub(super) fn token_is_wrong(&mut self) -> u32 {
        if std::mem::take(&mut self.peer.authenticated) {
            self.peer.unknown_since = self.now;
        }
        self.peer.failures += 1;
        self.mind_standing();
        self.peer.failures
    }

    /// What may be sent, and whether a stranger's place is taken, follow from whether it is known who is there.
    pub(super) fn mind_standing(&mut self) {
        let known = self.peer.is_known(self.shared.tokens.required());
        self.decoder.set_limits(Limits {
            payload_bytes_max: match known {
                true => PAYLOAD_BYTES_MAX,
                false => STRANGER_PAYLOAD_BYTES_MAX,
            },
        });
        if known {
            self.stranger = None;
        }
    }

    /// PING.
    pub(super) fn ping(&mut self, id: &str) {
        self.flag(id, "pong");
    }

    /// BYE, after everything before it was answered.
    pub(super) fn say_goodbye(&mut self, id: &str) {
        self.flag(id, "goodbye");
    }

    pub(super) fn flag(&mut self, id: &str, name: &'static str) {
        let _ = self.outbox.ok(id, None, |out| {
            let mut result = Object::begin(out);
            result.flag(name, true);
            result.end();
        });
    }
}

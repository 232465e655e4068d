//! HELLO, AUTH, PING, BYE: what belongs to the connection itself.

use std::sync::Arc;
use std::time::Instant;

use rstmdb_rcp::feature::Features;
use rstmdb_rcp::message::session::{Auth, Hello, HelloResult};
use rstmdb_rcp::message::{ErrorBody, Params, op};
use rstmdb_rcp::wire::WireMode;
use rstmdb_rcp::{Code, PROTOCOL_VERSION};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use crate::server::json::{self, Object};
use crate::server::ops::Op;
use crate::server::shared::{SERVER_NAME, SERVER_VERSION};

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Peer {
    hello: bool,
    authenticated: bool,
    actor: Arc<str>,
    since: Instant,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            hello: false,
            authenticated: false,
            actor: "".into(),
            since: Instant::now(),
        }
    }
}

impl Peer {
    /// Whether HELLO is done.
    pub(super) fn said_hello(&self) -> bool {
        self.hello
    }

    /// When the connection was made.
    pub(super) fn since(&self) -> Instant {
        self.since
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
        let Some(actor) = self.shared.tokens.actor(&auth.token) else {
            self.peer.authenticated = false;
            return Err(ErrorBody::new(Code::AuthFailed, "the token is not known"));
        };
        self.peer.authenticated = true;
        self.peer.actor = actor;
        self.flag(id, "authenticated");
        Ok(())
    }

    /// PING.
    pub(super) fn ping(&mut self, id: &str) {
        self.flag(id, "pong");
    }

    /// BYE, after everything before it was answered.
    pub(super) fn say_goodbye(&mut self, id: &str) {
        self.flag(id, "goodbye");
    }

    fn flag(&mut self, id: &str, name: &'static str) {
        let _ = self.outbox.ok(id, None, |out| {
            let mut result = Object::begin(out);
            result.flag(name, true);
            result.end();
        });
    }
}

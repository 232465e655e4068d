//! HELLO, AUTH, WHOAMI, PING, BYE: what belongs to the connection itself.

use std::task::Context;
use std::time::{Instant, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rstmdb_rcp::feature::Features;
use rstmdb_rcp::frame::FrameLimits;
use rstmdb_rcp::message::session::{Auth, Hello, HelloResult, RoleGrant, WhoamiResult};
use rstmdb_rcp::message::{ErrorBody, Params, op};
use rstmdb_rcp::wire::WireMode;
use rstmdb_rcp::{Code, PAYLOAD_BYTES_MAX, PROTOCOL_VERSION};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{STRANGER_PAYLOAD_BYTES_MAX, Session};
use crate::server::clients::access::Client;
use crate::server::clients::auth::{Bearer, Tokens};
use crate::server::clients::shared::{SERVER_NAME, SERVER_VERSION};
use crate::server::config::{Grant, Verb};
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::json::{self, ObjectWriter};
use crate::server::messages::op::Op;
use crate::server::metrics::AccessRefusal;
use crate::server::transport::certificates::ClientNames;

/// The client at the other end.
pub(super) struct ClientIdentity {
    hello: bool,
    bearer: Option<Authenticated>,
    /// What it may do, and its name.
    client: Client,
    /// Since when the client is unknown.
    unknown_since: Instant,
    /// Wrong tokens so far.
    failures: u32,
}

/// A client that has authenticated.
struct Authenticated {
    bearer: Bearer,
    /// Resolves once the token is no longer accepted.
    revoked: BoxFuture<'static, ()>,
}

impl ClientIdentity {
    /// At the beginning of a connection: the client is known by its certificate, or not yet.
    pub(super) fn of(tokens: &Tokens, names: Option<&ClientNames>) -> Self {
        let mut identity = Self {
            hello: false,
            bearer: None,
            client: tokens.stranger().clone(),
            unknown_since: Instant::now(),
            failures: 0,
        };
        identity.becomes(
            tokens,
            names.and_then(|names| tokens.bearer_of_certificate(names)),
        );
        identity
    }

    fn becomes(&mut self, tokens: &Tokens, bearer: Option<Bearer>) {
        self.client = match &bearer {
            Some(bearer) => bearer.client(),
            None => tokens.stranger().clone(),
        };
        self.bearer = bearer.map(|bearer| Authenticated {
            revoked: tokens.revocation(&bearer).boxed(),
            bearer,
        });
    }

    /// Whether HELLO is done, and AUTH where it is required.
    pub(super) fn is_known(&self, auth_required: bool) -> bool {
        self.hello && (self.bearer.is_some() || !auth_required)
    }

    /// Since when the client is unknown: since the connection began, or since the last AUTH that failed after a
    /// successful one.
    pub(super) fn unknown_since(&self) -> Instant {
        self.unknown_since
    }

    /// Wrong tokens so far.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The client, as the operations see it.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Who has authenticated.
    pub(super) fn bearer(&self) -> Option<&Bearer> {
        let authenticated = self.bearer.as_ref();
        authenticated.map(|authenticated| &authenticated.bearer)
    }

    /// Whether the token that this connection showed has been taken back since.
    fn is_revoked(&mut self, cx: &mut Context<'_>) -> bool {
        let bearer = self.bearer.as_mut();
        bearer.is_some_and(|it| it.revoked.poll_unpin(cx).is_ready())
    }

    /// Why the operation is not allowed now.
    pub(super) fn refusal(&self, op: Op, auth_required: bool) -> Option<ErrorBody> {
        if !self.hello && op != Op::Hello {
            let message = format!("{} before HELLO: HELLO comes first", op.name());
            return Some(ErrorBody::new(Code::BadRequest, message));
        }
        if auth_required && self.bearer.is_none() && !op::is_open(op.name()) {
            let message = format!("{} needs authentication: AUTH comes first", op.name());
            return Some(ErrorBody::new(Code::Unauthorized, message));
        }
        None
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// HELLO. The answer still goes out in the old mode: it tells of the new one.
    pub(super) fn hello(&mut self, id: &str, params: &RawValue) -> Result<(), ErrorBody> {
        if self.client.hello {
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
        self.outbox.ok(id, |out| json::serialized(out, &result));
        self.outbox.agree(mode, features);
        self.decoder.set_mode(mode);
        self.client.hello = true;
        self.mind_standing();
        tracing::debug!(
            client = hello.client_name.as_deref().unwrap_or(""),
            ?features,
            "hello"
        );
        Ok(())
    }

    /// AUTH. The client gets no more answers to what it began before, if it had authenticated as another client or if
    /// its new token is wrong.
    pub(super) fn auth(&mut self, id: &str, params: &RawValue) -> Result<(), ErrorBody> {
        let auth = Auth::read(params)?;
        self.look_at_token(id, &auth.token);
        Ok(())
    }

    /// From now on the client is the bearer of this token or, after a wrong one, unnamed.
    pub(super) fn is_now(&mut self, bearer: Option<Bearer>) {
        let was = self.client.bearer.as_ref().map(|it| &it.bearer);
        let (had_bearer, is_another) = (was.is_some(), was != bearer.as_ref());
        if had_bearer && is_another {
            self.end_what_was_begun();
        }
        if bearer.is_none() {
            self.client.failures += 1;
            if had_bearer {
                self.client.unknown_since = self.now;
            }
        }
        self.client.becomes(&self.shared.tokens, bearer);
        self.mind_standing();
    }

    /// Adapts to whether the client is known: what it may send, and whether it takes a stranger's place.
    pub(super) fn mind_standing(&mut self) {
        let known = self.client.is_known(self.shared.tokens.required());
        self.decoder.set_limits(FrameLimits {
            payload_bytes_max: match known {
                true => PAYLOAD_BYTES_MAX,
                false => STRANGER_PAYLOAD_BYTES_MAX,
            },
        });
        if known {
            self.stranger = None;
        }
    }

    /// Ends the connection of a client whose token is no longer accepted.
    pub(super) fn poll_revoked(&mut self, cx: &mut Context<'_>) {
        if !self.client.is_revoked(cx) {
            return;
        }
        tracing::info!(
            actor = &*self.client.client().actor,
            "ending a connection: its token is no longer accepted"
        );
        self.shared.metrics.access_refused(AccessRefusal::Revoked);
        self.end_what_was_begun();
        self.client.becomes(&self.shared.tokens, None);
        let message = "the token of this connection is no longer accepted";
        self.refuse("", ErrorBody::new(Code::Unauthorized, message));
        self.flush();
    }

    /// Ends the watches, and answers the requests in flight with an error: their outcomes are not for the client of the
    /// new token.
    fn end_what_was_begun(&mut self) {
        for watch in self.watches.end_all() {
            self.outbox
                .end(&watch, failure::other_bearer(PossibleEffect::None));
        }
        for tag in self.work.abandon() {
            self.order.release(&tag.claim);
            self.refuse_tagged(&tag, failure::other_bearer(tag.effect));
        }
        for (tag, _) in self.order.give_up(|_| true) {
            self.refuse_tagged(&tag, failure::other_bearer(PossibleEffect::None));
        }
        self.give_up_waiting();
    }

    /// WHOAMI.
    pub(super) fn whoami(&mut self, id: &str) {
        let (client, bearer) = (self.client.client().clone(), self.client.bearer());
        let expires = bearer.and_then(Bearer::expires);
        let since_1970 = expires.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let result = WhoamiResult {
            name: bearer.map(|_| (&*client.actor).into()),
            roles: client.access.roles.iter().map(Into::into).collect(),
            grants: client.access.grants.iter().map(grant_shown).collect(),
            expires_at: since_1970.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
        };
        self.outbox.ok(id, |out| json::serialized(out, &result));
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
        self.outbox.ok(id, |out| {
            let mut result = ObjectWriter::begin(out);
            result.flag(name, true);
            result.end();
        });
    }
}

fn grant_shown(grant: &Grant) -> RoleGrant<'_> {
    RoleGrant {
        verbs: grant
            .verbs
            .iter()
            .copied()
            .map(Verb::name)
            .map(Into::into)
            .collect(),
        machines: grant.machines.iter().map(Into::into).collect(),
    }
}

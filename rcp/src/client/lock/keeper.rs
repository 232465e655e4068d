//! Renews a lock for as long as it is held.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::millis;
use crate::Code;
use crate::client::retry::Backoff;
use crate::client::{Client, Error, parse};
use crate::message::locks::{LockHeld, LockRenew};
use crate::message::meta::Meta;
use crate::message::op;

/// What is known of a lock.
#[derive(Debug, Clone)]
pub(super) enum LockState {
    /// It is held.
    Held {
        /// Until then, by this process's clock, no other owner can have it.
        until: Instant,
        /// As the server answered.
        expires_at: u64,
    },
    /// It is lost, for this reason.
    Lost(Arc<str>),
}

impl LockState {
    /// Why the lock is lost; `None` while it is held.
    pub(super) fn reason(&self, now: Instant) -> Option<Arc<str>> {
        match self {
            Self::Held { until, .. } if now < *until => None,
            // The task that renews the lock has not run in time.
            Self::Held { .. } => Some("it was not renewed in time".into()),
            Self::Lost(reason) => Some(reason.clone()),
        }
    }
}

/// Until when a lock is certainly held that was asked for at `sent`. The leader counts from a later moment. Its clock may
/// be a tenth faster while it is slewed, so an eighth is left out.
pub(super) fn held_until(sent: Instant, ttl: Duration) -> Instant {
    sent + ttl - ttl / 8
}

/// The task that renews a lock.
pub(super) struct LockKeeper {
    pub(super) client: Client,
    pub(super) name: Arc<str>,
    pub(super) token: u64,
    pub(super) ttl: Duration,
    pub(super) meta: Meta<'static>,
    pub(super) state: watch::Sender<LockState>,
    /// When the last request was sent that was granted.
    pub(super) sent: Instant,
}

impl LockKeeper {
    pub(super) async fn run(mut self) {
        loop {
            sleep_until(self.sent + self.ttl / 3).await;
            if let Err(reason) = self.renew(held_until(self.sent, self.ttl)).await {
                tracing::debug!(lock = %self.name, token = self.token, %reason, "lock lost");
                self.state.send_replace(LockState::Lost(reason));
                return;
            }
        }
    }

    /// Renews the lock, and tries until `until` if it cannot. The error is the reason why the lock is lost.
    pub(super) async fn renew(&mut self, until: Instant) -> Result<(), Arc<str>> {
        let params = self.params()?;
        let options = &self.client.session.dialer.options;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max.min(self.ttl / 10));
        let mut last: Option<Error> = None;
        loop {
            let sent = Instant::now();
            let left = until.saturating_duration_since(sent);
            if left.is_zero() {
                let why = last.map_or_else(String::new, |error| format!(": {error}"));
                return Err(format!("it was not renewed in time{why}").into());
            }
            let time = options.timeout.min(left);
            let session = &self.client.session;
            let answer = session.call_within(op::LOCK_RENEW, &params, time).await;
            let error = match answer.and_then(|(held, _)| parse(op::LOCK_RENEW, &held)) {
                Ok(held) => {
                    self.renewed(&held, sent);
                    return Ok(());
                }
                Err(error) => error,
            };
            match &error {
                Error::Refused(body) if body.code == Code::LockLost => {
                    return Err(Arc::from(&*body.message));
                }
                Error::Closed => return Err("the client is closed".into()),
                _ => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            last = Some(error);
            sleep(backoff.pause().min(left)).await;
        }
    }

    fn params(&self) -> Result<Box<RawValue>, Arc<str>> {
        let params = LockRenew {
            name: Cow::Borrowed(&self.name),
            token: self.token,
            ttl_ms: Some(millis(self.ttl)),
            meta: self.meta.clone(),
        };
        serde_json::value::to_raw_value(&params).map_err(|error| error.to_string().into())
    }

    fn renewed(&mut self, held: &LockHeld<'_>, sent: Instant) {
        self.sent = sent;
        self.state.send_replace(LockState::Held {
            until: held_until(sent, self.ttl),
            expires_at: held.lock.expires_at,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_counts_from_the_request_and_ends_an_eighth_early() {
        let sent = Instant::now();
        let until = held_until(sent, Duration::from_secs(8));
        assert_eq!(until, sent + Duration::from_secs(7));
        let held = LockState::Held {
            until,
            expires_at: 0,
        };
        assert!(held.reason(until - Duration::from_millis(1)).is_none());
        assert!(held.reason(until).is_some());
        let lost = LockState::Lost("gone".into());
        assert_eq!(lost.reason(sent).as_deref(), Some("gone"));
    }
}

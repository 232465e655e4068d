//! Waits for a lock. The wait has a connection of its own, as a watch has: when the client gives up, the connection ends,
//! and with it the place in the queue.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::millis;
use crate::Code;
use crate::client::dial::{DialedLink, Dialer, parse_incoming};
use crate::client::retry::Backoff;
use crate::client::session::ClientSession;
use crate::client::{ClientOptions, Error, parse};
use crate::message::locks::{LockAcquire, LockHeld};
use crate::message::{Incoming, op};

/// Acquires the lock, and says when the request was sent that got it.
pub(super) async fn wait(
    session: &ClientSession,
    mut params: LockAcquire<'_>,
    wait: Duration,
) -> Result<(LockHeld<'static>, Instant), Error> {
    let dialer = &session.dialer;
    let options = &dialer.options;
    let until = Instant::now() + wait;
    // The answer may come a little after the wait.
    let give_up = until + options.timeout;
    let mut first = session.at();
    let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
    let mut kept = None;
    loop {
        let dialed = match kept.take() {
            Some(link) => Ok(link),
            None => dial(dialer, first, give_up).await,
        };
        let mut link = match dialed {
            Ok(link) => link,
            Err(error) => {
                first += 1;
                pause(error, &mut backoff, give_up).await?;
                continue;
            }
        };
        let sent = Instant::now();
        // An owner that asks again keeps its place.
        params.wait_ms = Some(millis(until.saturating_duration_since(sent)));
        let asked = timeout_at(give_up, ask(&mut link, options, &params)).await;
        let error = match asked {
            Ok(Ok(held)) => return Ok((parse(op::LOCK_ACQUIRE, &held)?, sent)),
            Ok(Err(error)) => error,
            Err(_) => Error::Timeout {
                op: op::LOCK_ACQUIRE.to_owned(),
                after: wait + options.timeout,
                earlier: None,
                outcome_unknown: true,
            },
        };
        first = link.at + 1;
        // At a limit, another connection or node would help no more than this one.
        kept = is_limit(&error).then_some(link);
        pause(error, &mut backoff, give_up).await?;
    }
}

async fn dial(dialer: &Dialer, first: usize, by: Instant) -> Result<DialedLink, Error> {
    let order = dialer.order_from(first);
    timeout_at(by, dialer.dial(&order))
        .await
        .unwrap_or_else(|_| {
            Err(Error::Connect {
                reason: "no address answered in time".to_owned(),
            })
        })
}

/// Whether the server refuses because there are too many.
fn is_limit(error: &Error) -> bool {
    let Error::Refused(body) = error else {
        return false;
    };
    matches!(body.code, Code::RateLimited | Code::QuotaExceeded)
}

/// Waits a little, if another try may succeed in time.
async fn pause(error: Error, backoff: &mut Backoff, by: Instant) -> Result<(), Error> {
    let pause = backoff.pause();
    if !error.may_pass() || Instant::now() + pause >= by {
        return Err(error);
    }
    sleep(pause).await;
    Ok(())
}

/// Sends the request, and waits for its answer for as long as the server gives a sign of life.
async fn ask(
    link: &mut DialedLink,
    options: &ClientOptions,
    params: &LockAcquire<'_>,
) -> Result<Bytes, Error> {
    let id = link.send(op::LOCK_ACQUIRE, params).await?;
    loop {
        let payload = link.next_or_ping(options).await?;
        let Incoming::Response {
            id: answers,
            outcome,
            ..
        } = parse_incoming(&payload)?
        else {
            continue;
        };
        match outcome {
            Ok(result) if answers == id => return Ok(payload.slice_ref(result.get().as_bytes())),
            // An empty id: the server refuses the connection as a whole.
            Err(error) if answers == id || answers.is_empty() => {
                return Err(Error::Refused(parse(
                    op::LOCK_ACQUIRE,
                    error.get().as_bytes(),
                )?));
            }
            // The answer to a PING.
            Ok(_) | Err(_) => {}
        }
    }
}

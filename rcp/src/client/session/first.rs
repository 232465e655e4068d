//! A client's first connection.

use tokio::time::{Instant, sleep, timeout_at};

use crate::client::Error;
use crate::client::dial::{DialedLink, Dialer};
use crate::client::retry::Backoff;

/// A connection to any of the addresses. A node may be restarting, so it tries until the deadline of a call, unless an
/// error says that no other try would bring one.
pub(super) async fn link(dialer: &Dialer) -> Result<DialedLink, Error> {
    let options = &dialer.options;
    let deadline = Instant::now() + options.timeout;
    let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
    // An attempt that the deadline cuts short has a less useful error than a complete one.
    let mut failure = Error::Connect {
        reason: "no address answered in time".to_owned(),
    };
    loop {
        match timeout_at(deadline, dialer.dial(&dialer.order_from(0))).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) if error.may_pass() => failure = error,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(failure),
        }
        let pause = backoff.pause();
        if Instant::now() + pause >= deadline {
            return Err(failure);
        }
        sleep(pause).await;
    }
}

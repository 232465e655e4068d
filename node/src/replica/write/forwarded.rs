//! Takes the commands that other nodes forward to this one: the other side of the forwarder.

use futures_util::future::FutureExt;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::queue::{BATCH_COMMANDS_MAX, IN_FLIGHT_MAX};
use super::request::{OriginGuard, RequestSource};
use super::submit::Inbox;
use crate::replica::peers::calls::{ForwardResult, Received};
use crate::replica::types::Types;

/// Takes the commands that node `from` forwards because it believes that this node leads, and returns their outcomes.
/// Ends when `commands` ends and all commands were answered.
pub(crate) fn serve_forwarded<T: Types>(
    inbox: &Inbox<T>,
    from: u64,
    commands: BoxStream<'static, Vec<Received>>,
) -> BoxStream<'static, Vec<ForwardResult>> {
    let inbox = inbox.clone();
    let stream = OriginGuard(inbox.origins.open(from));
    commands
        .flat_map(stream::iter)
        .map(move |received| {
            let seq = received.seq;
            let source = RequestSource::Node {
                origin: stream.0.clone(),
                _permit: received.permit,
            };
            // Submitted here, in the order of the stream; only the answers may overtake each other.
            let submitted = inbox.submit(
                received.command,
                received.meta,
                received.caller,
                source,
                received.trace,
            );
            submitted.map(move |outcome| ForwardResult { seq, outcome })
        })
        .buffer_unordered(IN_FLIGHT_MAX)
        .ready_chunks(BATCH_COMMANDS_MAX)
        .boxed()
}

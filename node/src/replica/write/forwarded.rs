//! Takes the commands that other nodes forward to this one: the other side of the forwarder.

use futures_util::future::FutureExt;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::queue::{BATCH_COMMANDS_MAX, IN_FLIGHT_MAX};
use super::request::OriginGuard;
use super::submit::Inbox;
use crate::replica::peers::calls::{ForwardResult, Forwarded};
use crate::replica::types::Types;

/// Takes the commands that node `from` forwards because it believes that this node leads, and returns their outcomes.
/// Ends when `commands` ends and all commands were answered. The value beside a command is kept until its outcome is
/// there.
pub(crate) fn serve_forwarded<T: Types, H: Send + 'static>(
    inbox: &Inbox<T>,
    from: u64,
    commands: BoxStream<'static, Vec<(Forwarded, H)>>,
) -> BoxStream<'static, Vec<ForwardResult>> {
    let inbox = inbox.clone();
    let stream = OriginGuard(inbox.origins.open(from));
    commands
        .flat_map(stream::iter)
        .map(move |(forwarded, held)| {
            let Forwarded {
                seq,
                command,
                actor,
            } = forwarded;
            // Submitted here, in the order of the stream; only the answers may overtake each other.
            let submitted = inbox.submit(command, actor, Some(stream.0.clone()));
            submitted.map(move |outcome| {
                drop(held);
                ForwardResult { seq, outcome }
            })
        })
        .buffer_unordered(IN_FLIGHT_MAX)
        .ready_chunks(BATCH_COMMANDS_MAX)
        .boxed()
}

//! The receiving side of a stream of appends: puts entries together again, and reports that bytes arrive.
//!
//! This side reads what arrives even while openraft does not take it: so a sender can tell a slow disk from a link over
//! which nothing comes. A budget bounds what waits for openraft, for each stream and for all streams of one sender; an
//! honest sender keeps within it by itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::raft::AppendEntriesRequest;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::admission::{admit, heed, leads, no_room, stopped};
use super::pieces::Ticket;
use super::served::Served;
use crate::replica::{Replica, Types};
use crate::server::peer::budget::shares::Share;
use crate::server::peer::codec::append_cut;
use crate::server::peer::wire::append_part::Part;
use crate::server::peer::wire::entry::Payload;
use crate::server::peer::wire::stream_append_reply::Outcome;
use crate::server::peer::{OWED_BYTES_MAX, wire};

/// Interval between reports that bytes arrive, while no answer says more.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Appends that may wait for openraft.
const WAITING_MAX: usize = 1024;
/// What every append counts in the budget besides its entries.
const APPEND_BYTES: usize = 1024;

type AppendReply = Result<wire::StreamAppendReply, Status>;
/// Of the stream's budget, and of the sender's.
type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Hands what `parts` bring to openraft; gives the answers.
pub(crate) fn serve<T: Types>(
    served: Arc<Served<T>>,
    replica: &Replica<T>,
    from: u64,
    parts: Streaming<wire::AppendPart>,
) -> BoxStream<'static, AppendReply> {
    let (ticket, held) = served.pieces.enter(from);
    let (requests, waiting) = mpsc::channel(WAITING_MAX);
    let (received, progress) = watch::channel(0);
    let (bad, mut ending) = oneshot::channel();
    let intake = Intake {
        share: served.shares.of(Some(from)),
        served,
        replica: replica.clone(),
        from,
        ticket,
        budget: Arc::new(Semaphore::new(OWED_BYTES_MAX)),
        received,
    };
    let ended = replica.clone();
    drop(T::spawn(async move {
        if let Err(status) = intake.run(parts, &requests).await {
            // If the answers have ended first, they need no reason.
            let _ = bad.send(status);
        }
        // Not earlier: this ends the answers, and the reason would be lost with them.
        drop(requests);
        ended.appends_ended(from);
    }));
    let requests = ReceiverStream::new(waiting)
        .map(|(request, _permits): (AppendEntriesRequest<T>, _)| request);
    let answers = replica
        .raft()
        .stream_append(requests)
        .map(|answer| answer.map(Into::into).map_err(stopped));
    // The reason for the end of the requests comes after all the answers before it.
    let ending = stream::once(async move { ending.try_recv().ok() })
        .filter_map(|status| async { status.map(Err) });
    let answers = AppendAnswers::<T> {
        answers: answers.chain(ending).boxed(),
        first: Some(reply(0, held)),
        progress,
        said: 0,
        say_at: None,
    };
    answers.into_stream().boxed()
}

struct Intake<T: Types> {
    served: Arc<Served<T>>,
    replica: Replica<T>,
    from: u64,
    ticket: Ticket,
    budget: Arc<Semaphore>,
    share: Arc<Share>,
    /// Bytes of entries that have arrived.
    received: watch::Sender<u64>,
}

impl<T: Types> Intake<T> {
    /// Reads to the end, or to the first part that is not understood or not accepted.
    async fn run(
        self,
        mut parts: Streaming<wire::AppendPart>,
        requests: &mpsc::Sender<(AppendEntriesRequest<T>, Permits)>,
    ) -> Result<(), Status> {
        loop {
            let part = tokio::select! {
                biased;
                part = parts.message() => part?,
                () = requests.closed() => return Ok(()),
            };
            let Some(part) = part else {
                return Ok(());
            };
            let missing = || Status::invalid_argument("AppendPart.part is missing");
            match part.part.ok_or_else(missing)? {
                Part::Piece(piece) => {
                    heed(&self.replica, self.from, &piece)?;
                    self.replica.must_have_room().map_err(no_room)?;
                    let leads = leads(&self.replica, self.from);
                    self.served.pieces.add(self.ticket, &piece, leads)?;
                    self.arrived(piece.data.len());
                }
                Part::Append(append) => {
                    let request = self.request(append)?;
                    // Freed room is only for a stream whose sender still waits for answers.
                    let request = tokio::select! {
                        biased;
                        request = request => request?,
                        () = requests.closed() => return Ok(()),
                    };
                    if requests.send(request).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn arrived(&self, bytes: usize) {
        if bytes > 0 {
            self.received.send_modify(|all| *all += bytes as u64);
        }
    }

    fn request(
        &self,
        mut append: wire::AppendRequest,
    ) -> Result<
        impl Future<Output = Result<(AppendEntriesRequest<T>, Permits), Status>> + use<T>,
        Status,
    > {
        let mut brought_before = 0;
        for entry in &mut append.entries {
            if let Some(Payload::InPieces(whole)) = entry.payload {
                let data = self.served.pieces.take(self.ticket, entry.log_id, whole)?;
                brought_before += data.len();
                entry.payload = Some(Payload::Normal(data));
            }
        }
        let request = AppendEntriesRequest::<T>::try_from(append)?;
        admit(&self.served.gate, self.from, &self.replica, &request)?;
        let bytes: usize = request.entries.iter().map(append_cut::size).sum();
        self.arrived(bytes.saturating_sub(brought_before));
        let permits = (APPEND_BYTES + bytes).min(OWED_BYTES_MAX);
        // At most OWED_BYTES_MAX.
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let of_stream = self.budget.clone().acquire_many_owned(permits);
        let of_sender = self.share.owed().acquire_many_owned(permits);
        Ok(async move {
            let closed = |_| Status::internal("the budget is closed");
            let permits = (
                of_stream.await.map_err(closed)?,
                of_sender.await.map_err(closed)?,
            );
            Ok((request, permits))
        })
    }
}

struct AppendAnswers<T: Types> {
    answers: BoxStream<'static, AppendReply>,
    first: Option<wire::StreamAppendReply>,
    progress: watch::Receiver<u64>,
    /// The number of bytes that the sender was last told.
    said: u64,
    /// When this node next tells the sender what has arrived, if more has arrived.
    say_at: Option<InstantOf<T>>,
}

impl<T: Types> AppendAnswers<T> {
    fn into_stream(self) -> impl Stream<Item = AppendReply> {
        stream::unfold(self, |mut answers| async {
            let reply = answers.next().await?;
            Some((reply, answers))
        })
    }

    async fn next(&mut self) -> Option<AppendReply> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        loop {
            tokio::select! {
                biased;
                answer = self.answers.next() => return answer,
                () = until::<T>(self.say_at), if self.say_at.is_some() => {
                    self.say_at = None;
                    self.said = *self.progress.borrow_and_update();
                    return Some(Ok(reply(self.said, None)));
                }
                // When the sender's parts have ended, only the answers are left.
                Ok(()) = self.progress.changed(), if self.say_at.is_none() => {
                    self.say_at = Some(T::now() + PROGRESS_INTERVAL);
                }
            }
        }
    }
}

async fn until<T: Types>(at: Option<InstantOf<T>>) {
    match at {
        Some(at) => T::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn reply(received: u64, held: Option<wire::HeldEntry>) -> wire::StreamAppendReply {
    let progress = wire::AppendProgress { received, held };
    wire::StreamAppendReply {
        outcome: Some(Outcome::Progress(progress)),
    }
}

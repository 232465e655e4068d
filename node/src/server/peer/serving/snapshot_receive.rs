//! Receives a snapshot, block by block.
//!
//! This node keeps what has arrived when the stream breaks, so that the next stream of this snapshot goes on there. It
//! keeps one part per sender at most, and not for long, because it takes disk space. A second stream of a sender ends
//! the first, which may be the rest of a connection that only the sender knows to be broken.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::SnapshotOf;
use rstmdb_raft_store::{SnapshotHandle, SnapshotMeta, Vote};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::admission::{no_room, stopped};
use super::partials::{OfferedFile, Partial};
use super::served::Served;
use crate::replica::{Replica, Types};
use crate::server::peer::sane::TermBounds;
use crate::server::peer::wire;
use crate::server::peer::wire::snapshot_part::Part;
use crate::server::peer::wire::snapshot_progress::Progress;

/// Interval between signs of life while the snapshot is verified and installed.
const INSTALL_TICK: Duration = Duration::from_secs(1);
/// Answers that wait for the transport.
const ANSWERS_MAX: usize = 16;

type ReceiveAnswers = mpsc::Sender<Result<wire::SnapshotProgress, Status>>;

/// Takes the snapshot that `parts` bring and installs it; gives the answers.
pub(crate) fn receive<T: Types>(
    served: Arc<Served<T>>,
    replica: Replica<T>,
    from: u64,
    parts: Streaming<wire::SnapshotPart>,
) -> BoxStream<'static, Result<wire::SnapshotProgress, Status>> {
    let (answers, outgoing) = mpsc::channel(ANSWERS_MAX);
    let transfer = SnapshotReceipt {
        served,
        replica,
        from,
        parts,
        answers,
    };
    // This task is separate: a complete snapshot is installed even if the sender goes away.
    drop(T::spawn(transfer.run()));
    ReceiverStream::new(outgoing).boxed()
}

struct SnapshotReceipt<T: Types> {
    served: Arc<Served<T>>,
    replica: Replica<T>,
    from: u64,
    parts: Streaming<wire::SnapshotPart>,
    answers: ReceiveAnswers,
}

struct Offer {
    vote: Vote,
    meta: SnapshotMeta,
    which: OfferedFile,
}

impl<T: Types> SnapshotReceipt<T> {
    async fn run(mut self) {
        let from = self.from;
        if let Err(status) = self.take_in().await {
            // Without room the snapshot is refused again and again; another task logs that once.
            if status.code() != Code::ResourceExhausted {
                tracing::warn!(from, reason = status.message(), "a snapshot did not arrive");
            }
            // A sender that is gone needs no answer.
            let _ = self.answers.send(Err(status)).await;
        }
    }

    async fn take_in(&mut self) -> Result<(), Status> {
        let offer = self.offer().await?;
        let sane = TermBounds::of(&self.replica).snapshot(&offer.vote, &offer.meta);
        sane.map_err(|insane| self.served.gate.insane(self.from, insane))?;
        let ours = self.replica.raft().metrics().borrow_watched().vote;
        if ours > offer.vote {
            return self.answer(Progress::Done(ours.into())).await;
        }
        let served = self.served.clone();
        let (mut slot, filling) = served.partials.enter(self.from).await?;
        let mut partial = match slot.take() {
            Some(partial) if partial.which == offer.which => partial,
            other => {
                drop(other);
                self.begin(offer.which).await?
            }
        };
        let at = partial.receiver.bytes();
        let missing = partial.which.bytes.saturating_sub(at);
        // If it stayed, the part that has arrived would go on taking the disk space that is lacking: it is removed.
        let room = self.replica.must_have_room_for(missing);
        room.map_err(no_room)?;
        self.answer(Progress::Written(at)).await?;
        while partial.receiver.bytes() < partial.which.bytes {
            let block = self.next_block(&partial, &filling).await;
            match block {
                Ok(block) => {
                    self.replica.must_have_room().map_err(no_room)?;
                    partial = written(partial, block).await?;
                }
                Err(status) => {
                    *slot = Some(partial);
                    return Err(status);
                }
            }
            // Goes on even if the sender is gone: the next part shows it.
            let bytes = partial.receiver.bytes();
            let _ = self.answer(Progress::Written(bytes)).await;
        }
        let bytes = partial.which.bytes;
        let vote = {
            let install = install(&self.replica, partial, offer.vote, &offer.meta);
            tick_while::<T, _>(install, &self.answers, bytes).await?
        };
        self.answer(Progress::Done(vote.into())).await
    }

    async fn offer(&mut self) -> Result<Offer, Status> {
        let missing = |what: &str| Status::invalid_argument(format!("{what} is missing"));
        let part = self.parts.message().await?.and_then(|part| part.part);
        let Some(Part::Offer(offer)) = part else {
            return Err(missing("SnapshotPart.offer"));
        };
        Ok(Offer {
            vote: offer
                .vote
                .ok_or_else(|| missing("SnapshotOffer.vote"))?
                .into(),
            meta: offer
                .meta
                .ok_or_else(|| missing("SnapshotOffer.meta"))?
                .try_into()?,
            which: OfferedFile {
                file: offer.file,
                bytes: offer.bytes,
                checksum: offer.checksum,
            },
        })
    }

    async fn begin(&self, which: OfferedFile) -> Result<Partial<T>, Status> {
        let snapshots = self.replica.snapshots();
        let receiver = blocking::<T, _>(move || snapshots.receive()).await?;
        Ok(Partial {
            which,
            receiver,
            used: T::now(),
        })
    }

    async fn next_block(
        &mut self,
        partial: &Partial<T>,
        filling: &CancellationToken,
    ) -> Result<wire::SnapshotBlock, Status> {
        let part = tokio::select! {
            biased;
            () = filling.cancelled() => {
                return Err(Status::aborted("a newer stream of a snapshot has replaced this one"));
            }
            () = self.served.closing.cancelled() => {
                return Err(Status::unavailable("this node is shutting down"));
            }
            part = self.parts.message() => part?.and_then(|part| part.part),
        };
        let Some(Part::Block(block)) = part else {
            return Err(Status::aborted(
                "the sender stopped before the snapshot was complete",
            ));
        };
        let at = partial.receiver.bytes();
        let left = partial.which.bytes - at;
        if block.offset != at || block.data.is_empty() || block.data.len() as u64 > left {
            return Err(Status::invalid_argument(format!(
                "the next block of this snapshot must begin at byte {at}, of {} in all; this one begins at byte {} and \
                 has {} bytes",
                partial.which.bytes,
                block.offset,
                block.data.len()
            )));
        }
        if crc32c::crc32c(&block.data) != block.crc32c {
            return Err(Status::data_loss(format!(
                "the block at offset {at} of the snapshot was damaged on the way"
            )));
        }
        Ok(block)
    }

    async fn answer(&self, progress: Progress) -> Result<(), Status> {
        answer(&self.answers, progress).await
    }
}

async fn answer(answers: &ReceiveAnswers, progress: Progress) -> Result<(), Status> {
    let progress = wire::SnapshotProgress {
        progress: Some(progress),
    };
    let gone = |_| Status::cancelled("the sender of the snapshot is gone");
    answers.send(Ok(progress)).await.map_err(gone)
}

/// A failed write ends the attempt: the content of the disk is then unknown.
async fn written<T: Types>(
    mut partial: Partial<T>,
    block: wire::SnapshotBlock,
) -> Result<Partial<T>, Status> {
    blocking::<T, _>(move || {
        partial.receiver.write_block(&block.data)?;
        partial.used = T::now();
        Ok(partial)
    })
    .await
}

/// Verifies and publishes the file, then hands it to openraft.
async fn install<T: Types>(
    replica: &Replica<T>,
    partial: Partial<T>,
    vote: Vote,
    meta: &SnapshotMeta,
) -> Result<Vote, Status> {
    let receiver = partial.receiver;
    let handle: SnapshotHandle<T::Fs> = blocking::<T, _>(move || receiver.finish()).await?;
    if handle.meta() != meta || handle.info().checksum != partial.which.checksum {
        return Err(Status::data_loss(
            "the snapshot that arrived is not the one that was offered",
        ));
    }
    let snapshot = SnapshotOf::<T, _> {
        meta: handle.meta().clone(),
        snapshot: handle,
    };
    let installed = replica.install_snapshot(vote, snapshot).await;
    Ok(installed.map_err(stopped)?.vote)
}

/// Waits for `work`, and tells the sender meanwhile that it goes on.
async fn tick_while<T: Types, R>(
    work: impl Future<Output = Result<R, Status>>,
    answers: &ReceiveAnswers,
    bytes: u64,
) -> Result<R, Status> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            // The work does not wait for a sender that reads no answers.
            () = T::sleep(INSTALL_TICK) => {
                let written = wire::SnapshotProgress {
                    progress: Some(Progress::Written(bytes)),
                };
                let _ = answers.try_send(Ok(written));
            }
        }
    }
}

async fn blocking<T: Types, R: Send + 'static>(
    work: impl FnOnce() -> Result<R, rstmdb_raft_store::Error> + Send + 'static,
) -> Result<R, Status> {
    let done = T::blocking(work).await;
    let done = done.map_err(|error| Status::internal(error.to_string()))?;
    done.map_err(|error| Status::internal(error.to_string()))
}

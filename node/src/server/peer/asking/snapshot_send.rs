//! Sends a snapshot in blocks, each with its checksum.
//!
//! The receiver says where to begin, which is in the middle when an earlier stream broke. It answers every block once
//! the block is written. The whole transfer has no time limit: it goes on as long as blocks are written.

use std::time::Duration;

use openraft::errors::StreamingError;
use openraft::raft::SnapshotResponse;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_raft_store::{SnapshotHandle, Vote};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::replica::Types;
use crate::server::peer::connecting::CallError;
use crate::server::peer::connecting::connections::{ConnectionLane, PeerLink};
use crate::server::peer::wire;
use crate::server::peer::wire::snapshot_part::Part;
use crate::server::peer::wire::snapshot_progress::Progress;

/// A slow link carries one well within [`SILENCE_MAX`].
const BLOCK_BYTES: usize = 128 * 1024;
/// Blocks that may be in flight without an answer.
const AHEAD_MAX: usize = 32;
/// The receiver may not be silent for longer: a disk is slow at times, and the connection itself notices long before
/// when a node is gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long the receiver may take to verify and install the snapshot, once it has everything and as long as it gives
/// signs of life.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(600);

type SendAnswer<T> = Result<SnapshotResponse<T>, StreamingError<T>>;

/// Sends the snapshot, and gives the receiver's vote once it is installed there.
pub(crate) async fn send<T: Types>(
    link: &PeerLink<T>,
    vote: Vote,
    snapshot: SnapshotHandle<T::Fs>,
) -> SendAnswer<T> {
    let mut transfer = SnapshotSending::open(link, vote, &snapshot).await?;
    loop {
        if transfer.may_send_more() {
            // An unreadable file must not end this node: the snapshot is written again.
            let block = read::<T>(&snapshot, transfer.sent).await;
            transfer.send(block.inspect_err(|_| snapshot.suspect())?)?;
            continue;
        }
        match transfer.progress(link).await {
            Ok(Some(vote)) => return Ok(SnapshotResponse::new(vote)),
            Ok(None) => {}
            Err(error) => {
                if let CallError::Failed(_) = &error {
                    snapshot.suspect();
                }
                return Err(error.into());
            }
        }
    }
}

async fn read<T: Types>(
    snapshot: &SnapshotHandle<T::Fs>,
    offset: u64,
) -> Result<wire::SnapshotBlock, CallError> {
    let snapshot = snapshot.clone();
    let block = T::blocking(move || snapshot.read_block(offset, BLOCK_BYTES))
        .await
        .map_err(|error| CallError::Failed(error.to_string()))?
        .map_err(|error| CallError::Failed(error.to_string()))?;
    Ok(wire::SnapshotBlock {
        offset,
        crc32c: crc32c::crc32c(&block),
        data: block,
    })
}

struct SnapshotSending<T: Types> {
    parts: mpsc::Sender<wire::SnapshotPart>,
    progress: Streaming<wire::SnapshotProgress>,
    bytes: u64,
    /// The offset up to which the snapshot was sent.
    sent: u64,
    /// The offset up to which the receiver has it.
    written: u64,
    install_by: Option<InstantOf<T>>,
    /// The answer, where the receiver wants no snapshot.
    done: Option<Vote>,
}

impl<T: Types> SnapshotSending<T> {
    async fn open(
        link: &PeerLink<T>,
        vote: Vote,
        snapshot: &SnapshotHandle<T::Fs>,
    ) -> Result<Self, CallError> {
        let info = snapshot.info();
        // One more than may ever be in flight, so that handing one over never waits.
        let (parts, outgoing) = mpsc::channel(AHEAD_MAX + 1);
        let offer = wire::SnapshotOffer {
            vote: Some(vote.into()),
            meta: Some(snapshot.meta().into()),
            file: info.file.clone(),
            bytes: info.bytes,
            checksum: info.checksum.clone(),
        };
        hand_over(&parts, Part::Offer(offer))?;
        let mut client = link.raft(ConnectionLane::Bulk)?;
        let request = link.request(ReceiverStream::new(outgoing))?;
        let progress = link.answer(SILENCE_MAX, client.snapshot(request)).await?;
        let mut transfer = Self {
            parts,
            progress,
            bytes: info.bytes,
            sent: info.bytes,
            written: 0,
            install_by: None,
            done: None,
        };
        transfer.done = transfer.progress(link).await?;
        transfer.sent = transfer.written;
        Ok(transfer)
    }

    fn may_send_more(&self) -> bool {
        let ahead = self.sent - self.written;
        self.done.is_none() && self.sent < self.bytes && ahead < (AHEAD_MAX * BLOCK_BYTES) as u64
    }

    fn send(&mut self, block: wire::SnapshotBlock) -> Result<(), CallError> {
        self.sent += block.data.len() as u64;
        hand_over(&self.parts, Part::Block(block))
    }

    /// Waits for the receiver; its vote once there is nothing more to do.
    async fn progress(&mut self, link: &PeerLink<T>) -> Result<Option<Vote>, CallError> {
        if self.done.is_some() {
            return Ok(self.done);
        }
        let Ok(message) = T::timeout(SILENCE_MAX, self.progress.message()).await else {
            if self.written < self.sent {
                link.stalled(ConnectionLane::Bulk);
            }
            return Err(CallError::Timeout(SILENCE_MAX));
        };
        let message = message.map_err(|status| link.failure(status))?;
        match message.and_then(|message| message.progress) {
            Some(Progress::Done(vote)) => Ok(Some(vote.into())),
            Some(Progress::Written(offset)) => {
                if offset < self.written || offset > self.sent {
                    return Err(CallError::Failed(format!(
                        "the receiver claims {offset} bytes of the snapshot, of which {} were sent",
                        self.sent
                    )));
                }
                self.written = offset;
                self.check_install_time()?;
                Ok(None)
            }
            None => Err(CallError::Unreachable(
                "the receiver stopped before the snapshot was complete".to_owned(),
            )),
        }
    }

    fn check_install_time(&mut self) -> Result<(), CallError> {
        if self.written < self.bytes {
            return Ok(());
        }
        let now = T::now();
        let by = *self.install_by.get_or_insert(now + INSTALL_TIMEOUT);
        if now > by {
            return Err(CallError::Timeout(INSTALL_TIMEOUT));
        }
        Ok(())
    }
}

fn hand_over(parts: &mpsc::Sender<wire::SnapshotPart>, part: Part) -> Result<(), CallError> {
    let part = wire::SnapshotPart { part: Some(part) };
    parts.try_send(part).map_err(|_| {
        CallError::Unreachable("the connection broke while the snapshot was sent".to_owned())
    })
}

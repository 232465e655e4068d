//! One direction of one call: a head and a body, frame by frame, under way between two nodes.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::{Body as _, Frame};
use http_body_util::StreamBody;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::connection::{ConnectionEnd, SimConnection};

/// How many bytes may be under way, or wait at the receiver until it takes them.
const WINDOW_BYTES: usize = 256 << 10;
/// The size in bytes that a head, the end of a stream or trailers count with.
const SMALL_BYTES: usize = 64;

enum Piece<H> {
    Head(H),
    Frame(Frame<Bytes>),
    End,
}

struct PipeItem<H> {
    piece: Piece<H>,
    at: Duration,
    _room: OwnedSemaphorePermit,
}

/// The end that sends.
pub struct Sending<H> {
    connection: Arc<SimConnection>,
    end: ConnectionEnd,
    items: mpsc::UnboundedSender<PipeItem<H>>,
    window: Arc<Semaphore>,
    /// Cancelled when the sender is to stop.
    over: CancellationToken,
}

/// The end that receives.
pub struct Receiving<H> {
    connection: Arc<SimConnection>,
    /// The name of the call.
    call: Arc<str>,
    /// The end of the receiver.
    end: ConnectionEnd,
    items: mpsc::UnboundedReceiver<PipeItem<H>>,
    /// Dropped with it.
    _held: Option<CallerWaits>,
}

/// Says that the caller waits for the answer. When it is dropped, the caller sends nothing more, and the callee is told.
pub struct CallerWaits {
    pub(super) connection: Arc<SimConnection>,
    pub(super) over: CancellationToken,
    pub(super) tell: Option<oneshot::Sender<Duration>>,
}

impl Drop for CallerWaits {
    fn drop(&mut self) {
        self.over.cancel();
        if let Some(tell) = self.tell.take().filter(|tell| !tell.is_closed())
            && !self.connection.is_broken(ConnectionEnd::Caller)
        {
            // The callee may have ended meanwhile.
            let _ = tell.send(self.connection.send(ConnectionEnd::Caller, SMALL_BYTES));
        }
    }
}

/// Both ends of one direction.
pub fn pipe<H>(
    connection: &Arc<SimConnection>,
    from: ConnectionEnd,
    call: &Arc<str>,
    over: CancellationToken,
    held: Option<CallerWaits>,
) -> (Sending<H>, Receiving<H>) {
    let (give, take) = mpsc::unbounded_channel();
    let sending = Sending {
        connection: connection.clone(),
        end: from,
        items: give,
        window: Arc::new(Semaphore::new(WINDOW_BYTES)),
        over,
    };
    let receiving = Receiving {
        connection: connection.clone(),
        call: call.clone(),
        end: from.other(),
        items: take,
        _held: held,
    };
    (sending, receiving)
}

impl<H> Sending<H> {
    /// Waits until the result is there or the sender must stop, whichever comes first.
    async fn unless_over<R>(&self, result: impl Future<Output = R>) -> Option<R> {
        tokio::select! {
            biased;
            () = self.over.cancelled() => None,
            () = self.connection.broken(self.end) => None,
            result = result => Some(result),
        }
    }

    async fn send(&self, piece: Piece<H>, bytes: usize) -> Option<()> {
        let room = u32::try_from(bytes.clamp(1, WINDOW_BYTES)).ok()?;
        let room = self.window.clone().acquire_many_owned(room);
        let room = self.unless_over(room).await?.ok()?;
        let at = self.connection.send(self.end, bytes);
        let item = PipeItem {
            piece,
            at,
            _room: room,
        };
        self.items.send(item).ok()
    }

    /// Sends the head, and then the body as it comes. An error of the body breaks it off.
    pub(super) async fn message(self, head: H, body: Body) -> Option<()> {
        self.send(Piece::Head(head), SMALL_BYTES).await?;
        let mut body = pin!(body);
        loop {
            let frame = poll_fn(|context| body.as_mut().poll_frame(context));
            match self.unless_over(frame).await? {
                Some(frame) => {
                    let frame = frame.ok()?;
                    let bytes = frame.data_ref().map_or(SMALL_BYTES, Bytes::len);
                    self.send(Piece::Frame(frame), bytes).await?;
                }
                None => return self.send(Piece::End, SMALL_BYTES).await,
            }
        }
    }
}

impl<H: Send + 'static> Receiving<H> {
    async fn next(&mut self) -> Result<Piece<H>, Status> {
        let from = self.end.other();
        let arrived = async {
            if let Some(item) = self.items.recv().await {
                self.connection.arrive(from, item.at, &self.call).await;
                return Ok(item.piece);
            }
            if self.connection.is_broken(from) {
                // This end learns of it when the connection breaks here.
                pending::<()>().await;
            }
            let at = self.connection.send(from, SMALL_BYTES);
            self.connection.arrive(from, at, &self.call).await;
            Err(broken_off())
        };
        tokio::select! {
            biased;
            () = self.connection.broken(self.end) => Err(reset()),
            piece = arrived => piece,
        }
    }

    /// Waits for the head.
    pub(super) async fn head(&mut self) -> Result<H, Status> {
        match self.next().await? {
            Piece::Head(head) => Ok(head),
            Piece::Frame(_) | Piece::End => Err(broken_off()),
        }
    }

    /// The body, which comes frame by frame.
    pub(super) fn into_body(self) -> Body {
        let frames = stream::unfold(Some(self), async |receiving| {
            let mut receiving = receiving?;
            match receiving.next().await {
                Ok(Piece::Frame(frame)) => Some((Ok(frame), Some(receiving))),
                Ok(Piece::Head(_) | Piece::End) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Body::new(StreamBody::new(frames))
    }
}

fn reset() -> Status {
    Status::unavailable("the connection was reset")
}

fn broken_off() -> Status {
    Status::cancelled("the other side has given the call up")
}

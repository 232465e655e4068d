//! Takes commands in: each is queued before `submit` returns, so they take effect in the order of the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::type_config::TypeConfigExt;
use rstmdb_engine::Command;
use rstmdb_engine::fact::Meta;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};

use super::request::{Request, RequestOrigins, RequestSource};
use crate::replica::error::Error;
use crate::replica::parts::answer::{AnswerTo, Submitted};
use crate::replica::parts::gate::Gate;
use crate::replica::parts::options::tuning::Tuned;
use crate::replica::peers::calls::Caller;
use crate::replica::types::Types;
use crate::replica::types::trace::{Stage, Traced};

/// Where commands come in. The dispatcher ends once every clone is dropped.
#[derive(Clone)]
pub(crate) struct Inbox<T: Types> {
    pub requests: mpsc::UnboundedSender<Request<T>>,
    pub origins: Arc<RequestOrigins>,
    pub gate: Arc<Gate>,
    /// Says how long a command waits for a leader.
    pub tuned: Arc<Tuned>,
    /// How many commands came that this node does not give to itself.
    pub asked: Arc<AtomicU64>,
}

impl<T: Types> Inbox<T> {
    /// Submits a command.
    pub(crate) fn submit(
        &self,
        command: Command,
        meta: Option<Box<Meta>>,
        caller: Caller,
        source: RequestSource,
        trace: Option<Traced>,
    ) -> Submitted {
        if !matches!(source, RequestSource::ThisLeader { .. }) {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        let (answer, outcome) = oneshot::channel();
        if let Err(error) = self.gate.trust().and_then(|()| self.gate.belong()) {
            // The receiver is below.
            let _ = answer.send(Err(error));
            return Submitted(outcome);
        }
        let alone = meta.as_ref().filter(|meta| meta.correlation_id.is_none());
        let request = Request {
            cause: alone.and_then(|meta| meta.cause()),
            command,
            meta,
            caller,
            answer: AnswerTo::new(answer),
            deadline: T::now() + self.tuned.now().leader_wait,
            source,
            trace,
        };
        request.reached(Stage::Submitted);
        if let Err(SendError(request)) = self.requests.send(request) {
            request.refuse(Error::ShuttingDown);
        }
        Submitted(outcome)
    }
}

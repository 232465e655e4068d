//! Commands on their way to a decision, in the order in which they were submitted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use rstmdb_engine::{Command, Refusal};
use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::handle::Done;
use super::types::Types;
use super::writes::{Touched, is_repeatable, writes};

/// Commands taken from the queue at once.
pub(crate) const BATCH_COMMANDS_MAX: usize = 512;
/// Commands in flight at most, decided or forwarded; above this new ones wait in the queue.
pub(crate) const IN_FLIGHT_MAX: usize = 16_384;

/// A command whose leader was lost while it had it is given to the next one this often: if it is what ended
/// the first, it must not go from node to node.
const LOSSES_MAX: u8 = 1;

/// Where the outcome of a command goes.
pub(crate) struct AnswerTo {
    to: oneshot::Sender<Result<Done, Error>>,
    /// An earlier try may be in the log.
    unsure: bool,
    /// How many leaders were lost while they had it.
    losses: u8,
}

impl AnswerTo {
    pub(crate) fn new(to: oneshot::Sender<Result<Done, Error>>) -> Self {
        Self {
            to,
            unsure: false,
            losses: 0,
        }
    }

    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// Tells the outcome, or what is known of it when an earlier try may be in the log: the engine
    /// knows of that try by its key, but for want of a leader, of room or of time nothing was looked at. Nor does
    /// it know of a key whose instance was deleted meanwhile.
    pub(crate) fn send(self, outcome: Result<Done, Error>) {
        let outcome = match outcome {
            Err(error) if self.unsure && !is_certain(&error) => Err(Error::OutcomeUnknown),
            outcome => outcome,
        };
        // A receiver that is gone has given up waiting; nobody is left to tell.
        let _ = self.to.send(outcome);
    }
}

/// Whether the error says what became of an earlier try, too. A refusal does, where the keys that the engine knows
/// are still those of the life in which that try took effect, if it did.
fn is_certain(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => !may_be_of_a_later_life(refusal),
        Error::LostTwice => true,
        _ => false,
    }
}

/// Whether it can be that the key of an earlier try ended with the life of its instance: that was deleted since, or
/// created anew, or everything was flushed.
fn may_be_of_a_later_life(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::InstanceNotFound { .. }
        | Refusal::InstanceExists { .. }
        | Refusal::MachineNotFound { .. } => true,
        Refusal::InBatch { refusal, .. } => may_be_of_a_later_life(refusal),
        _ => false,
    }
}

/// A submitted command.
pub(crate) struct Request<T: Types> {
    pub command: Command,
    pub actor: Arc<str>,
    pub answer: AnswerTo,
    /// Until then it waits for somebody who can decide it.
    pub deadline: InstantOf<T>,
    /// The stream of another node that brought it; none for this node's own clients.
    pub origin: Option<Arc<Origin>>,
}

impl<T: Types> Request<T> {
    /// Answers with `error`.
    pub(crate) fn refuse(self, error: Error) {
        self.answer.send(Err(error));
    }

    /// Refuses it, and all that its stream brings after it, if another node brought it: that node
    /// looks for the leader itself. Gives back what this node's own clients have submitted.
    pub(crate) fn unless_foreign(self) -> Option<Self> {
        match &self.origin {
            None => Some(self),
            Some(origin) => {
                origin.close();
                self.answer.send(Err(Error::NotLeader));
                None
            }
        }
    }

    /// Remembers that a try may have taken effect, whatever becomes of the next one. One that writes
    /// nothing, a batch of reads, has none.
    pub(crate) fn doubt(&mut self) {
        self.answer.unsure |= writes(&self.command);
    }

    /// Notes that a leader died, or the connection to it, while it had the request.
    pub(crate) fn lose(&mut self) {
        self.doubt();
        self.answer.losses = self.answer.losses.saturating_add(1);
    }

    /// Whether so many leaders were lost with it that it may be what ends them.
    fn is_suspect(&self) -> bool {
        self.answer.losses > LOSSES_MAX
    }

    /// Whether its stream was closed before it was decided.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.origin
            .as_ref()
            .is_some_and(|origin| origin.is_closed())
    }
}

/// A stream of commands from another node. Once one of them was refused for want of leadership,
/// none that follows may take effect: the other node sends them again, in their order.
#[derive(Default)]
pub(crate) struct Origin {
    closed: AtomicBool,
}

impl Origin {
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Closes a stream when nobody reads its outcomes any more.
pub(crate) struct OriginGuard(pub Arc<Origin>);

impl Drop for OriginGuard {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The open streams of the other nodes, at most one of each: what is left of an older one must
/// not take effect behind what its node has sent again.
#[derive(Default)]
pub(crate) struct Origins {
    by_node: Mutex<BTreeMap<u64, Arc<Origin>>>,
}

impl Origins {
    pub(crate) fn open(&self, node_id: u64) -> Arc<Origin> {
        let origin = Arc::new(Origin::default());
        if let Some(older) = self.by_node.lock().insert(node_id, origin.clone()) {
            older.close();
        }
        origin
    }
}

/// Leaves those to whoever sent them that touch what `done`, which they stood before, wrote to: they must not
/// take effect behind it.
pub(crate) fn refuse_overtaken<T: Types>(waiting: &mut VecDeque<Request<T>>, done: &Command) {
    if waiting.is_empty() {
        return;
    }
    let mut touched = Touched::default();
    touched.add(done);
    for request in std::mem::take(waiting) {
        if touched.has_any_of(&request.command) {
            request.refuse(Error::NoLeader);
        } else {
            waiting.push_back(request);
        }
    }
}

/// Refuses those that have waited for a leader longer than they may.
pub(crate) fn refuse_expired<T: Types>(waiting: &mut VecDeque<Request<T>>, now: InstantOf<T>) {
    if !waiting.iter().any(|request| request.deadline <= now) {
        return;
    }
    for request in std::mem::take(waiting) {
        if request.deadline <= now {
            request.refuse(Error::NoLeader);
        } else {
            waiting.push_back(request);
        }
    }
}

/// See the module documentation.
pub(crate) struct Queue<T: Types> {
    pub incoming: mpsc::UnboundedReceiver<Request<T>>,
    /// To be placed before anything new: it was taken from the queue already.
    pub again: VecDeque<Request<T>>,
}

impl<T: Types> Queue<T> {
    pub(crate) fn new(incoming: mpsc::UnboundedReceiver<Request<T>>) -> Self {
        Self {
            incoming,
            again: VecDeque::new(),
        }
    }

    /// Waits until there is something to place; `false` once there never will be.
    pub(crate) async fn wait(&mut self) -> bool {
        if self.again.is_empty() {
            let mut taken = Vec::with_capacity(BATCH_COMMANDS_MAX);
            self.incoming
                .recv_many(&mut taken, BATCH_COMMANDS_MAX)
                .await;
            self.again.extend(taken);
        }
        !self.again.is_empty()
    }

    /// Takes what has to be placed again, in its order, behind what it has of that already.
    ///
    /// What may have taken effect is tried again only if that is harmless. What stands before it and
    /// touches the same is not: it may have been refused before that took effect, and would now take
    /// effect behind it. Such commands are left to whoever sent them.
    pub(crate) fn put_back(&mut self, requests: VecDeque<Request<T>>) {
        let mut done = Touched::default();
        let mut again = VecDeque::with_capacity(requests.len());
        for request in requests.into_iter().rev() {
            let is_overtaken = done.has_any_of(&request.command);
            let is_unsure = request.answer.is_unsure();
            if is_unsure {
                done.add(&request.command);
            }
            if request.is_suspect() {
                let error = match is_unsure {
                    true => Error::LostTwice,
                    false => Error::NoLeader,
                };
                request.refuse(error);
            } else if is_overtaken || (is_unsure && !is_repeatable(&request.command)) {
                request.refuse(Error::NoLeader);
            } else {
                again.push_front(request);
            }
        }
        self.again.append(&mut again);
    }

    /// Whether more may come.
    pub(crate) fn is_open(&self) -> bool {
        !self.incoming.is_closed() || !self.incoming.is_empty()
    }

    /// Takes up what was put aside, without what nobody waits for any more.
    pub(crate) fn take_again(&mut self) -> Vec<Request<T>> {
        let mut requests: Vec<_> = self.again.drain(..).collect();
        requests.retain(|request| !request.answer.is_closed());
        requests
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use openraft::type_config::TypeConfigExt;
    use rstmdb_engine::{
        ApplyEvent, BatchOp, CreateInstance, DeleteInstance, ListInstances, Query,
    };

    use super::*;
    use crate::server::product::Product;

    fn event(instance: &str, key: Option<&str>) -> Command {
        Command::ApplyEvent(ApplyEvent {
            instance_id: instance.to_owned(),
            event: "SET".to_owned(),
            idempotency_key: key.map(str::to_owned),
            ..ApplyEvent::default()
        })
    }

    /// Puts commands back, each with whether it may have taken effect; gives which of them are tried
    /// again, and what the others are told.
    fn put_back(commands: &[(Command, bool)]) -> Vec<Option<Error>> {
        let mut queue = Queue::<Product>::new(mpsc::unbounded_channel().1);
        let requests = commands
            .iter()
            .map(|(command, unsure)| request(command, *unsure));
        let (requests, mut told): (VecDeque<_>, Vec<_>) = requests.unzip();
        queue.put_back(requests);
        let outcomes = told.iter_mut().map(|told| told.try_recv().ok());
        let errors: Vec<_> = outcomes
            .map(|told| told.map(|outcome| outcome.expect_err("it was not done")))
            .collect();
        let left = errors.iter().filter(|told| told.is_none());
        assert_eq!(left.count(), queue.again.len());
        errors
    }

    #[test]
    fn nothing_is_tried_behind_what_may_have_overtaken_it() {
        let keyed = |instance| event(instance, Some("key"));
        let told = put_back(&[
            (keyed("a"), true),
            (keyed("b"), true),
            (keyed("a"), false),
            (keyed("a"), true),
            (keyed("a"), false),
        ]);
        assert!(matches!(told[0], Some(Error::OutcomeUnknown)), "{told:?}");
        assert!(matches!(told[2], Some(Error::NoLeader)), "{told:?}");
        assert!(
            told[1].is_none() && told[3].is_none() && told[4].is_none(),
            "{told:?}"
        );
    }

    #[test]
    fn what_two_leaders_were_lost_with_is_not_given_to_a_third() {
        let read = BatchOp::Read(Query::ListInstances(ListInstances::default()));
        for (command, told_at_last) in [
            (event("a", Some("key")), Error::LostTwice),
            (Command::Batch(vec![read]), Error::NoLeader),
        ] {
            let mut queue = Queue::<Product>::new(mpsc::unbounded_channel().1);
            let (mut request, mut told) = request(&command, false);
            request.lose();
            queue.put_back(VecDeque::from([request]));
            let mut again = queue.take_again();
            assert!(again.len() == 1 && told.try_recv().is_err(), "{command}");
            again[0].lose();
            queue.put_back(again.into());
            assert!(queue.again.is_empty(), "{command}");
            let error = told.try_recv().unwrap().unwrap_err();
            assert_eq!(error.to_string(), told_at_last.to_string());
        }
    }

    #[test]
    fn what_took_effect_overtakes_what_waits_for_another_decision() {
        let waiting = ["a", "b"].map(|id| request(&event(id, None), false));
        let (requests, mut told): (VecDeque<_>, Vec<_>) = waiting.into_iter().unzip();
        let mut requests = requests;
        refuse_overtaken(&mut requests, &event("a", None));
        assert_eq!(requests.len(), 1);
        assert!(matches!(told[0].try_recv(), Ok(Err(Error::NoLeader))));
        assert!(told[1].try_recv().is_err());
    }

    #[test]
    fn what_was_to_be_read_before_a_write_is_not_read_behind_it() {
        let get = |id: &str| {
            BatchOp::Read(Query::GetInstance {
                instance_id: id.to_owned(),
            })
        };
        let list = || BatchOp::Read(Query::ListInstances(ListInstances::default()));
        let write = || (event("a", Some("key")), true);
        for (read, is_overtaken) in [(get("a"), true), (list(), true), (get("b"), false)] {
            let told = put_back(&[(Command::Batch(vec![read]), false), write()]);
            assert_eq!(told[0].is_some(), is_overtaken);
        }
    }

    #[test]
    fn a_batch_that_writes_and_reads_is_not_tried_again_once_it_may_have_taken_effect() {
        let read = BatchOp::Read(Query::ListInstances(ListInstances::default()));
        let write = BatchOp::Write(event("a", Some("key")));
        let told = put_back(&[(Command::Batch(vec![write, read]), true)]);
        assert!(matches!(told[0], Some(Error::OutcomeUnknown)), "{told:?}");
    }

    #[test]
    fn a_creation_or_deletion_that_may_have_taken_effect_is_left_to_the_client() {
        let create = Command::CreateInstance(CreateInstance {
            instance_id: "a".to_owned(),
            id_given: true,
            machine: "order".to_owned(),
            version: 1,
            initial_ctx: None,
            idempotency_key: Some("key".to_owned()),
        });
        let delete = Command::DeleteInstance(DeleteInstance {
            instance_id: "a".to_owned(),
            idempotency_key: Some("key".to_owned()),
        });
        for command in [create, delete] {
            let beside = BatchOp::Write(event("b", Some("key")));
            let batch = Command::Batch(vec![beside, BatchOp::Write(command.clone())]);
            for command in [command, batch] {
                assert!(put_back(&[(command.clone(), false)])[0].is_none());
                let told = put_back(&[(command, true)]);
                assert!(matches!(told[0], Some(Error::OutcomeUnknown)), "{told:?}");
            }
        }
    }

    #[test]
    fn what_may_not_be_repeated_overtakes_as_well() {
        let told = put_back(&[
            (event("a", Some("key")), false),
            (event("a", None), true),
            (event("a", None), false),
        ]);
        assert!(matches!(told[0], Some(Error::NoLeader)), "{told:?}");
        assert!(matches!(told[1], Some(Error::OutcomeUnknown)), "{told:?}");
        assert!(told[2].is_none(), "{told:?}");
    }

    #[test]
    fn a_batch_touches_what_it_writes_to_and_some_commands_touch_everything() {
        let batch = |ids: &[&str]| {
            let keyed = |id: &&str| BatchOp::Write(event(id, Some(id)));
            Command::Batch(ids.iter().map(keyed).collect())
        };
        let a = || (event("a", Some("key")), false);
        assert!(put_back(&[a(), (batch(&["b", "a"]), true)])[0].is_some());
        assert!(put_back(&[a(), (batch(&["b", "c"]), true)])[0].is_none());
        assert!(put_back(&[(batch(&["b", "a"]), false), (a().0, true)])[0].is_some());
        assert!(put_back(&[a(), (Command::FlushAll, true)])[0].is_some());
        assert!(put_back(&[(Command::FlushAll, false), (a().0, true)])[0].is_some());
    }

    fn request(
        command: &Command,
        unsure: bool,
    ) -> (Request<Product>, oneshot::Receiver<Result<Done, Error>>) {
        let (to, told) = oneshot::channel();
        let mut request = Request {
            command: command.clone(),
            actor: Arc::from("test"),
            answer: AnswerTo::new(to),
            deadline: Product::now(),
            origin: None,
        };
        if unsure {
            request.doubt();
        }
        (request, told)
    }

    fn told(command: &Command, unsure: bool, error: Error) -> Error {
        let (request, mut told) = request(command, unsure);
        request.refuse(error);
        let outcome = told.try_recv().expect("it was sent");
        outcome.expect_err("an error")
    }

    #[test]
    fn what_was_not_looked_at_again_is_not_called_undone() {
        let write = event("a", Some("key"));
        for error in [Error::NoLeader, Error::NotLeader, Error::ShuttingDown] {
            let name = error.to_string();
            assert_eq!(told(&write, false, error.clone()).to_string(), name);
            let unsure = told(&write, true, error);
            assert!(matches!(unsure, Error::OutcomeUnknown), "{unsure}");
        }
    }

    #[test]
    fn an_instance_that_is_gone_says_nothing_of_an_earlier_try() {
        let gone = || {
            Error::Refused(Refusal::InstanceNotFound {
                instance_id: "a".to_owned(),
            })
        };
        let write = event("a", Some("key"));
        assert!(matches!(told(&write, false, gone()), Error::Refused(_)));
        let unsure = told(&write, true, gone());
        assert!(matches!(unsure, Error::OutcomeUnknown), "{unsure}");
    }

    #[test]
    fn what_a_later_life_refuses_says_nothing_of_an_earlier_try() {
        let refusals = [
            Refusal::InstanceExists {
                instance_id: "a".to_owned(),
            },
            Refusal::MachineNotFound {
                machine: "order".to_owned(),
                version: Some(1),
            },
        ];
        let write = event("a", Some("key"));
        for refusal in refusals {
            let in_batch = Refusal::InBatch {
                index: 0,
                refusal: Box::new(refusal.clone()),
            };
            for refusal in [refusal, in_batch] {
                let refused = Error::Refused(refusal);
                let sure = told(&write, false, refused.clone());
                assert!(matches!(sure, Error::Refused(_)), "{sure}");
                let unsure = told(&write, true, refused);
                assert!(matches!(unsure, Error::OutcomeUnknown), "{unsure}");
            }
        }
    }

    #[test]
    fn a_batch_of_reads_never_has_an_unknown_outcome() {
        let query = Query::GetInstance {
            instance_id: "a".to_owned(),
        };
        let reads = Command::Batch(vec![BatchOp::Read(query)]);
        let told = told(&reads, true, Error::NoLeader);
        assert!(matches!(told, Error::NoLeader), "{told}");
    }
}

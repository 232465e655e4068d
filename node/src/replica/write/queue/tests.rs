#![allow(clippy::unwrap_used)]

use openraft::type_config::TypeConfigExt;
use rstmdb_engine::{
    ApplyEvent, BatchOp, CreateInstance, DeleteInstance, ListInstances, Query, Refusal,
};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use tokio::sync::oneshot;

use super::*;
use crate::replica::error::RefusedByLeader;
use crate::replica::parts::answer::{AnswerTo, Done};
use crate::replica::peers::calls::ClientRequest;
use crate::replica::types::tests::TestTypes;
use crate::replica::write::request::RequestSource;

fn event(instance: &str, key: Option<&str>) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: instance.to_owned(),
        event: "SET".to_owned(),
        idempotency_key: key.map(str::to_owned),
        ..ApplyEvent::default()
    })
}

/// Puts commands back. Each says whether it may have taken effect. Returns the commands that are tried again, and the
/// answers to the others.
fn put_back(commands: &[(Command, bool)]) -> Vec<Option<Error>> {
    let mut queue = Queue::<TestTypes>::new(mpsc::unbounded_channel().1);
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
        let mut queue = Queue::<TestTypes>::new(mpsc::unbounded_channel().1);
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
        import: None,
    });
    let delete = Command::DeleteInstance(DeleteInstance {
        instance_id: "a".to_owned(),
        idempotency_key: Some("key".to_owned()),
        ..DeleteInstance::default()
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
) -> (Request<TestTypes>, oneshot::Receiver<Result<Done, Error>>) {
    let (to, told) = oneshot::channel();
    let mut request = Request {
        command: command.clone(),
        meta: None,
        cause: None,
        caller: "test".into(),
        answer: AnswerTo::new(to),
        deadline: TestTypes::now(),
        source: RequestSource::Client(ClientRequest::default()),
        trace: None,
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
fn the_leader_says_whether_its_refusal_says_something_of_an_earlier_try() {
    let write = event("a", Some("key"));
    for may_be_of_a_later_life in [false, true] {
        let refused = Error::RefusedByLeader(Box::new(RefusedByLeader {
            error: ErrorBody::new(Code::InstanceNotFound, "gone"),
            may_be_of_a_later_life,
        }));
        let sure = told(&write, false, refused.clone());
        assert!(matches!(sure, Error::RefusedByLeader(_)), "{sure}");
        let unsure = told(&write, true, refused);
        let is_unknown = matches!(unsure, Error::OutcomeUnknown);
        assert_eq!(is_unknown, may_be_of_a_later_life, "{unsure}");
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

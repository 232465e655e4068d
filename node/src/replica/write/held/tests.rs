#![allow(clippy::unwrap_used)]

use openraft::type_config::TypeConfigExt;
use rstmdb_engine::{ApplyEvent, BatchOp, CreateInstance, PutMachine};
use tokio::sync::oneshot;

use super::*;
use crate::replica::parts::answer::AnswerTo;
use crate::replica::peers::calls::ClientRequest;
use crate::replica::types::tests::TestTypes;
use crate::replica::write::request::RequestSource;

fn event(instance: &str) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: instance.to_owned(),
        ..ApplyEvent::default()
    })
}

fn create(instance: &str, machine: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: instance.to_owned(),
        id_given: true,
        machine: machine.to_owned(),
        version: 1,
        initial_ctx: None,
        idempotency_key: None,
        import: None,
    })
}

fn put(machine: &str) -> Command {
    Command::PutMachine(PutMachine {
        machine: machine.to_owned(),
        version: 1,
        definition: bytes::Bytes::new(),
        checksum: None,
    })
}

fn batch(commands: Vec<Command>) -> Command {
    Command::Batch(commands.into_iter().map(BatchOp::Write).collect())
}

fn held(commands: &[Command]) -> Held<TestTypes> {
    let mut held = Held::new();
    for command in commands {
        held.push(Request {
            command: command.clone(),
            meta: None,
            cause: None,
            caller: "test".into(),
            answer: AnswerTo::new(oneshot::channel().0),
            deadline: TestTypes::now(),
            source: RequestSource::Client(ClientRequest::default()),
            trace: None,
        });
    }
    held
}

fn ready(held: &mut Held<TestTypes>) -> Vec<u64> {
    assert_eq!(held.check_invariants(), Ok(()));
    std::iter::from_fn(|| held.pop_ready()).collect()
}

#[test]
fn commands_of_one_instance_keep_their_order_and_others_pass() {
    let mut held = held(&[event("a"), event("a"), event("b"), event("a")]);
    assert_eq!(ready(&mut held), [0, 2]);
    assert!(held.blocks(&event("a")));
    assert!(!held.blocks(&event("c")));
    held.take(0).unwrap();
    assert_eq!(ready(&mut held), [1]);
    held.take(2).unwrap();
    assert!(!held.blocks(&event("b")));
    held.take(1).unwrap();
    assert_eq!(ready(&mut held), [3]);
    held.take(3).unwrap();
    assert!(held.is_empty() && held.instances.is_empty());
}

#[test]
fn what_waits_keeps_others_waiting_for_all_that_it_touches() {
    let mut held = held(&[
        event("a"),
        batch(vec![event("a"), event("b"), event("b")]),
        event("b"),
    ]);
    assert_eq!(ready(&mut held), [0]);
    assert!(held.blocks(&event("b")));
    held.take(0).unwrap();
    assert_eq!(ready(&mut held), [1]);
    held.take(1).unwrap();
    assert_eq!(ready(&mut held), [2]);
}

#[test]
fn only_what_defines_a_machine_keeps_its_users_waiting() {
    let mut held = held(&[
        create("a", "m"),
        create("b", "m"),
        put("m"),
        create("c", "m"),
        create("d", "other"),
        put("m"),
    ]);
    assert!(!held.blocks(&create("e", "other")) && held.blocks(&create("e", "m")));
    assert_eq!(ready(&mut held), [0, 1, 4]);
    held.take(1).unwrap();
    assert_eq!(ready(&mut held), [0_u64; 0]);
    held.take(0).unwrap();
    assert_eq!(ready(&mut held), [2]);
    held.take(2).unwrap();
    assert_eq!(ready(&mut held), [3]);
    held.take(3).unwrap();
    assert_eq!(ready(&mut held), [5]);
    let left: Vec<_> = held.drain().map(|request| request.command).collect();
    assert_eq!(left, [create("d", "other"), put("m")]);
    assert!(held.is_empty());
}

#[test]
fn a_command_that_left_no_lane_or_was_not_found_ready_is_seen() {
    let mut held = held(&[event("a"), event("a")]);
    assert_eq!((held.pop_ready(), held.being_prepared()), (Some(0), 1));
    held.set_costly(0);
    assert_eq!(held.being_prepared(), 0);
    let first = held.waiting.remove(&0);
    assert!(held.check_invariants().is_err());
    held.waiting.extend(first.map(|first| (0, first)));
    assert_eq!(held.check_invariants(), Ok(()));
    let lane = held.instances.get_mut("a").unwrap();
    lane.pop_front().unwrap();
    held.waiting.remove(&0);
    held.costly.clear();
    assert!(held.check_invariants().is_err());
}

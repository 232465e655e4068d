//! Shows wrong runs to the checkers of the committed log and of the answers to clients.

use bytes::Bytes;
use openraft::EntryPayload;
use rstmdb::replica::Done;
use rstmdb_engine::chain::Head;
use rstmdb_engine::fact::{self, Body, Entry as FactEntry, Fact, Message, NO_OFFSET};
use rstmdb_engine::reply::{Trial, Would};
use rstmdb_engine::{Refusal, Reply};
use rstmdb_raft_store::{Data, Entry, log_id};
use serde_json::json;

use rstmdb_sim::check::answers::{self, ChainSpan, ClientAnswers, Intent, WritePart};
use rstmdb_sim::check::chain::CommittedChain;
use rstmdb_sim::check::facts::Facts;
use rstmdb_sim::machines::TestMachine;

fn entry(term: u64, index: u64, facts: Vec<Fact>) -> Entry {
    entry_for(term, index, index, facts)
}

/// An entry at `index` that was decided for another one.
fn entry_for(term: u64, index: u64, predicted: u64, facts: Vec<Fact>) -> Entry {
    let content = FactEntry {
        index: predicted,
        time_ms: 1,
        key_bounds: Some(fact::KeyBounds {
            bytes_max: 0,
            retention_ms: 1 << 40,
            keys_max: 1000,
            of_lives: true,
        }),
        facts,
        ..FactEntry::default()
    };
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(Data(content.encode_to_vec().into())),
    }
}

fn machine() -> Fact {
    let definition = TestMachine::Order.definition().to_string();
    Body::PutMachine(fact::PutMachine {
        machine: "order".into(),
        version: 1,
        definition: definition.into(),
        checksum: String::new(),
        format: 0,
    })
    .into()
}

fn create(id: &str) -> Fact {
    Body::CreateInstance(fact::CreateInstance {
        instance_id: id.into(),
        machine: "order".into(),
        version: 1,
        state: "created".into(),
        ctx: Bytes::from_static(br#"{"total_cents":100}"#),
        ..fact::CreateInstance::default()
    })
    .into()
}

fn event(name: &str, from: &str, to: &str, prev: u64, tag: &str) -> fact::ApplyEvent {
    fact::ApplyEvent {
        instance_id: "a".into(),
        machine: "order".into(),
        version: 1,
        event: name.into(),
        from_state: from.into(),
        to_state: to.into(),
        ctx: Bytes::from_static(br#"{"total_cents":100}"#),
        event_id: Some(tag.into()),
        prev_offset: prev,
        ..fact::ApplyEvent::default()
    }
}

fn pay(prev: u64, tag: &str) -> Fact {
    Body::ApplyEvent(event("PAY", "created", "paid", prev, tag)).into()
}

fn cancel(prev: u64, tag: &str) -> Fact {
    Body::ApplyEvent(event("CANCEL", "paid", "cancelled", prev, tag)).into()
}

fn begun() -> CommittedChain {
    let mut chain = CommittedChain::default();
    let entries = [entry(1, 1, vec![machine()]), entry(1, 2, vec![create("a")])];
    chain.applied(1, &entries).unwrap();
    chain
}

fn part(tag: &str) -> WritePart {
    WritePart {
        instance: "a".into(),
        intent: Intent::Event("PAY"),
        tag: tag.into(),
    }
}

fn answer(offset: u64) -> Done {
    Done {
        reply: Reply::Applied {
            from_state: "created".into(),
            to_state: "paid".into(),
            ctx: Bytes::from_static(br#"{"total_cents":100}"#),
            applied: true,
            event_id: None,
            wal_offset: offset,
        }
        .into(),
        offset: Some(offset),
    }
}

#[test]
fn no_instance_is_both_created_again_and_deleted() {
    let mut ledger = ClientAnswers::default();
    assert!(ledger.may_delete("a"));
    assert!(ledger.may_create_again("a") && ledger.may_create_again("a"));
    assert!(!ledger.may_delete("a"));
    ledger.open(vec![WritePart {
        instance: "b".into(),
        intent: Intent::Delete,
        tag: "b".into(),
    }]);
    assert!(!ledger.may_create_again("b") && ledger.may_delete("b"));
}

#[test]
fn nodes_that_show_the_same_log_are_believed() {
    let mut chain = begun();
    chain.applied(1, &[entry(1, 3, vec![pay(2, "x")])]).unwrap();
    chain.applied(2, &[entry(1, 3, vec![pay(2, "x")])]).unwrap();
    assert_eq!((chain.end(), chain.stale()), (3, 0));
    assert_eq!(chain.facts().offset_of("x"), Some(3));
}

#[test]
fn a_fork_is_noticed_by_its_content_and_by_its_term() {
    let mut chain = begun();
    chain.applied(1, &[entry(1, 3, vec![pay(2, "x")])]).unwrap();
    let other = chain.applied(2, &[entry(1, 3, vec![pay(2, "y")])]);
    assert_eq!(other.unwrap_err().0, "committed logs agree");
    let other = chain.applied(2, &[entry(2, 3, vec![pay(2, "x")])]);
    assert_eq!(other.unwrap_err().0, "committed logs agree");
    let gap = chain.applied(2, &[entry(2, 5, vec![])]);
    assert_eq!(gap.unwrap_err().0, "committed logs have no gap");
    let earlier = chain.applied(2, &[entry(0, 4, vec![])]);
    assert_eq!(earlier.unwrap_err().0, "terms rise along the log");
}

#[test]
fn a_digest_is_compared_at_its_offset_also_when_it_comes_early() {
    let mut chain = begun();
    let mut other = begun();
    other.applied(1, &[entry(1, 3, vec![pay(2, "x")])]).unwrap();
    assert_eq!(chain.digest(1, 2, 77).unwrap_err().0, "digests agree");
    chain.digest(2, 3, 77).unwrap();
    let reached = chain.applied(1, &[entry(1, 3, vec![pay(2, "x")])]);
    assert_eq!(reached.unwrap_err().0, "digests agree");
}

fn raise(level: u32) -> Fact {
    Body::SetLevel(fact::SetLevel { level }).into()
}

#[test]
fn the_head_of_a_chain_is_compared_at_its_offset_also_when_it_comes_early() {
    let head = |entries: &[Entry]| {
        entries.iter().fold(Head::BEGIN, |head, entry| {
            head.then(&rstmdb::replica::entry_hash(entry))
        })
    };
    let mut chain = begun();
    chain.head(1, 2, None).unwrap();
    let begins = entry(1, 3, vec![raise(2)]);
    let stale = entry_for(1, 4, 5, vec![pay(2, "x")]);
    let blank = Entry {
        log_id: log_id(2, 5),
        payload: EntryPayload::Blank,
    };
    let log = [begins, stale, blank];
    chain.applied(1, &log[..1]).unwrap();
    chain.head(1, 3, Some(head(&log[..1]))).unwrap();
    chain.head(2, 4, Some(head(&log[..2]))).unwrap();
    // It has left out the stale entry.
    let without = head(&[log[0].clone(), log[2].clone()]);
    chain.head(3, 5, Some(without)).unwrap();
    let reached = chain.applied(1, &log[1..]);
    assert_eq!(reached.unwrap_err().0, "heads of the chain agree");
    let lost = chain.head(1, 4, None).unwrap_err();
    assert_eq!(lost.0, "heads of the chain agree");
}

#[test]
fn a_stale_entry_takes_no_effect_and_one_that_does_is_noticed() {
    let mut chain = begun();
    let stale = [
        entry_for(1, 3, 4, vec![pay(2, "x")]),
        entry(1, 4, vec![pay(1, "y")]),
    ];
    chain.applied(1, &stale).unwrap();
    assert_eq!(chain.stale(), 2);
    assert_eq!(chain.facts().offset_of("x"), None);
    // The model's own opinion, whatever an engine says of it.
    let mut facts = Facts::default();
    let take = |facts: &mut Facts, at: u64, content: Vec<Fact>, effective| {
        let content = FactEntry {
            index: at,
            facts: content,
            ..FactEntry::default()
        };
        facts.take(&content, at, effective)
    };
    take(&mut facts, 1, vec![machine()], true).unwrap();
    take(&mut facts, 2, vec![create("a")], true).unwrap();
    take(&mut facts, 3, vec![pay(1, "x")], true).unwrap_err();
    take(&mut facts, 3, vec![pay(2, "x")], false).unwrap_err();
    take(&mut facts, 3, vec![create("a")], true).unwrap_err();
    take(&mut facts, 3, vec![cancel(2, "x")], true).unwrap_err();
    take(&mut facts, 3, vec![pay(2, "x")], true).unwrap();
    take(&mut facts, 4, vec![cancel(3, "x")], true).unwrap_err();
}

#[test]
fn a_key_that_takes_effect_twice_is_noticed() {
    let keyed = |mut apply: fact::ApplyEvent| -> Fact {
        apply.key = Some(fact::Key {
            key: "k".into(),
            ..fact::Key::default()
        });
        Body::ApplyEvent(apply).into()
    };
    let first = FactEntry {
        index: 3,
        facts: vec![keyed(event("PAY", "created", "paid", 2, "x"))],
        ..FactEntry::default()
    };
    let second = FactEntry {
        index: 4,
        facts: vec![keyed(event("CANCEL", "paid", "cancelled", 3, "y"))],
        ..FactEntry::default()
    };
    let mut facts = Facts::default();
    for (at, content) in [(1, machine()), (2, create("a"))] {
        let content = FactEntry {
            index: at,
            facts: vec![content],
            ..FactEntry::default()
        };
        facts.take(&content, at, true).unwrap();
    }
    facts.take(&first, 3, true).unwrap();
    facts.take(&second, 4, false).unwrap();
    facts.take(&second, 4, true).unwrap_err();
}

#[test]
fn what_was_acknowledged_must_be_in_the_log_where_it_was_said() {
    let mut chain = begun();
    chain.applied(1, &[entry(1, 3, vec![pay(2, "x")])]).unwrap();
    let told = |tag: &str, offset: u64| {
        let mut ledger = ClientAnswers::default();
        let number = ledger.open(vec![part(tag)]);
        let span = ChainSpan { from: 2, to: 3 };
        ledger.done(number, &answer(offset), span, chain.facts())
    };
    told("x", 3).unwrap();
    told("x", 2).unwrap_err();
    told("x", 9).unwrap_err();
    told("lost", 3).unwrap_err();
}

/// The answer to a client that asks what PAY would do.
fn told(from_state: &str, set: &str, wal_offset: u64) -> Trial {
    Trial {
        reply: Reply::Applied {
            from_state: from_state.into(),
            to_state: "paid".into(),
            ctx: Bytes::from_static(br#"{"total_cents":100,"by":"x"}"#),
            applied: true,
            event_id: None,
            wal_offset,
        },
        id_drawn: false,
        replayed: false,
        would: Some(Would {
            set: vec![set.to_owned()],
            ..Would::default()
        }),
    }
}

#[test]
fn a_dry_run_is_explained_by_the_state_and_has_no_effect() {
    let mut chain = begun();
    let entries = [entry(1, 3, vec![pay(2, "x")])];
    chain.applied(1, &entries).unwrap();
    let asked = |tag: &str, trial: Trial, span: ChainSpan| {
        let mut ledger = ClientAnswers::default();
        let number = ledger.open(vec![part(tag)]);
        let done = Done {
            reply: Reply::DryRun(Box::new(trial)).into(),
            offset: None,
        };
        ledger.done(number, &done, span, chain.facts())?;
        ledger.close(chain.facts())
    };
    let before = ChainSpan { from: 2, to: 2 };
    let after = ChainSpan { from: 3, to: 3 };
    let across = ChainSpan { from: 2, to: 3 };
    asked("z", told("created", "by", NO_OFFSET), before).unwrap();
    asked("z", told("created", "by", NO_OFFSET), across).unwrap();
    let old = asked("z", told("created", "by", NO_OFFSET), after).unwrap_err();
    assert_eq!(old.0, "dry runs are explained by the state");
    asked("z", told("paid", "by", NO_OFFSET), across).unwrap_err();
    asked("z", told("created", "total_cents", NO_OFFSET), before).unwrap_err();
    let written = asked("z", told("created", "by", 3), before).unwrap_err();
    assert_eq!(written.0, "a dry run writes nothing and takes no key");
    let mut replayed = told("created", "by", NO_OFFSET);
    replayed.replayed = true;
    asked("z", replayed, before).unwrap_err();
    // The event x is in the log.
    let effect = asked("x", told("created", "by", NO_OFFSET), before).unwrap_err();
    assert_eq!(effect.0, "what was denied had no effect");
}

#[test]
fn what_was_denied_must_have_had_no_effect() {
    let mut chain = begun();
    chain.applied(1, &[entry(1, 3, vec![pay(2, "x")])]).unwrap();
    for (sure, expected) in [(true, false), (false, true)] {
        let mut ledger = ClientAnswers::default();
        let number = ledger.open(vec![part("x")]);
        ledger.denied(number, sure);
        assert_eq!(ledger.close(chain.facts()).is_ok(), expected);
    }
    let mut ledger = ClientAnswers::default();
    let number = ledger.open(vec![part("never")]);
    ledger.denied(number, true);
    ledger.close(chain.facts()).unwrap();
}

#[test]
fn a_refusal_needs_a_state_that_explains_it_while_it_was_asked() {
    let mut chain = begun();
    let entries = [
        entry(1, 3, vec![pay(2, "x")]),
        entry(1, 4, vec![cancel(3, "y")]),
    ];
    chain.applied(1, &entries).unwrap();
    let refusal = Refusal::InvalidTransition {
        current_state: "paid".into(),
        event: "PAY".into(),
    };
    let told = |from, to| {
        let mut ledger = ClientAnswers::default();
        let number = ledger.open(vec![part("z")]);
        let span = ChainSpan { from, to };
        ledger.refused(number, &refusal, span, true, chain.facts())
    };
    told(2, 3).unwrap();
    told(3, 3).unwrap();
    told(3, 4).unwrap();
    told(2, 2).unwrap_err();
    told(4, 4).unwrap_err();
}

#[test]
fn a_read_must_be_fresh_and_true() {
    let mut chain = begun();
    chain.applied(1, &[entry(1, 3, vec![pay(2, "x")])]).unwrap();
    let view = |state: &str, offset| rstmdb_engine::InstanceView {
        instance_id: "a".into(),
        machine: "order".into(),
        version: 1,
        state: state.into(),
        ctx: Bytes::from(json!({"total_cents": 100}).to_string()),
        created_ms: 0,
        updated_ms: 0,
        last_event_id: None,
        last_wal_offset: offset,
        timers: Vec::new(),
        timers_suspended: false,
    };
    let facts = chain.facts();
    answers::read("a", &Ok(view("paid", 3)), 3, 3, facts).unwrap();
    answers::read("a", &Ok(view("created", 2)), 2, 2, facts).unwrap();
    let stale = answers::read("a", &Ok(view("created", 2)), 3, 2, facts);
    assert_eq!(
        stale.unwrap_err().0,
        "reads see what was committed before them"
    );
    answers::read("a", &Ok(view("created", 2)), 3, 3, facts).unwrap_err();
    answers::read("a", &Ok(view("paid", 2)), 3, 3, facts).unwrap_err();
    let gone = Err(rstmdb::replica::Error::Refused(Refusal::InstanceNotFound {
        instance_id: "a".into(),
    }));
    answers::read("a", &gone, 3, 3, facts).unwrap_err();
    answers::read("nobody", &gone, 3, 3, facts).unwrap();
}

/// A tally of format 2 that stands at two, and the event that fills it as the model has it.
fn filling() -> (CommittedChain, fact::ApplyEvent) {
    let mut chain = CommittedChain::default();
    let definition = TestMachine::Tally.definition().to_string();
    let machine = Body::PutMachine(fact::PutMachine {
        machine: "tally".into(),
        version: 1,
        definition: definition.into(),
        format: 2,
        ..fact::PutMachine::default()
    });
    let create = Body::CreateInstance(fact::CreateInstance {
        instance_id: "t".into(),
        machine: "tally".into(),
        version: 1,
        state: "open".into(),
        ctx: Bytes::from_static(br#"{"sum":2,"rounds":0}"#),
        ..fact::CreateInstance::default()
    });
    let level = Body::SetLevel(fact::SetLevel { level: 2 });
    let entries = [
        entry(1, 1, vec![level.into()]),
        entry(1, 2, vec![machine.into()]),
        entry(1, 3, vec![create.into()]),
    ];
    chain.applied(1, &entries).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let event = fact::ApplyEvent {
        instance_id: "t".into(),
        machine: "tally".into(),
        version: 1,
        event: "ADD".into(),
        from_state: "open".into(),
        to_state: "full".into(),
        ctx: Bytes::from_static(br#"{"sum":3,"rounds":1}"#),
        payload: Some(Bytes::from_static(br#"{"sum":8,"by":"x"}"#)),
        event_id: Some("x".into()),
        prev_offset: 3,
        via: names(&["weighing"]),
        emits: names(&["added", "filled", "alarm"]),
        ..fact::ApplyEvent::default()
    };
    (chain, event)
}

#[test]
fn what_a_machine_of_format_2_sets_passes_and_emits_is_checked() {
    let applied = |change: &dyn Fn(&mut fact::ApplyEvent)| {
        let (mut chain, mut event) = filling();
        change(&mut event);
        chain.applied(1, &[entry(1, 4, vec![Body::ApplyEvent(event).into()])])
    };
    assert!(applied(&|_| {}).is_ok());
    // `set` saw the context after the merge.
    let merged = Bytes::from_static(br#"{"sum":9,"rounds":1}"#);
    assert!(applied(&|event| event.ctx = merged.clone()).is_err());
    // A step of `always` is lost.
    assert!(applied(&|event| event.to_state = "weighing".into()).is_err());
    assert!(applied(&|event| event.via.clear()).is_err());
    assert!(applied(&|event| drop(event.emits.pop())).is_err());
}

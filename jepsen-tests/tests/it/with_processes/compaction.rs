//! Snapshots, purges and retention keep everything that must be kept. For what is gone, the node says so.

use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::Error;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::load::machines::{ModelInstance, TestMachine};
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::{RawConnection, RawMessage};
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::wal::{self, ReadRecord};
use serde_json::{Value, json};

const INSTANCES: usize = 60;
const EVENTS: usize = 1500;
const FILLERS: usize = 15_000;

/// The requests in their order, which the log must show.
#[derive(Default)]
struct Done {
    /// Offset, operation, parameters, result.
    writes: Vec<(u64, &'static str, Value, Value)>,
    instances: Vec<(String, ModelInstance)>,
}

impl Done {
    fn call(
        &mut self,
        to: &mut RawConnection,
        op: &'static str,
        params: Value,
    ) -> Result<(), Error> {
        let result = to.call(op, &params)?;
        let offset = result["wal_offset"].as_u64().unwrap_or_default();
        self.writes.push((offset, op, params, result));
        Ok(())
    }

    fn offset(&self) -> u64 {
        self.writes.last().unwrap().0
    }
}

/// Machines in two versions, instances, events, refusals, deletions and a creation in the place of a
/// deleted one.
fn work(connection: &mut RawConnection, rng: &mut Rng) -> Done {
    let mut done = Done::default();
    for machine in TestMachine::ALL {
        for version in [1, 2] {
            let mut definition = machine.definition();
            definition["meta"] = json!({"version": version});
            let put =
                json!({"machine": machine.name(), "version": version, "definition": definition});
            done.call(connection, "PUT_MACHINE", put).unwrap();
        }
    }
    for n in 0..INSTANCES {
        let machine = *rng.pick(&TestMachine::ALL);
        let ctx = json!({"total_cents": 50, "n": n});
        let (id, key) = (format!("i-{n}"), format!("create-{n}"));
        let create = json!({"instance_id": id, "machine": machine.name(), "version": 1,
            "initial_ctx": ctx, "idempotency_key": key});
        done.call(connection, "CREATE_INSTANCE", create).unwrap();
        let instance = ModelInstance::new(machine, ctx.as_object().unwrap().clone(), done.offset());
        done.instances.push((id, instance));
    }
    for n in 0..EVENTS {
        apply(connection, rng, &mut done, n);
    }
    let delete = json!({"instance_id": "i-0", "idempotency_key": "delete"});
    done.call(connection, "DELETE_INSTANCE", delete).unwrap();
    done.instances.remove(0);
    done
}

fn apply(connection: &mut RawConnection, rng: &mut Rng, done: &mut Done, n: usize) {
    let at = rng.index(done.instances.len());
    let (id, instance) = done.instances[at].clone();
    let event = match instance.machine {
        TestMachine::Counter => "SET",
        TestMachine::Order => *rng.pick(&TestMachine::ORDER_EVENTS),
        TestMachine::Tally => *rng.pick(&TestMachine::TALLY_EVENTS),
        TestMachine::Parcel => *rng.pick(&TestMachine::PARCEL_EVENTS),
        TestMachine::Gate => "HOLD",
        TestMachine::Fuse => "TOUCH",
    };
    // Several KiB each, so that the log fills some segments.
    let payload = json!({"paid_cents": rng.below(100), "note": "n".repeat(3000)});
    let apply = json!({"instance_id": id, "event": event, "payload": payload,
        "event_id": format!("e-{n}"), "idempotency_key": format!("event-{n}")});
    let expected = instance.machine.next(&instance.state, event, &instance.ctx);
    let found = done.call(connection, "APPLY_EVENT", apply);
    assert_eq!(
        found.is_ok(),
        expected.is_ok(),
        "{event} in {}: {found:?}",
        instance.state
    );
    if found.is_ok() {
        let offset = done.offset();
        done.instances[at].1.apply(event, &payload, offset).unwrap();
    }
}

/// The log holds exactly what was done, in order.
fn check_log(log: &[ReadRecord], done: &Done) {
    let facts: Vec<&ReadRecord> = log
        .iter()
        .filter(|record| !["snapshot", "checkpoint"].contains(&record.kind()))
        .collect();
    assert_eq!(facts.len(), done.writes.len());
    for (record, (offset, op, params, _)) in facts.into_iter().zip(&done.writes) {
        assert_eq!(record.kind().to_uppercase(), *op);
        if *op != "PUT_MACHINE" {
            assert_eq!(record.offset, *offset, "{params}");
        }
        for field in [
            "instance_id",
            "machine",
            "event",
            "payload",
            "event_id",
            "definition",
        ] {
            if let Some(asked) = params.get(field) {
                assert_eq!(record.entry[field], *asked, "{field} at {}", record.offset);
            }
        }
    }
}

fn check_instances(connection: &mut RawConnection, done: &Done) {
    let total = connection
        .call("LIST_INSTANCES", &json!({"limit": 1}))
        .unwrap()["total"]
        .clone();
    assert_eq!(total, done.instances.len());
    for (id, expected) in &done.instances {
        let found = connection
            .call("GET_INSTANCE", &json!({"instance_id": id}))
            .unwrap();
        assert_eq!(found["state"], expected.state, "{id}");
        assert_eq!(found["ctx"], Value::Object(expected.ctx.clone()), "{id}");
        assert_eq!(found["last_wal_offset"], expected.last_offset, "{id}");
    }
    let deleted = connection
        .call("GET_INSTANCE", &json!({"instance_id": "i-0"}))
        .unwrap_err();
    assert_eq!(deleted.code(), Some("INSTANCE_NOT_FOUND"));
}

/// Repeats every write. Each gives its first result and changes nothing. The node takes the context after an event from
/// the log, or from the instance if no later event has changed it. If neither has the context, it is null.
fn check_keys(connection: &mut RawConnection, done: &Done) {
    let before = digest(connection);
    let mut earliest = wal::earliest(connection).unwrap();
    let is_forgotten = |params: &Value, first: &Value, earliest: u64| {
        let offset = first["wal_offset"].as_u64().unwrap();
        let id = params["instance_id"].as_str().unwrap();
        let stands_there =
            |(known, found): &(String, ModelInstance)| known == id && found.last_offset == offset;
        offset < earliest && !done.instances.iter().any(stands_there)
    };
    // Repeated writes to a deleted instance are answered INSTANCE_NOT_FOUND, except its deletion.
    let is_live = |params: &Value| params.get("instance_id") != Some(&json!("i-0"));
    for (_, op, params, first) in &done.writes {
        if !is_live(params) && *op != "DELETE_INSTANCE" {
            continue;
        }
        let again = connection.call(op, params).unwrap();
        if again["ctx"].is_null() {
            // The node drops segments in the background, so the log may have become shorter since the last request.
            earliest = wal::earliest(connection).unwrap();
        }
        let mut expected = first.clone();
        for (field, repeated) in [("applied", false), ("created", false)] {
            if expected.get(field).is_some() {
                expected[field] = json!(repeated);
            }
        }
        if *op == "APPLY_EVENT" && is_forgotten(params, first, earliest) {
            expected["ctx"] = Value::Null;
        }
        assert_eq!(again, expected, "{op} {params}");
    }
    assert_eq!(digest(connection), before);
}

fn check_definitions(connection: &mut RawConnection, done: &Done) {
    for (_, _, params, first) in done.writes.iter().filter(|write| write.1 == "PUT_MACHINE") {
        let asked = json!({"machine": params["machine"], "version": params["version"]});
        let found = connection.call("GET_MACHINE", &asked).unwrap();
        assert_eq!(found["definition"], params["definition"]);
        assert_eq!(found["checksum"], first["stored_checksum"]);
    }
}

fn digest(connection: &mut RawConnection) -> Value {
    let digest = connection.call("INFO", &json!({})).unwrap()["state_digest"].clone();
    assert!(digest.as_str().is_some_and(|digest| !digest.is_empty()));
    digest
}

fn check_everything(node: &Node, done: &Done, log: &[ReadRecord], digest_before: &Value) {
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    assert_eq!(digest(&mut connection), *digest_before);
    assert_eq!(wal::read_all(&mut connection).unwrap(), log);
    check_instances(&mut connection, done);
    check_definitions(&mut connection, done);
    check_keys(&mut connection, done);
}

/// Whole segments are dropped, so they have to fill.
fn config() -> NodeConfig {
    NodeConfig::for_tests().with("storage.compression", "none")
}

#[test]
fn after_compact_and_restart_everything_is_there() {
    let _turn = turns::light();
    let mut rng = Rng::new(rng::seed("compaction"));
    let mut node = Node::start(&config()).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let done = work(&mut connection, &mut rng);
    let log = wal::read_all(&mut connection).unwrap();
    check_log(&log, &done);
    let before = digest(&mut connection);

    let force = json!({"force_snapshot": true});
    let compacted = connection.call("COMPACT", &force).unwrap();
    assert_eq!(compacted["snapshots_created"], 1, "{compacted}");
    assert!(compacted["wal_segments"].as_u64() > Some(2), "{compacted}");
    check_everything(&node, &done, &log, &before);

    let (status, _) = node.stop().unwrap();
    assert!(status.success(), "{status}");
    node.restart().unwrap();
    check_everything(&node, &done, &log, &before);
    node.kill().unwrap();
    node.restart().unwrap();
    check_everything(&node, &done, &log, &before);

    // Again on top of the first, with entries between the two.
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let create = json!({"instance_id": "i-0", "machine": "counter", "version": 2});
    connection.call("CREATE_INSTANCE", &create).unwrap();
    connection.call("COMPACT", &force).unwrap();
    let before = digest(&mut connection);
    node.kill().unwrap();
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    assert_eq!(digest(&mut connection), before);
    let found = connection
        .call("GET_INSTANCE", &json!({"instance_id": "i-0"}))
        .unwrap();
    assert_eq!(
        (&found["machine"], &found["version"]),
        (&json!("counter"), &json!(2))
    );
}

#[test]
fn pages_of_any_size_give_the_same_log() {
    let _turn = turns::light();
    let mut rng = Rng::new(rng::seed("compaction, pages"));
    let node = Node::start(&config()).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    work(&mut connection, &mut rng);
    let log = wal::read_all(&mut connection).unwrap();
    for page_records in [1, 7, 100] {
        let mut paged = Vec::new();
        wal::visit(&mut connection, 0, page_records, |record| {
            paged.push(record)
        })
        .unwrap();
        assert_eq!(paged.len(), log.len(), "pages of {page_records}");
        assert!(paged == log, "pages of {page_records}");
    }
    // Any place is a place to begin.
    for _ in 0..50 {
        let from = log[rng.index(log.len())].offset + rng.below(2);
        let expected = log.iter().find(|record| record.offset >= from);
        let page = connection
            .call("WAL_READ", &json!({"from_offset": from, "limit": 1}))
            .unwrap();
        let first = page["records"][0]["offset"].as_u64();
        assert_eq!(first, expected.map(|record| record.offset), "from {from}");
    }
}

#[test]
fn what_retention_has_dropped_is_said_to_be_compacted_and_the_rest_stays() {
    let _turn = turns::light();
    let mut rng = Rng::new(rng::seed("compaction, retention"));
    let config = config()
        .with("compaction.retain_events", "300")
        .with("compaction.min_interval_secs", "0");
    let mut node = Node::start(&config).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let mut done = work(&mut connection, &mut rng);
    let last = fill(&mut connection, &mut done);
    let before = digest(&mut connection);
    let earliest = compact_until_dropped(&mut connection);
    assert!(
        earliest > 1 && last - earliest >= 299,
        "{earliest} of {last}"
    );

    for _ in 0..2 {
        let mut connection = RawConnection::connect(node.addr()).unwrap();
        assert!(wal::earliest(&mut connection).unwrap() >= earliest);
        refuses_what_is_dropped(&mut connection, &node);
        let log = read_what_is_left(&mut connection);
        assert_eq!(log.last().unwrap().offset, last);
        assert_eq!(digest(&mut connection), before);
        check_instances(&mut connection, &done);
        check_definitions(&mut connection, &done);
        check_keys(&mut connection, &done);
        node.kill().unwrap();
        node.restart().unwrap();
    }
}

/// Writes many small events: a node keeps the last 10,000 before a snapshot in any case. Returns the last offset.
fn fill(connection: &mut RawConnection, done: &mut Done) -> u64 {
    let create = json!({"instance_id": "filler", "machine": "counter", "version": 1,
        "idempotency_key": "filler"});
    done.call(connection, "CREATE_INSTANCE", create).unwrap();
    let mut filler = ModelInstance::new(TestMachine::Counter, Default::default(), done.offset());
    let payload = json!({"note": "n".repeat(100)});
    for _ in 0..FILLERS / 100 {
        for _ in 0..100 {
            let apply = json!({"instance_id": "filler", "event": "SET", "payload": payload});
            connection.queue("APPLY_EVENT", &apply);
        }
        connection.flush().unwrap();
        for _ in 0..100 {
            let RawMessage::Response { outcome, .. } = connection.receive().unwrap() else {
                panic!("an event without a watch");
            };
            let offset = outcome.unwrap()["wal_offset"].as_u64().unwrap();
            filler
                .apply("SET", &payload, offset.max(filler.last_offset))
                .unwrap();
        }
    }
    let last = filler.last_offset;
    done.instances.push(("filler".to_owned(), filler));
    last
}

fn compact_until_dropped(connection: &mut RawConnection) -> u64 {
    for _ in 0..50 {
        connection
            .call("COMPACT", &json!({"force_snapshot": true}))
            .unwrap();
        let earliest = wal::earliest(connection).unwrap();
        if earliest > 100 {
            return earliest;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing is dropped");
}

/// The log to its end. The node drops segments in the background, also between two pages: then from its new start.
fn read_what_is_left(connection: &mut RawConnection) -> Vec<ReadRecord> {
    loop {
        match wal::read_all(connection) {
            Err(error) if error.code() == Some("OFFSET_COMPACTED") => {}
            read => return read.unwrap(),
        }
    }
}

fn refuses_what_is_dropped(connection: &mut RawConnection, node: &Node) {
    let earliest = wal::earliest(connection).unwrap();
    let below = json!({"from_offset": earliest - 1});
    for op in ["WAL_READ", "WATCH_ALL"] {
        let Err(Error::Refused { body, .. }) = connection.call(op, &below) else {
            panic!("{op} from a dropped offset was accepted");
        };
        assert_eq!(body.code.as_str(), "OFFSET_COMPACTED");
        assert!(body.details.unwrap()["earliest_offset"].as_u64() >= Some(earliest));
    }
    // Offset 0 asks for the earliest event there is. The watch has its own connection, because the test does not read
    // it to its end.
    let mut watcher = RawConnection::connect(node.addr()).unwrap();
    watcher
        .call("WATCH_ALL", &json!({"from_offset": 0}))
        .unwrap();
    let RawMessage::Event(event) = watcher.receive().unwrap() else {
        panic!("no event");
    };
    assert!(event["wal_offset"].as_u64() >= Some(earliest));
}

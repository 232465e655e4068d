//! Bad input over real sockets: each gets a clear answer, the node keeps running, and other clients notice nothing.

use std::thread;
use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::Error;
use rstmdb_jepsen::bystander::{self, Bystander};
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::load::machines::TestMachine;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::{RawConnection, RawMessage, framed, framed_unchecked, header};
use rstmdb_rcp::WireMode;
use serde_json::json;

const MIB: usize = 1024 * 1024;
const PING: &str = r#"{"type":"request","id":"ping","op":"PING","params":{}}"#;
/// Flag bit 0: the CRC is there.
const CRC: u16 = 1;

fn start() -> Node {
    bystander::start_node(&NodeConfig::for_tests()).unwrap()
}

/// Refusals of the connection as a whole.
fn refusals(codes: &[&str]) -> Vec<(String, String)> {
    codes
        .iter()
        .map(|code| (String::new(), (*code).to_owned()))
        .collect()
}

fn id_and_code(message: &RawMessage) -> (&str, &str) {
    message
        .id_and_code()
        .unwrap_or_else(|| panic!("no error response: {message:?}"))
}

/// A fault, the bytes that have it, and the codes of what is answered.
type Fault = (&'static str, Vec<u8>, &'static [&'static str]);

fn faults() -> Vec<Fault> {
    const BAD: &[&str] = &["BAD_REQUEST"];
    const UNSUPPORTED: &[&str] = &["UNSUPPORTED_PROTOCOL"];
    let ping_crc = crc32c::crc32c(PING.as_bytes());
    let ping = |flags, crc| {
        let length = u32::try_from(PING.len()).unwrap();
        [header(*b"RCPX", 1, flags, length, crc), PING.into()].concat()
    };
    let announced = |bytes| header(*b"RCPX", 1, CRC, bytes, 0);
    let too_long = u32::try_from(17 * MIB).unwrap();
    vec![
        ("magic", header(*b"HTTP", 1, CRC, 0, 0), &[]),
        ("version", header(*b"RCPX", 2, CRC, 0, 0), UNSUPPORTED),
        ("flag", ping(CRC | 1 << 4, ping_crc), BAD),
        ("high flag", ping(CRC | 1 << 15, ping_crc), BAD),
        ("compressed", ping(CRC | 1 << 1, ping_crc), BAD),
        ("length", announced(too_long), BAD),
        ("longest length", announced(u32::MAX), BAD),
        ("CRC", ping(CRC, ping_crc ^ 1), BAD),
        ("no JSON", framed("{\"op\":"), BAD),
        ("no UTF-8", framed_unchecked(CRC, b"{\"a\":\"\xff\"}"), BAD),
        ("no object", framed("[1,2]"), BAD),
        ("nothing", framed(""), BAD),
    ]
}

#[test]
fn every_fault_of_a_frame_is_answered_where_it_can_be_and_closes_that_connection_only() {
    let _turn = turns::light();
    let node = start();
    let mut bystander = Bystander::of(&node).unwrap();
    for open in [RawConnection::connect, RawConnection::open] {
        for (name, bytes, codes) in faults() {
            let mut connection = open(node.addr()).unwrap();
            connection.send(&bytes).unwrap();
            let found = connection.refusals_until_closed().unwrap();
            assert_eq!(found, refusals(codes), "{name}");
            bystander.notices_nothing().unwrap();
        }
    }
}

#[test]
fn what_is_unusual_but_valid_is_accepted() {
    let _turn = turns::light();
    let node = start();
    let pong = |connection: &mut RawConnection| match connection.receive().unwrap() {
        RawMessage::Response { id, outcome } => {
            assert_eq!(
                (id.as_str(), outcome.unwrap()),
                ("ping", json!({"pong": true}))
            );
        }
        other => panic!("{other:?}"),
    };
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let length = u32::try_from(PING.len()).unwrap();

    // Without the flag the server ignores the CRC.
    let no_crc = [header(*b"RCPX", 1, 0, length, 0xdead_beef), PING.into()].concat();
    connection.send(&no_crc).unwrap();
    pong(&mut connection);
    // An extension is skipped.
    let mut extended = header(*b"RCPX", 1, 0, length, 0);
    extended[9] = 3;
    connection
        .send(&[&extended[..], b"ext", PING.as_bytes()].concat())
        .unwrap();
    pong(&mut connection);
    // A frame may arrive byte by byte.
    for byte in framed(PING) {
        connection.send(&[byte]).unwrap();
        thread::sleep(Duration::from_micros(200));
    }
    pong(&mut connection);
}

#[test]
fn requests_that_are_none_are_refused_with_their_id_and_the_connection_lives_on() {
    let _turn = turns::light();
    let node = start();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let refused = [
        (r#"{"type":"request","id":"a"}"#, "a"),
        (r#"{"type":"request","id":"b","op":"DROP_TABLES"}"#, "b"),
        (r#"{"type":"request","id":"c","op":7}"#, "c"),
        (
            r#"{"type":"request","id":"d","op":"GET_INSTANCE","params":[]}"#,
            "d",
        ),
        (
            r#"{"type":"request","id":"e","op":"GET_INSTANCE","params":{"instance_id":5}}"#,
            "e",
        ),
        (r#"{"type":"request","id":"f","op":"GET_INSTANCE"}"#, "f"),
        (r#"{"type":"event","id":"g","op":"PING"}"#, "g"),
        (r#"{"type":"request","id":8,"op":"PING"}"#, ""),
        (r#"{"type":"request","op":"PING"}"#, ""),
    ];
    for (request, id) in refused {
        connection.send(&framed(request)).unwrap();
        let answer = connection.receive().unwrap();
        assert_eq!(id_and_code(&answer), (id, "BAD_REQUEST"), "{request}");
    }
    let long_id = "x".repeat(257);
    connection
        .send(&framed(&json!({"id": long_id, "op": "PING"}).to_string()))
        .unwrap();
    let RawMessage::Response {
        outcome: Err(body), ..
    } = connection.receive().unwrap()
    else {
        panic!("an id of 257 bytes was accepted");
    };
    assert!(body.message.contains("256"), "{body}");
    connection.call("PING", &json!({})).unwrap();
}

#[test]
fn another_version_in_hello_is_refused() {
    let _turn = turns::light();
    let node = start();
    let mut connection = RawConnection::open(node.addr()).unwrap();
    let error = connection
        .call("HELLO", &json!({"protocol_version": 2}))
        .unwrap_err();
    assert_eq!(error.code(), Some("UNSUPPORTED_PROTOCOL"));
}

#[test]
fn a_line_that_is_no_json_is_answered_and_closes() {
    let _turn = turns::light();
    let node = start();
    let mut connection = RawConnection::open(node.addr()).unwrap();
    let hello = json!({"protocol_version": 1, "wire_modes": ["jsonl"]});
    assert_eq!(
        connection.call("HELLO", &hello).unwrap()["wire_mode"],
        "jsonl"
    );
    connection.set_mode(WireMode::Jsonl);
    connection.send(format!("{PING}\n").as_bytes()).unwrap();
    assert!(matches!(
        connection.receive().unwrap(),
        RawMessage::Response { outcome: Ok(_), .. }
    ));
    connection.send(b"PING\n").unwrap();
    assert_eq!(
        connection.refusals_until_closed().unwrap(),
        refusals(&["BAD_REQUEST"])
    );
    Bystander::of(&node).unwrap().notices_nothing().unwrap();
}

#[test]
fn what_is_nested_ten_thousand_deep_is_refused() {
    let _turn = turns::light();
    let node = start();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let nested = [r#"{"a":"#.repeat(10_000), "1".into(), "}".repeat(10_000)].concat();
    for (op, field) in [
        ("APPLY_EVENT", "payload"),
        ("CREATE_INSTANCE", "initial_ctx"),
    ] {
        let request = format!(
            r#"{{"type":"request","id":"deep","op":"{op}","params":{{"instance_id":"bystander",
            "event":"SET","machine":"counter","version":1,"{field}":{nested}}}}}"#
        );
        connection.send(&framed(&request)).unwrap();
        assert_eq!(
            id_and_code(&connection.receive().unwrap()),
            ("deep", "BAD_REQUEST"),
            "{op}"
        );
    }
    for (deep, is_accepted) in [(10_000, false), (100, false), (30, true)] {
        for (open, close) in [("(", ")"), ("!", "")] {
            let guard = [&open.repeat(deep), "ctx.a", &close.repeat(deep)].concat();
            let definition = json!({"states": ["a"], "initial": "a", "transitions":
                [{"from": "a", "event": "E", "to": "a", "guard": guard}]});
            let name = format!("deep-{deep}-{}", open == "!");
            let put = json!({"machine": name, "version": 1, "definition": definition});
            let code = connection.call("PUT_MACHINE", &put).err();
            let code = code.as_ref().and_then(Error::code);
            assert_eq!(
                code,
                (!is_accepted).then_some("BAD_REQUEST"),
                "{deep} times {open}"
            );
        }
    }
    Bystander::of(&node).unwrap().notices_nothing().unwrap();
}

#[test]
fn ids_and_names_that_are_empty_huge_or_not_printable_are_refused_by_field() {
    let _turn = turns::light();
    let node = start();
    let mut bystander = Bystander::of(&node).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let definition = TestMachine::Counter.definition();
    let requests = [
        (
            "CREATE_INSTANCE",
            "instance_id",
            json!({"machine": "counter", "version": 1}),
        ),
        (
            "PUT_MACHINE",
            "machine",
            json!({"version": 1, "definition": definition}),
        ),
    ];
    for (op, field, request) in &requests {
        for bad in [
            String::new(),
            "x".repeat(MIB),
            "a\u{0}b".into(),
            "\u{1b}[31m".into(),
            "a\nb".into(),
        ] {
            let mut params = request.clone();
            params[*field] = json!(bad);
            let shown: String = bad.chars().take(10).collect();
            match connection.call(op, &params) {
                Err(Error::Refused { body, .. }) => {
                    assert_eq!(body.code.as_str(), "BAD_REQUEST", "{op} {shown:?}");
                    assert!(body.message.contains(field), "{op} {shown:?}: {body}");
                    assert!(
                        body.message.len() < 1000,
                        "{op} {shown:?}: the message is huge"
                    );
                }
                other => panic!("{op} {field} {shown:?}: {other:?}"),
            }
        }
    }
    refuses_names_inside_definitions(&mut connection);
    bystander.notices_nothing().unwrap();
}

fn refuses_names_inside_definitions(connection: &mut RawConnection) {
    for bad in ["", "\u{7}"] {
        for (at, field) in [("/states/0", "state"), ("/transitions/0/event", "event")] {
            let mut definition = TestMachine::Counter.definition();
            *definition.pointer_mut(at).unwrap() = json!(bad);
            if field == "state" {
                definition["initial"] = json!(bad);
                definition["transitions"][0]["from"] = json!(bad);
                definition["transitions"][0]["to"] = json!(bad);
            }
            let put = json!({"machine": "names", "version": 1, "definition": definition});
            let error = connection.call("PUT_MACHINE", &put).unwrap_err();
            assert_eq!(error.code(), Some("BAD_REQUEST"), "{at} {bad:?}");
        }
    }
    let unknown = json!({"instance_id": "bystander", "event": "x".repeat(MIB)});
    let Err(Error::Refused { body, .. }) = connection.call("APPLY_EVENT", &unknown) else {
        panic!("an event of 1 MiB was accepted");
    };
    assert!(
        ["BAD_REQUEST", "INVALID_TRANSITION"].contains(&body.code.as_str()),
        "{}",
        body.code
    );
    let long_key =
        json!({"instance_id": "bystander", "event": "SET", "idempotency_key": "k".repeat(MIB)});
    let error = connection.call("APPLY_EVENT", &long_key).unwrap_err();
    assert_eq!(error.code(), Some("BAD_REQUEST"));
}

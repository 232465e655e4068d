//! The shell that reads a script: commands of several lines, payloads without quotes, the line of a fault.

use crate::fake::{Answer, Fake, exited, run_with_input};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::{ErrorBody, op};
use serde_json::{Value, json};

fn server() -> Fake {
    Fake::start(|operation, params| match operation {
        op::GET_INSTANCE if params["instance_id"] == "nobody" => {
            Answer::Refuse(ErrorBody::new(Code::InstanceNotFound, "no such instance"))
        }
        _ => Answer::Ok("{}".to_owned()),
    })
}

#[test]
fn a_fault_is_told_with_the_line_on_which_its_command_begins() {
    let fake = server();
    let script = |text: &str| run_with_input(fake.cli(&[]), text);
    let text = "# a comment\n\nget-instance a\nget-instance \\\n  nobody\nget-instance b\n";
    let (_, err) = exited(&script(text), 1);
    assert_eq!(err, "shell: line 4: INSTANCE_NOT_FOUND: no such instance\n");
    let (_, err) = exited(&script("\nget-instance nobody --json\n"), 1);
    let error: Value = serde_json::from_str(&err).unwrap();
    assert_eq!(
        (&error["code"], &error["line"]),
        (&json!("INSTANCE_NOT_FOUND"), &json!(2))
    );
    let (_, err) = exited(&script("ping\nnonsense\n"), 2);
    assert!(
        err.starts_with("shell: line 2: error: unrecognized"),
        "{err}"
    );
    let (_, err) = exited(&script("ping\napply a B {x: 1\nping\n"), 2);
    assert!(err.starts_with("shell: line 2: "), "{err}");
}

#[test]
fn a_payload_needs_no_quotes_and_may_have_several_lines() {
    let fake = server();
    let script = "apply order-1 PAY {\n  amount: 3,\n  card: {type: visa}\n}\n";
    let output = run_with_input(fake.cli(&[]), script);
    exited(&output, 0);
    let requests = fake.requests();
    let params: Value = serde_json::from_str(&requests[0].1).unwrap();
    assert_eq!(requests[0].0, op::APPLY_EVENT);
    assert_eq!(params["instance_id"], "order-1");
    assert_eq!(params["event"], "PAY");
    assert_eq!(
        params["payload"],
        json!({"amount": 3, "card": {"type": "visa"}})
    );
}

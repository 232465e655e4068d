//! The form of results: `-o`, and what a pipe gets without it.

use crate::fake::{Answer, Fake, cli, exited};
use rstmdb_rcp::message::op;
use serde_json::{Value, json};

/// Spaces, a number and an order that only an unchanged result keeps.
const INSTANCES: &str = r#"{ "instances":[{"id":"o-1","machine":"order","version":1,"state":"paid","created_at":1700000000000,"updated_at":1700000060000,"last_wal_offset":12,"price":1.50},{"id":"o-2","machine":"order","version":1,"state":"yes","created_at":1700000000000,"updated_at":1700000060000,"last_wal_offset":13}],"total":2,"has_more":false }"#;

fn printed(args: &[&str]) -> String {
    let fake = Fake::start(|operation, _| match operation {
        op::LIST_INSTANCES => Answer::Ok(INSTANCES.to_owned()),
        op::LIST_MACHINES => {
            Answer::Ok(r#"{"items":[{"machine":"m","versions":[1,2]}]}"#.to_owned())
        }
        op::TIMER_LIST => Answer::Ok(r#"{"timers":[],"armed":0,"overdue":0}"#.to_owned()),
        op::LOCK_LIST => Answer::Ok(r#"{"locks":[{"name":"a"},{"name":"b"}]}"#.to_owned()),
        op::WAL_READ => {
            Answer::Ok(r#"{"records":[{"offset":4,"entry":{}}],"next_offset":5}"#.to_owned())
        }
        _ => Answer::Ok("{ \"pong\":true,\n\"number\":1.50 }".to_owned()),
    });
    let (out, err) = exited(&fake.cli(args).output().unwrap(), 0);
    assert_eq!(err, "", "{args:?}");
    out
}

#[test]
fn a_pipe_gets_the_result_unchanged_also_of_a_list() {
    let unchanged = format!("{INSTANCES}\n");
    for args in [
        &["list-instances"][..],
        &["list-instances", "--json"],
        &["-o", "json", "list-instances"],
        &["list-instances", "--output=json"],
    ] {
        assert_eq!(printed(args), unchanged, "{args:?}");
    }
}

#[test]
fn json_lines_are_an_item_a_line() {
    let out = printed(&["list-instances", "-o", "jsonl"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].ends_with(r#""last_wal_offset":12,"price":1.50}"#),
        "{out}"
    );
    let second: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(second["id"], "o-2");
    for (command, expected) in [
        ("list-machines", "{\"machine\":\"m\",\"versions\":[1,2]}\n"),
        ("timers list", ""),
        ("lock list", "{\"name\":\"a\"}\n{\"name\":\"b\"}\n"),
        ("wal-read", "{\"offset\":4,\"entry\":{}}\n"),
        ("info", "{\"pong\":true,\"number\":1.50}\n"),
    ] {
        let mut args = vec!["-o", "jsonl"];
        args.extend(command.split(' '));
        assert_eq!(printed(&args), expected, "{command}");
    }
}

#[test]
fn a_table_is_printed_in_a_pipe_when_it_is_asked_for() {
    let table = concat!(
        "id   machine  version  state  updated               offset\n",
        "o-1  order    1        paid   2023-11-14 22:14:20Z  12\n",
        "o-2  order    1        yes    2023-11-14 22:14:20Z  13\n",
        "2 of 2\n",
    );
    assert_eq!(printed(&["-o", "table", "list-instances"]), table);
    let wide = concat!(
        "id   machine  version  state  updated               offset  created_at            price\n",
        "o-1  order    1        paid   2023-11-14 22:14:20Z  12      2023-11-14 22:13:20Z  1.50\n",
        "o-2  order    1        yes    2023-11-14 22:14:20Z  13      2023-11-14 22:13:20Z\n",
        "2 of 2\n",
    );
    assert_eq!(printed(&["list-instances", "-o", "wide"]), wide);
}

#[test]
fn yaml_is_the_result_with_its_numbers_and_its_order() {
    let yaml = "\
instances:
  - id: o-1
    machine: order
    version: 1
    state: paid
    created_at: 1700000000000
    updated_at: 1700000060000
    last_wal_offset: 12
    price: 1.50
  - id: o-2
    machine: order
    version: 1
    state: \"yes\"
    created_at: 1700000000000
    updated_at: 1700000060000
    last_wal_offset: 13
total: 2
has_more: false
";
    assert_eq!(printed(&["list-instances", "-o", "yaml"]), yaml);
}

#[test]
fn reports_of_offline_tools_take_a_form_too() {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    let definition = json!({"states": ["a"], "initial": "a", "transitions": []});
    std::fs::write(file.path(), definition.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let out = |args: &[&str]| exited(&cli(args).output().unwrap(), 0).0;
    let text = out(&["validate", path]);
    assert!(
        !text.starts_with('{') && !text.starts_with("files:"),
        "{text}"
    );
    assert_eq!(out(&["validate", path, "-o", "table"]), text);
    assert!(out(&["validate", path, "-o", "yaml"]).starts_with("files:\n  - file: "));
    assert!(out(&["validate", path, "-o", "jsonl"]).starts_with("{\"files\":"));
}

#[test]
fn a_form_that_there_is_not_is_a_usage_error_that_names_the_others() {
    let (_, err) = exited(&cli(&["-o", "xml", "ping"]).output().unwrap(), 2);
    assert!(err.contains("table, wide, json, jsonl, yaml"), "{err}");
}

/// Three instances, of which a page has two.
fn paged(operation: &str, params: &Value) -> Answer {
    assert_eq!(operation, op::LIST_INSTANCES);
    let page = match params["after"].as_str() {
        None => json!({"instances": [{"id": "a"}, {"id": "b"}], "total": 3, "has_more": true}),
        Some("b") => json!({"instances": [{"id": "c"}], "total": 3, "has_more": false}),
        Some(other) => panic!("there is no page after {other:?}"),
    };
    Answer::Ok(page.to_string())
}

#[test]
fn all_pages_of_a_list_are_printed() {
    let listed = |form: &str| {
        let fake = Fake::start(paged);
        let output = fake.cli(&["list-instances", "--all", "-o", form]).output();
        exited(&output.unwrap(), 0).0
    };
    assert_eq!(
        listed("jsonl"),
        "{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n"
    );
    let pages = concat!(
        "{\"instances\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"total\":3,\"has_more\":true}\n",
        "{\"instances\":[{\"id\":\"c\"}],\"total\":3,\"has_more\":false}\n",
    );
    assert_eq!(listed("json"), pages);
    let table = listed("table");
    let ids: Vec<&str> = table
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(ids, ["id", "a", "b", "c", "3"], "{table}");
    assert!(table.ends_with("3 of 3\n"), "{table}");
}

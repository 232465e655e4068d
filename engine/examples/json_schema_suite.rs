//! How the schemas of format 2 do in the public test suite of JSON Schema:
//!
//! ```sh
//! git clone https://github.com/json-schema-org/JSON-Schema-Test-Suite
//! cargo run --release -p rstmdb-engine --example json_schema_suite JSON-Schema-Test-Suite/tests/draft2020-12
//! ```
//!
//! It prints a line for each file: the cases that have the outcome of the suite, those whose schema is refused when the
//! definition is put, and those with another outcome, which are faults. It fails if there is one of these.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use rstmdb_engine::definition::Definition;
use rstmdb_engine::expression::EvalSteps;
use rstmdb_engine::schema::{Misfit, Schema};
use serde_json::{Value, json};

#[derive(Default)]
struct Counts {
    same: usize,
    refused: usize,
    other: usize,
}

/// The schema as a payload's; the fault that refuses it otherwise.
fn compiled(schema: &Value) -> Result<Schema, String> {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        // It names the draft, which is the only one here.
        fields.remove("$schema");
    }
    let definition = json!({"format": 2, "initial": "a", "states": ["a"], "events": {"E": {"schema": schema}},
        "transitions": [{"from": "a", "event": "E", "to": "a"}]});
    let read = Definition::parse(definition.to_string().as_bytes());
    let chart = read.map_err(|error| error.to_string())?.chart;
    let mut schemas = chart.unwrap().events.into_iter();
    Ok(schemas.next().flatten().unwrap())
}

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: json_schema_suite FOLDER");
        return ExitCode::FAILURE;
    };
    let entries = fs::read_dir(&folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
    files.retain(|it| it.extension().is_some_and(|it| it == "json"));
    files.sort();
    let mut all = Counts::default();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    println!(
        "{:<28} {:>5} {:>8} {:>6}",
        "file", "same", "refused", "other"
    );
    for path in files {
        let groups: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut counts = Counts::default();
        for group in groups.as_array().unwrap() {
            let cases = group["tests"].as_array().unwrap();
            let schema = match compiled(&group["schema"]) {
                Ok(schema) => schema,
                Err(why) => {
                    counts.refused += cases.len();
                    let why = why.split(": ").nth(1).unwrap_or(&why).to_owned();
                    *reasons.entry(why).or_default() += cases.len();
                    continue;
                }
            };
            for case in cases {
                let found = schema.check(&case["data"].to_string(), &mut EvalSteps::default());
                let is_same = match &found {
                    Ok(()) => case["valid"] == true,
                    Err(Misfit::Broken { .. }) => case["valid"] == false,
                    Err(Misfit::Limit) => false,
                };
                if is_same {
                    counts.same += 1;
                } else {
                    counts.other += 1;
                    let (group, case) = (&group["description"], &case["description"]);
                    println!("  {group}, {case}: {found:?}");
                }
            }
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        println!(
            "{name:<28} {:>5} {:>8} {:>6}",
            counts.same, counts.refused, counts.other
        );
        all.same += counts.same;
        all.refused += counts.refused;
        all.other += counts.other;
    }
    println!(
        "{:<28} {:>5} {:>8} {:>6}",
        "all", all.same, all.refused, all.other
    );
    println!("\nwhy schemas are refused, with the cases that they have:");
    for (why, cases) in &reasons {
        println!("{cases:>5}  {why}");
    }
    match all.other {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

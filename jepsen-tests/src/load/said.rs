//! What clients say about their writes: headers, a reason, a correlation and a cause.
//!
//! It follows from the request alone, so every attempt of a request says the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use crate::harness::rng::Rng;

/// The parameters that say something about a write.
pub const FIELDS: [&str; 4] = ["headers", "reason", "correlation_id", "causation_id"];

/// So many of 100 writes say nothing.
const SILENT_PERCENT: u64 = 40;
/// Texts as clients may have them: more than one line, more than ASCII, quotes.
const TEXTS: [&str; 5] = ["web", "ü \"x\"", "two\nlines", "10.0.0.1", ""];

/// Adds to the parameters of a write what its client says about it.
pub fn add(op: &str, params: &mut Value) {
    if !is_write(op, params) {
        return;
    }
    let mut hasher = DefaultHasher::new();
    params.to_string().hash(&mut hasher);
    let mut rng = Rng::new(hasher.finish());
    if rng.percent(SILENT_PERCENT) {
        return;
    }
    if rng.percent(60) {
        let count = rng.between(1, 3);
        let headers = (0..count).map(|n| {
            let text = format!("{}{}", rng.pick(&TEXTS), rng.below(1_000));
            (format!("h{}-{n}", rng.below(10)), Value::from(text))
        });
        params["headers"] = Value::Object(headers.collect::<Map<_, _>>());
    }
    if rng.percent(50) {
        params["reason"] = json!(format!("{} {}", rng.pick(&TEXTS), rng.number()));
    }
    if rng.percent(50) {
        params["correlation_id"] = json!(format!("work-{}", rng.below(50)));
    }
    if rng.percent(50) {
        // An offset, where the request names one: then the correlation is that of the write there.
        let offset = expected_offset(params).map(|offset| offset.to_string());
        params["causation_id"] = json!(offset.unwrap_or(format!("cause-{}", rng.below(50))));
    }
}

fn expected_offset(params: &Value) -> Option<u64> {
    let alone = params["expected_wal_offset"].as_u64();
    alone.or(params["ops"][0]["params"]["expected_wal_offset"].as_u64())
}

fn is_write(op: &str, params: &Value) -> bool {
    if params["dry_run"] == true {
        return false;
    }
    match op {
        "CREATE_INSTANCE" | "APPLY_EVENT" | "DELETE_INSTANCE" => true,
        "BATCH" => {
            let ops = params["ops"].as_array().map_or(&[][..], Vec::as_slice);
            ops.iter().any(|op| op["op"] != "GET_INSTANCE")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(params: Value) -> Value {
        let mut params = params;
        add("APPLY_EVENT", &mut params);
        params
    }

    #[test]
    fn every_attempt_of_a_request_says_the_same_and_each_field_is_said_by_some() {
        let all: Vec<Value> = (0..200)
            .map(|n| json!({"event_id": format!("e{n}")}))
            .collect();
        let first: Vec<Value> = all.iter().cloned().map(said).collect();
        let again: Vec<Value> = all.iter().cloned().map(said).collect();
        assert_eq!(first, again);
        for field in FIELDS {
            let by = first.iter().filter(|params| !params[field].is_null());
            assert!((20..180).contains(&by.count()), "{field}");
        }
    }

    #[test]
    fn the_cause_of_a_conditional_write_is_the_offset_that_it_expects() {
        let causes = (0..50).map(|n| said(json!({"expected_wal_offset": 17, "event_id": n})));
        let causes: Vec<Value> = causes
            .map(|mut params| params["causation_id"].take())
            .collect();
        assert!(causes.contains(&json!("17")));
        assert!(causes.iter().all(|cause| cause.is_null() || *cause == "17"));
    }

    #[test]
    fn reads_and_questions_say_nothing() {
        for (op, params) in [
            ("GET_INSTANCE", json!({})),
            ("APPLY_EVENT", json!({"dry_run": true})),
            ("BATCH", json!({"ops": [{"op": "GET_INSTANCE"}]})),
        ] {
            for n in 0..20 {
                let mut asked = params.clone();
                asked["n"] = json!(n);
                let before = asked.clone();
                add(op, &mut asked);
                assert_eq!(asked, before, "{op}");
            }
        }
    }
}

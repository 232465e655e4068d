//! Compares what a test expects with what happened.

use rstmdb_engine::Refusal;
use rstmdb_rcp::json::Json;

use super::{Refused, Then};

/// Longest value that is shown whole.
const SHOWN_CHARS_MAX: usize = 200;

pub(super) fn instance(place: &str, then: &Then, state: &str, ctx: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(expected) = &then.state
        && expected != state
    {
        found.push(format!(
            "{place}: state: expected {expected:?}, found {state:?}"
        ));
    }
    let ctx = Json::parse(ctx).unwrap_or(Json::Null);
    if let Some(expected) = &then.ctx {
        contains(&format!("{place}: ctx"), expected, &ctx, &mut found);
    }
    for path in &then.without {
        let at = path.split('.').try_fold(&ctx, |json, name| json.get(name));
        if let Some(value) = at {
            found.push(format!(
                "{place}: ctx.{path}: expected nothing, found {}",
                shown(value)
            ));
        }
    }
    found
}

/// Objects may have more fields than expected; everything else must be the same.
fn contains(place: &str, expected: &Json, found: &Json, failures: &mut Vec<String>) {
    match (expected, found) {
        (Json::Object(fields), Json::Object(_)) => {
            for (key, value) in fields {
                let place = format!("{place}.{key}");
                match found.get(key) {
                    Some(found) => contains(&place, value, found, failures),
                    None => {
                        failures.push(format!("{place}: expected {}, found nothing", shown(value)))
                    }
                }
            }
        }
        (Json::List(left), Json::List(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                contains(&format!("{place}[{at}]"), left, right, failures);
            }
        }
        _ if same(expected, found) => {}
        _ => failures.push(format!(
            "{place}: expected {}, found {}",
            shown(expected),
            shown(found)
        )),
    }
}

/// Numbers are compared by value: 10, 10.0 and 1e1 are one number.
fn same(left: &Json, right: &Json) -> bool {
    let (Json::Number(left), Json::Number(right)) = (left, right) else {
        return left == right;
    };
    let whole = |text: &str| text.parse::<i128>().ok();
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => left == right,
        _ => {
            left == right
                || matches!((left.parse::<f64>(), right.parse::<f64>()), (Ok(l), Ok(r)) if l == r)
        }
    }
}

fn shown(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn emits(place: &str, expected: Option<&[String]>, found: &[String]) -> Option<String> {
    let expected = expected?;
    (expected != found).then(|| {
        format!(
            "{place}: emits: expected [{}], found [{}]",
            expected.join(", "),
            found.join(", ")
        )
    })
}

pub(super) fn refused(place: &str, expected: &Refused, found: Option<&Refusal>) -> Option<String> {
    let code = &expected.code;
    let Some(found) = found else {
        return Some(format!(
            "{place}: expected the refusal {code}, but the event was taken"
        ));
    };
    if found.code() != code {
        let found_code = found.code();
        return Some(format!(
            "{place}: expected the refusal {code}, found {found_code}: {found}"
        ));
    }
    let message = expected.message.as_ref()?;
    let is_there = found.to_string().contains(message.as_str());
    (!is_there).then(|| {
        format!("{place}: expected a refusal that says {message:?}, found {code}: {found}")
    })
}

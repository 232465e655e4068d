//! Documents in short: `amount=3`, `card.type=visa`, `items:=[1,2]`.

use rstmdb_rcp::json::Json;
use serde_json::value::RawValue;

use crate::Error;

/// Deepest path.
const NAMES_MAX: usize = 64;

/// Whether an argument is a pair. JSON never is: no JSON object, and no name of a file behind `@`, begins like one.
pub(super) fn is_pair(argument: &str) -> bool {
    !argument.trim_start().starts_with(['{', '[', '"', '@']) && argument.contains('=')
}

/// The object that pairs make.
pub(super) fn object(name: &str, pairs: &[String]) -> Result<Box<RawValue>, Error> {
    let mut object = Json::Object(Vec::new());
    for pair in pairs {
        put(&mut object, pair).map_err(|why| Error::Usage(format!("{name} {pair:?}: {why}")))?;
    }
    RawValue::from_string(object.to_string())
        .map_err(|error| Error::Usage(format!("{name} is not JSON: {error}")))
}

fn put(object: &mut Json, pair: &str) -> Result<(), String> {
    let (path, text) = pair
        .split_once('=')
        .filter(|_| is_pair(pair))
        .ok_or("is neither NAME=VALUE nor NAME:=JSON; a JSON document stands alone")?;
    let (path, value) = match path.strip_suffix(':') {
        Some(path) => (path, Json::parse(text).map_err(|error| error.to_string())?),
        None => (path, scalar(text)?),
    };
    let names = names(path)?;
    let Some((last, before)) = names.split_last() else {
        return Err("has no name".to_owned());
    };
    let mut at = object;
    for name in before {
        at = inner(at, name).ok_or_else(|| format!("{name:?} is no object"))?;
    }
    let Json::Object(fields) = at else {
        return Err(format!("{path:?} leads into a value that is no object"));
    };
    if fields.iter().any(|(name, _)| name == last) {
        return Err(format!("{path:?} is there twice"));
    }
    fields.push((last.clone(), value));
    Ok(())
}

/// Names between dots; `\.` is a dot in a name.
fn names(path: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => names.push(String::new()),
            '\\' => names
                .last_mut()
                .into_iter()
                .for_each(|name| name.extend(chars.next())),
            c => names.last_mut().into_iter().for_each(|name| name.push(c)),
        }
    }
    if names.iter().any(String::is_empty) {
        return Err("a name is empty".to_owned());
    }
    match names.len() <= NAMES_MAX {
        true => Ok(names),
        false => Err(format!("has more than {NAMES_MAX} names")),
    }
}

/// The object of a field, made if it is not there.
fn inner<'a>(of: &'a mut Json, name: &str) -> Option<&'a mut Json> {
    let Json::Object(fields) = of else {
        return None;
    };
    let position = match fields.iter().position(|(key, _)| key == name) {
        Some(position) => position,
        None => {
            fields.push((name.to_owned(), Json::Object(Vec::new())));
            fields.len() - 1
        }
    };
    fields
        .get_mut(position)
        .map(|(_, value)| value)
        .filter(|value| value.is_object())
}

/// Numbers, true, false and null as JSON has them; everything else is a text. A number that the database refuses, such
/// as 1e400, is no text either: it would be stored as what it is not.
pub(super) fn scalar(text: &str) -> Result<Json, String> {
    match Json::parse(text) {
        Ok(value @ (Json::Number(_) | Json::Bool(_) | Json::Null)) => Ok(value),
        Err(_) if is_number(text) => Err(format!(
            "{text} is beyond the numbers that a document can hold, which are those of a double; for the text write \
             NAME:='\"{text}\"'"
        )),
        _ => Ok(Json::Text(text.to_owned())),
    }
}

/// Whether a text is written as JSON writes numbers.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|it| it.strip_prefix(['+', '-']).unwrap_or(it));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn made(pairs: &[&str]) -> Result<String, String> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        let object = object("--payload", &pairs);
        object
            .map(|json| json.get().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_make_an_object() {
        let pairs = [
            "amount=3",
            "card.type=visa",
            "card.ok=true",
            "note=",
            "zip=01234",
            "big=1.50",
            "x:=[1, {\"a\":null}]",
            "a\\.b=null",
            "sum=a=b",
        ];
        assert_eq!(
            made(&pairs).unwrap(),
            r#"{"amount":3,"card":{"type":"visa","ok":true},"note":"","zip":"01234","big":1.50,"x":[1,{"a":null}],"a.b":null,"sum":"a=b"}"#
        );
    }

    #[test]
    fn pairs_that_make_no_object_are_refused() {
        for (pairs, part) in [
            (&["a=1", "a=2"][..], "there twice"),
            (&["a=1", "a.b=2"], "no object"),
            (&["=1"], "name is empty"),
            (&["a..b=1"], "name is empty"),
            (&["a:={"], "EOF"),
            (&["a=1", "{\"b\":2}"], "stands alone"),
            (&["a=1", "b"], "neither"),
        ] {
            let error = made(pairs).unwrap_err();
            assert!(error.contains(part), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn a_number_that_no_document_can_hold_is_refused_and_not_stored_as_a_text() {
        let long = format!("n={}", "9".repeat(400));
        for pair in ["n=1e400", "n=-1.5E+999", &long] {
            let error = made(&[pair]).unwrap_err();
            assert!(error.contains("beyond the numbers"), "{error}");
            assert!(error.contains("NAME:="), "{error}");
        }
        assert_eq!(made(&["n:=\"1e400\""]).unwrap(), r#"{"n":"1e400"}"#);
        assert_eq!(
            made(&["a=1e", "b=.5", "c=1e400x", "d=01e400", "e=1e-400", "f=inf"]).unwrap(),
            r#"{"a":"1e","b":".5","c":"1e400x","d":"01e400","e":1e-400,"f":"inf"}"#
        );
    }

    #[test]
    fn json_is_never_taken_for_a_pair() {
        for argument in ["{\"a\":\"b=c\"}", "@a=b.json", " {\"=\":1}", "-", "null"] {
            assert!(!is_pair(argument), "{argument}");
        }
    }
}

//! Contexts and payloads as types of the program.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A document and a type of the program do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {reason}")]
pub struct DocumentError {
    what: &'static str,
    reason: String,
}

/// Writes a value of the program as requests take contexts and payloads.
///
/// ```
/// use rstmdb_rcp::json::to_raw;
/// use rstmdb_rcp::message::instance::ApplyEvent;
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Payment {
///     method: &'static str,
/// }
///
/// # fn main() -> Result<(), rstmdb_rcp::json::DocumentError> {
/// let pay = ApplyEvent {
///     instance_id: "order-1".into(),
///     event: "PAY".into(),
///     payload: Some(&to_raw(&Payment { method: "card" })?),
///     ..ApplyEvent::default()
/// };
/// assert_eq!(pay.payload.map(|json| json.get()), Some(r#"{"method":"card"}"#));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The value cannot be written as JSON: it has a map whose keys are no texts, for example.
pub fn to_raw<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, DocumentError> {
    serde_json::value::to_raw_value(value).map_err(|error| DocumentError {
        what: "the value",
        reason: format!("cannot be written as JSON: {error}"),
    })
}

/// Reads a context, a payload or another part of an answer as a type of the program.
///
/// A part of the document that may be anything is best a `Box<RawValue>`, or a `serde_json::Value` with
/// `#[serde(deserialize_with = "rstmdb_rcp::json::plain_value")]`: to a plain `serde_json::Value` some keys have a meaning.
///
/// # Errors
/// The document is not of this type.
pub fn from_raw<'a, T: Deserialize<'a>>(document: &'a RawValue) -> Result<T, DocumentError> {
    read("the document", document)
}

/// Reads what an answer calls this; what is not there is `null`.
pub(crate) fn read_part<'a, T: Deserialize<'a>>(
    what: &'static str,
    document: Option<&'a RawValue>,
) -> Result<T, DocumentError> {
    read(what, document.unwrap_or(RawValue::NULL))
}

fn read<'a, T: Deserialize<'a>>(
    what: &'static str,
    document: &'a RawValue,
) -> Result<T, DocumentError> {
    serde_json::from_str(document.get()).map_err(|error| DocumentError {
        what,
        reason: format!("is not as the program expects it: {error}"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order<'a> {
        total: u64,
        customer: &'a str,
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let order = Order {
            total: 42,
            customer: "ada",
        };
        let raw = to_raw(&order).unwrap();
        assert_eq!(raw.get(), r#"{"total":42,"customer":"ada"}"#);
        assert_eq!(from_raw::<Order>(&raw), Ok(order));
    }

    #[test]
    fn what_does_not_fit_names_the_part_and_the_reason() {
        let raw = RawValue::from_string(r#"{"total":"42"}"#.to_owned()).unwrap();
        let error = read_part::<Order>("ctx", Some(&raw)).unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("ctx is not as the program expects it: invalid type: string"),
            "{said}"
        );
        let map = HashMap::from([((1, 2), 3)]);
        assert!(to_raw(&map).is_err());
    }

    #[test]
    fn a_part_that_is_not_there_is_null() {
        assert_eq!(read_part::<Option<Order>>("ctx", None), Ok(None));
        assert!(read_part::<Order>("ctx", None).is_err());
    }
}

//! The JSON of an error. A part of its details has numbers of users, which a [`Value`] would round.

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ErrorBody;
use crate::Code;
use crate::json::Json;

const TRIED: &str = "tried";

#[derive(Deserialize)]
pub(super) struct ReadError {
    code: Code,
    #[serde(default)]
    message: Box<str>,
    #[serde(default)]
    retryable: bool,
    #[serde(default)]
    details: Option<Box<RawValue>>,
}

impl TryFrom<ReadError> for ErrorBody {
    type Error = serde_json::Error;

    fn try_from(read: ReadError) -> Result<Self, Self::Error> {
        let details = read.details.map(|raw| Json::parse(raw.get())).transpose()?;
        let (details, tried) = match details {
            Some(Json::Object(fields)) => {
                let (tried, fields): (Vec<_>, Vec<_>) =
                    fields.into_iter().partition(|(name, _)| name == TRIED);
                let tried = tried.into_iter().next();
                (Some(Json::Object(fields)), tried.map(|(_, tried)| tried))
            }
            other => (other, None),
        };
        Ok(Self {
            code: read.code,
            message: read.message,
            retryable: read.retryable,
            details: details.map(Value::from),
            tried: tried.map(Box::new),
        })
    }
}

impl Serialize for ErrorBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_details = self.details.is_some() || self.tried.is_some();
        let mut error = serializer.serialize_struct("ErrorBody", 3 + usize::from(has_details))?;
        error.serialize_field("code", &self.code)?;
        error.serialize_field("message", &self.message)?;
        error.serialize_field("retryable", &self.retryable)?;
        match (&self.details, &self.tried) {
            (None, None) => {}
            (Some(details), None) => error.serialize_field("details", details)?,
            (details, Some(tried)) => {
                let whole = WholeDetails { details, tried };
                error.serialize_field("details", &whole)?;
            }
        }
        error.end()
    }
}

struct WholeDetails<'a> {
    details: &'a Option<Value>,
    tried: &'a Json,
}

impl Serialize for WholeDetails<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tried = RawValue::from_string(self.tried.to_string());
        let mut whole = serializer.serialize_map(None)?;
        for (name, value) in self.details.iter().filter_map(Value::as_object).flatten() {
            whole.serialize_entry(name, value)?;
        }
        whole.serialize_entry(TRIED, &tried.map_err(serde::ser::Error::custom)?)?;
        whole.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_guards_have_read_keeps_the_digits_of_its_numbers() {
        for text in [
            r#"{"code":"GUARD_FAILED","message":"m","retryable":false,"details":{"event":"E","tried":[{"text":"ctx.a > 2","values":{"ctx.a":1.50,"ctx.b":123456789012345678901234567890}}]}}"#,
            r#"{"code":"GUARD_FAILED","message":"m","retryable":false,"details":{"tried":[]}}"#,
            r#"{"code":"CONFLICT","message":"m","retryable":false,"details":{"a":[1.5]}}"#,
            r#"{"code":"CONFLICT","message":"","retryable":true}"#,
        ] {
            let read: ErrorBody = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        let bare: ErrorBody =
            serde_json::from_str(r#"{"code":"CONFLICT","details":null}"#).unwrap();
        assert_eq!(bare, ErrorBody::new(Code::Conflict, ""));
    }
}

//! JSON of users as a tree, for code that shows it or reads parts of it.
//!
//! To `serde_json::Value` some keys have a meaning (with its feature `raw_value`,
//! `$serde_json::private::RawValue` makes it parse the text below it once more, without a bound on
//! depth), and its numbers are rounded to a double. A [`Json`] takes every key as it is, keeps each
//! number as it was written, and bounds the depth before it recurses. Text that contains users' input is read
//! with [`Json::parse`] or [`value`], never as a `Value` by serde_json itself.
//!
//! A program that knows its contexts and payloads as types of its own uses [`to_raw`] and [`from_raw`].

mod typed;

use std::collections::HashMap;
use std::fmt;
use std::ops::Index;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Error, Map, Value};

use crate::depth;

pub(crate) use typed::read_part;
pub use typed::{DocumentError, from_raw, to_raw};

/// The deepest nesting that is read, inclusive: that of a request, wrapped in an answer.
const DEPTH_MAX: usize = 128;
/// From this many fields on, a repeated key is found by a map.
const MAP_FIELDS_MIN: usize = 16;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// As it was written.
    Number(Box<str>),
    /// Decoded.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// The fields in the order written, each key once; of a repeated key the last value counts.
    Object(Vec<(String, Json)>),
}

/// Reads text as a `serde_json::Value` to which no key has a meaning. Numbers of more than 64 bits are
/// rounded: where that matters, [`Json`] is what to use.
///
/// # Errors
/// The text is not JSON, or is nested too deep.
pub fn value(text: &str) -> Result<Value, Error> {
    Json::parse(text).map(Value::from)
}

/// The same of bytes.
///
/// # Errors
/// As for [`value`].
pub fn value_of_bytes(text: &[u8]) -> Result<Value, Error> {
    value(str::from_utf8(text).map_err(Error::custom)?)
}

/// Like `serde_json::to_value`, but no key of a raw value inside has a special meaning.
///
/// # Errors
/// It cannot be written as JSON, or is nested too deep.
pub fn to_value(from: &(impl Serialize + ?Sized)) -> Result<Value, Error> {
    value(&serde_json::to_string(from)?)
}

/// For `#[serde(deserialize_with)]` on a field that is an optional `Value`.
///
/// # Errors
/// As for [`value`].
pub fn optional_value<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
    raw.map(|raw| value(raw.get()))
        .transpose()
        .map_err(D::Error::custom)
}

/// The same for a field that is a `Value`.
///
/// # Errors
/// As for [`value`].
pub fn plain_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    value(raw.get()).map_err(D::Error::custom)
}

impl Json {
    /// Reads text.
    ///
    /// # Errors
    /// The text is not JSON, or is nested too deep.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let raw: &RawValue = serde_json::from_str(text)?;
        depth::check(text.as_bytes(), DEPTH_MAX).map_err(Error::custom)?;
        JsonWalk { rest: raw.get() }.value()
    }

    /// A field of an object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.fields()
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The fields of an object; empty for any other value.
    pub fn fields(&self) -> &[(String, Json)] {
        match self {
            Self::Object(fields) => fields,
            _ => &[],
        }
    }

    /// The items of a list; empty for any other value.
    pub fn items(&self) -> &[Json] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number of 64 bits that is written as one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// A field of an object; null if it is absent.
impl Index<&str> for Json {
    type Output = Json;

    fn index(&self, key: &str) -> &Json {
        self.get(key).unwrap_or(&Json::Null)
    }
}

/// Without spaces.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => write!(f, "{}", Value::from(text.as_str())),
            Self::List(items) => {
                f.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    let comma = if position > 0 { "," } else { "" };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (position, (key, value)) in fields.iter().enumerate() {
                    let comma = if position > 0 { "," } else { "" };
                    write!(f, "{comma}{}:{value}", Value::from(key.as_str()))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            // Null could only come of a number that serde_json did not take when it was read.
            Json::Number(text) => text.parse().map_or(Value::Null, Value::Number),
            Json::Text(text) => Value::String(text),
            Json::List(items) => items.into_iter().map(Value::from).collect(),
            Json::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(key, value)| (key, Value::from(value)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}

/// Walks over text that is JSON and not nested too deep.
struct JsonWalk<'a> {
    rest: &'a str,
}

impl<'a> JsonWalk<'a> {
    fn value(&mut self) -> Result<Json, Error> {
        self.rest = self.rest.trim_ascii_start();
        match self.rest.as_bytes().first() {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(),
            Some(b'"') => self.text().map(Json::Text),
            _ => {
                let end = self.rest.find(|c: char| ",]} \t\r\n".contains(c));
                let scalar = self.take(end.unwrap_or(self.rest.len()));
                Ok(match scalar {
                    "null" => Json::Null,
                    "true" => Json::Bool(true),
                    "false" => Json::Bool(false),
                    number => {
                        // A number that clients cannot read, such as 1e999, is refused.
                        serde_json::from_str::<serde_json::Number>(number)?;
                        Json::Number(number.into())
                    }
                })
            }
        }
    }

    fn list(&mut self) -> Result<Json, Error> {
        let mut items = Vec::new();
        while self.next(']') {
            items.push(self.value()?);
        }
        Ok(Json::List(items))
    }

    fn object(&mut self) -> Result<Json, Error> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        while self.next('}') {
            let key = self.text()?;
            self.rest = self.rest.trim_ascii_start();
            self.take(1);
            let value = self.value()?;
            let before = match positions.is_empty() {
                true => fields.iter().position(|(name, _)| *name == key),
                false => positions.get(&key).copied(),
            };
            if let Some(position) = before {
                fields[position].1 = value;
                continue;
            }
            fields.push((key, value));
            if fields.len() == MAP_FIELDS_MIN {
                positions = fields.iter().map(|(key, _)| key.clone()).zip(0..).collect();
            } else if fields.len() > MAP_FIELDS_MIN {
                let position = fields.len() - 1;
                positions.insert(fields[position].0.clone(), position);
            }
        }
        Ok(Json::Object(fields))
    }

    /// Passes the bracket or comma that comes next: whether an item follows it.
    fn next(&mut self, close: char) -> bool {
        self.rest = self.rest.trim_ascii_start();
        let closes = self.take(1).starts_with(close);
        if closes {
            return false;
        }
        self.rest = self.rest.trim_ascii_start();
        // Only an empty list or object closes right behind its opening bracket.
        if self.rest.starts_with(close) {
            self.take(1);
            return false;
        }
        !self.rest.is_empty()
    }

    fn text(&mut self) -> Result<String, Error> {
        let bytes = self.rest.as_bytes();
        let mut end = 1;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        serde_json::from_str(self.take(end + 1))
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const KEY: &str = "$serde_json::private::RawValue";

    #[test]
    fn no_key_has_a_meaning_and_no_number_is_rounded() {
        for text in [
            r#"{"a":123456789012345678901234567890,"b":1.50,"c":-0,"d":1E+2}"#.to_owned(),
            format!(r#"{{"{KEY}":"[1,2]"}}"#),
            format!(r#"[{{"{KEY}":"\"","x":[]}},{{}},[],"",null,true,false]"#),
        ] {
            assert_eq!(Json::parse(&text).unwrap().to_string(), text);
        }
        let value = value(&format!(r#"{{"{KEY}":"[1,2]"}}"#)).unwrap();
        assert_eq!(value[KEY], json!("[1,2]"));
    }

    #[test]
    fn text_inside_text_stays_text_however_deep() {
        let text = (0..45).fold("1".to_owned(), |text, _| {
            let inner = format!("{}{text}{}", "[".repeat(100), "]".repeat(100));
            let escaped = inner.replace('\\', "\\u005c").replace('"', "\\u0022");
            format!(r#"{{"{KEY}":"{escaped}"}}"#)
        });
        assert!(Json::parse(&text).unwrap().is_object());
        assert!(value(&text).unwrap().is_object());
        let raw = RawValue::from_string(text).unwrap();
        assert!(to_value(&raw).unwrap().is_object());
    }

    #[test]
    fn of_a_repeated_key_the_last_value_counts() {
        let parsed = |text: &str| Json::parse(text).unwrap().to_string();
        assert_eq!(
            parsed(r#"{"a":1,"b":{"c":1,"c":2},"\u0061":3}"#),
            r#"{"a":3,"b":{"c":2}}"#
        );
        let fields: Vec<String> = (0..40).map(|n| format!(r#""k{}":{n}"#, n % 20)).collect();
        let last: Vec<String> = (20..40).map(|n| format!(r#""k{}":{n}"#, n % 20)).collect();
        let object = |fields: Vec<String>| format!("{{{}}}", fields.join(","));
        assert_eq!(parsed(&object(fields)), object(last));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_refused() {
        for text in ["", "{", "[1,]", "01", "1e999", r#""\ud800""#, "nul", "[] x"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(128)).is_ok());
        assert!(Json::parse(&nested(129)).is_err());
        assert!(value_of_bytes(b"\"\xff\"").is_err());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // serde_json reads other doubles to within their last digit only.
            (-1_000_000_000_000..1_000_000_000_000i64).prop_map(|n| Value::from(n as f64 / 4.0)),
            "[a\"\\\\é\u{1}{}\\[\\],: ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab\"\\\\é ]{0,2}", inner, 0..20)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_what_serde_json_reads(expected in any_value()) {
            let spaced = serde_json::to_string_pretty(&expected).unwrap();
            prop_assert_eq!(value(&spaced).unwrap(), expected.clone());
            prop_assert_eq!(to_value(&expected).unwrap(), expected.clone());
            prop_assert_eq!(Json::parse(&spaced).unwrap().to_string(), expected.to_string());
        }
    }
}

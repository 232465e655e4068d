//! Reads the fields of a JSON object one by one, without a tree and without copies. For a wrong field it says
//! precisely what is wrong.

mod names;
mod ranges;

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::Consistency;
use crate::LIST_ITEMS_MAX;

/// The parameter that asks what a write would do.
pub const DRY_RUN: &str = "dry_run";

/// A wrong or missing parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ParamFault {
    /// The path, `params.ops[3].op` for one.
    pub field: String,
    /// What is allowed and what was found.
    pub problem: String,
}

impl ParamFault {
    /// A fault of this field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The same fault, seen from the object that holds the parameters at `path`:
    /// `params.version` within `params.ops[3]` is `params.ops[3].params.version`.
    #[must_use]
    pub fn within(mut self, path: &str) -> Self {
        self.field = format!("{path}.{}", self.field);
        self
    }
}

/// Parameters of an operation, read from a request.
pub trait Params<'a>: Sized {
    /// Reads them.
    ///
    /// # Errors
    /// The first missing or wrong field.
    fn read(params: &'a RawValue) -> Result<Self, ParamFault>;
}

/// The fields of one object, by name; others are skipped.
pub(crate) struct Fields<'a, const N: usize> {
    path: &'static str,
    names: [&'static str; N],
    values: [Option<&'a RawValue>; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Splits an object. `Err` only if `json` is not one JSON object.
    pub(crate) fn split(
        path: &'static str,
        json: &'a str,
        names: [&'static str; N],
    ) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let values = deserializer.deserialize_map(Split { names })?;
        deserializer.end()?;
        Ok(Self {
            path,
            names,
            values,
        })
    }

    /// Splits the parameters of a request.
    pub(super) fn of_params(
        params: &'a RawValue,
        names: [&'static str; N],
    ) -> Result<Self, ParamFault> {
        Self::split("params", params.get(), names)
            .map_err(|_| unexpected("params".into(), "an object", params.get()))
    }

    /// The field, unless it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.raw(name).filter(|raw| raw.get() != "null")
    }

    /// Whether the field is there, and null.
    #[cfg(feature = "client")]
    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|raw| raw.get() == "null")
    }

    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let at = self.names.iter().position(|known| *known == name);
        debug_assert!(at.is_some(), "{name} is read but not split");
        self.values.get(at?).copied().flatten()
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub(super) fn unexpected(&self, name: &str, expected: &str) -> ParamFault {
        match self.raw(name) {
            Some(raw) => unexpected(self.path_of(name), expected, raw.get()),
            None => ParamFault::new(self.path_of(name), format!("required, expected {expected}")),
        }
    }

    fn optional<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Result<Option<T>, ParamFault> {
        match self.get(name) {
            None => Ok(None),
            Some(raw) => match parse(raw) {
                Some(value) => Ok(Some(value)),
                None => Err(self.unexpected(name, expected)),
            },
        }
    }

    fn required<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Result<T, ParamFault> {
        self.optional(name, expected, parse)?
            .ok_or_else(|| self.unexpected(name, expected))
    }

    pub(super) fn text(&self, name: &str) -> Result<Cow<'a, str>, ParamFault> {
        self.required(name, "a string", parse_text)
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<Cow<'a, str>>, ParamFault> {
        self.optional(name, "a string", parse_text)
    }

    pub(super) fn host_and_port(&self, name: &str) -> Result<Cow<'a, str>, ParamFault> {
        self.required(name, HOST_AND_PORT, |raw| {
            parse_text(raw).filter(|text| is_host_and_port(text))
        })
    }

    pub(super) fn integer(&self, name: &str) -> Result<u64, ParamFault> {
        self.required(name, "an integer ≥ 0", parse_integer)
    }

    pub(super) fn optional_integer(&self, name: &str) -> Result<Option<u64>, ParamFault> {
        self.optional(name, "an integer ≥ 0", parse_integer)
    }

    pub(super) fn version(&self, name: &str) -> Result<u32, ParamFault> {
        self.required(name, VERSION, parse_version)
    }

    pub(super) fn optional_version(&self, name: &str) -> Result<Option<u32>, ParamFault> {
        self.optional(name, VERSION, parse_version)
    }

    pub(super) fn optional_bool(&self, name: &str) -> Result<Option<bool>, ParamFault> {
        self.optional(name, "true or false", |raw| raw.get().parse().ok())
    }

    /// Whether only an answer to "what would it do" is wanted.
    pub(super) fn dry_run(&self) -> Result<bool, ParamFault> {
        let asked = self.optional_bool(DRY_RUN)?;
        Ok(asked.unwrap_or(false))
    }

    pub(super) fn object(&self, name: &str) -> Result<&'a RawValue, ParamFault> {
        self.required(name, "an object", parse_object)
    }

    pub(super) fn optional_object(&self, name: &str) -> Result<Option<&'a RawValue>, ParamFault> {
        self.optional(name, "an object or null", parse_object)
    }

    pub(super) fn consistency(&self) -> Result<Option<Consistency>, ParamFault> {
        const EXPECTED: &str = "one of \"linearizable\", \"lease\", \"local\"";
        self.optional(super::ReadOptions::CONSISTENCY, EXPECTED, |raw| {
            serde_json::from_str(raw.get()).ok()
        })
    }

    pub(super) fn read_options(&self) -> Result<super::ReadOptions, ParamFault> {
        Ok(super::ReadOptions {
            consistency: self.consistency()?,
            min_wal_offset: self.optional_integer(super::ReadOptions::MIN_WAL_OFFSET)?,
        })
    }

    /// A list of strings; absent is empty.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<Cow<'a, str>>, ParamFault> {
        self.items(name, "a list of strings", LIST_ITEMS_MAX)?
            .into_iter()
            .enumerate()
            .map(|(at, item)| {
                parse_text(item).ok_or_else(|| {
                    unexpected(
                        format!("{}[{at}]", self.path_of(name)),
                        "a string",
                        item.get(),
                    )
                })
            })
            .collect()
    }

    /// The items of a list, at most `items_max`; absent is empty.
    pub(crate) fn items(
        &self,
        name: &str,
        expected: &str,
        items_max: usize,
    ) -> Result<Vec<&'a RawValue>, ParamFault> {
        let Some(raw) = self.get(name) else {
            return Ok(Vec::new());
        };
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        let (items, count) = deserializer
            .deserialize_seq(BoundedItems { items_max })
            .map_err(|_| self.unexpected(name, expected))?;
        if count > items_max {
            return Err(ParamFault::new(
                self.path_of(name),
                format!("at most {items_max} items, got {count}"),
            ));
        }
        Ok(items)
    }
}

const VERSION: &str = "an integer ≥ 1";

pub(super) fn parse_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct FieldText<'t>(#[serde(borrow)] Cow<'t, str>);
    // JSON's grammar has been checked already: without an escape, a string is what stands between its quotes.
    let unquoted = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', unquoted.as_bytes()).is_none() {
        return Some(Cow::Borrowed(unquoted));
    }
    let text: FieldText<'_> = serde_json::from_str(raw.get()).ok()?;
    Some(text.0)
}

// JSON's grammar has been checked already, so what Rust parses here is what JSON means.
fn parse_integer(raw: &RawValue) -> Option<u64> {
    raw.get().parse().ok()
}

fn parse_version(raw: &RawValue) -> Option<u32> {
    raw.get().parse().ok().filter(|version| *version >= 1)
}

const HOST_AND_PORT: &str = "\"HOST:PORT\" with a port from 1 to 65535";

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    let port_fits = port.parse::<u16>().is_ok_and(|port| port > 0);
    !host.is_empty() && !bare_ipv6 && port_fits
}

fn parse_object(raw: &RawValue) -> Option<&RawValue> {
    raw.get().starts_with('{').then_some(raw)
}

pub(super) fn unexpected(field: String, expected: &str, found: &str) -> ParamFault {
    ParamFault::new(
        field,
        format!("expected {expected}, got {}", shorten(found)),
    )
}

/// The start of a value, for a message. A request can hold a 16 MiB string, but an error must not.
fn shorten(text: &str) -> Cow<'_, str> {
    const SHOWN_CHARS_MAX: usize = 64;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}… ({} bytes)", &text[..end], text.len())),
    }
}

struct Split<const N: usize> {
    names: [&'static str; N],
}

impl<'de, const N: usize> Visitor<'de> for Split<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(at) = map.next_key_seed(KnownName(&self.names))? {
            match at.and_then(|at: usize| values.get_mut(at)) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(slot) => {
                    let raw: &'de RawValue = map.next_value()?;
                    // The last one counts, as in most parsers, but a null never hides a value.
                    if slot.is_none() || raw.get() != "null" {
                        *slot = Some(raw);
                    }
                }
            }
        }
        Ok(values)
    }
}

struct KnownName<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for KnownName<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KnownName<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

/// Keeps at most `items_max` items and counts the rest, so that a list of a million brackets costs
/// no memory.
struct BoundedItems {
    items_max: usize,
}

impl<'de> Visitor<'de> for BoundedItems {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.items_max {
            match seq.next_element()? {
                Some(item) => items.push(item),
                None => {
                    let count = items.len();
                    return Ok((items, count));
                }
            }
        }
        let mut count = items.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((items, count))
    }
}

/// For `#[serde(skip_serializing_if)]`: what stands for nothing is not sent.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_a_string_and_nothing_else() {
        for other in ["1", "null", "[\"a\"]", "{\"a\":\"b\"}"] {
            let raw: &RawValue = serde_json::from_str(other).unwrap();
            assert_eq!(parse_text(raw), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_it_was_written(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let raw: &RawValue = serde_json::from_str(&json).unwrap();
            let read = parse_text(raw);
            prop_assert_eq!(read.as_deref(), Some(&*text));
        }
    }
}

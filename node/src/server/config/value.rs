//! A configured value before it has a type, and how each type is read from it.
//!
//! The file, the environment and the defaults all arrive here, so one parser per type serves all three. A parser
//! returns `None` for "does not fit"; the key's table entry says what would fit.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ConfigValue {
    /// Written, but empty.
    Null,
    /// Any scalar, as text.
    Text(String),
    /// A sequence.
    List(Vec<ConfigValue>),
    /// A mapping, in its written order; each key with its line.
    Map(Vec<(String, u64, ConfigValue)>),
}

impl ConfigValue {
    /// Reads a text of YAML; the error is for the author of the text. An empty text is null.
    pub(super) fn of_yaml(text: &str) -> Result<Self, String> {
        let root: Result<Option<Self>, _> = serde_saphyr::from_str(text);
        match root {
            Ok(root) => Ok(root.unwrap_or(Self::Null)),
            Err(error) => Err(plain(&error.to_string())),
        }
    }

    /// The scalar, without surrounding space.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.trim().is_empty() => Some(text.trim()),
            _ => None,
        }
    }

    /// Whether the value says that there is none.
    pub(super) fn is_none(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text == "none",
            Self::List(_) | Self::Map(_) => false,
        }
    }

    /// A whole number within `range`; `_` may group digits.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = self.text()?.replace('_', "").parse().ok()?;
        range.contains(&number).then_some(number)
    }

    /// As [`ConfigValue::number`], where `none` is allowed.
    pub(super) fn number_or_none(&self, range: RangeInclusive<u64>) -> Option<Option<u64>> {
        if self.is_none() {
            return Some(None);
        }
        self.number(range).map(Some)
    }

    /// `true` or `false`; `1` and `0` because variables are often written so.
    pub(super) fn flag(&self) -> Option<bool> {
        match self.text()? {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// A path.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.text().map(PathBuf::from)
    }

    /// As [`ConfigValue::path`], where `none` is allowed.
    pub(super) fn path_or_none(&self) -> Option<Option<PathBuf>> {
        if self.is_none() {
            return Some(None);
        }
        self.path().map(Some)
    }

    /// `host:port`, with an IPv6 host in brackets.
    pub(super) fn address(&self) -> Option<String> {
        let text = self.text()?;
        let (host, port) = text.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let bare = host.strip_prefix('[').map_or_else(
            || (!host.contains(':')).then_some(host),
            |rest| {
                rest.strip_suffix(']')
                    .filter(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())
            },
        )?;
        (!bare.is_empty() && !bare.contains(char::is_whitespace)).then(|| text.to_owned())
    }

    /// A list of scalars; a scalar stands for a list of one.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::List(items) => items.iter().map(Self::text).collect(),
            Self::Text(_) => Some(vec![self.text()?]),
            Self::Null => Some(Vec::new()),
            Self::Map(_) => None,
        }
    }

    /// The only entry of a mapping of one.
    pub(super) fn single_entry(&self) -> Option<(&str, &ConfigValue)> {
        match self {
            Self::Map(entries) if entries.len() == 1 => Some((&entries[0].0, &entries[0].2)),
            _ => None,
        }
    }

    /// The entries of a mapping that has exactly `names`, in that order.
    pub(super) fn fields<const N: usize>(&self, names: [&str; N]) -> Option<[&ConfigValue; N]> {
        let Self::Map(entries) = self else {
            return None;
        };
        if entries.len() != N {
            return None;
        }
        let mut found = [self; N];
        for (slot, name) in found.iter_mut().zip(names) {
            *slot = &entries.iter().find(|(key, ..)| key == name)?.2;
        }
        Some(found)
    }
}

/// The parser speaks to the program that uses it. This is what it says, in words for the author of the file.
fn plain(said: &str) -> String {
    const WORDS: [(&str, &str); 7] = [
        (
            ", set DuplicateKeyPolicy in Options if acceptable",
            "; write each key once",
        ),
        (
            "cannot deserialize null into string; use Option<String>",
            "expected the name of a key, such as `network`, found an empty one",
        ),
        (
            "expected string scalar",
            "expected the name of a key, such as `network`",
        ),
        (
            "; use from_str_multiple or from_str_multiple_with_options",
            "; only one is allowed: remove the `---` between them",
        ),
        (
            "invalid u64",
            "its tag says `!!int`, and it is not a whole number",
        ),
        ("non-finite float", "the number"),
        (
            "rejected by the configured policy",
            "is not finite; expected a finite number",
        ),
    ];
    WORDS.iter().fold(said.to_owned(), |said, (theirs, ours)| {
        said.replace(theirs, ours)
    })
}

impl fmt::Display for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => write!(f, "(empty)"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => {
                write!(f, "[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                write!(f, "]")
            }
            Self::Map(entries) => {
                write!(f, "{{")?;
                for (i, (key, _, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
                }
                write!(f, "}}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = ConfigValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Text(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Text(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Text(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Text(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Text(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Text(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Text(value.to_owned()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<ConfigValue, D::Error> {
        ConfigValue::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ConfigValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(ConfigValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            entries.push((key.value, line, map.next_value()?));
        }
        Ok(ConfigValue::Map(entries))
    }
}

//! One walk over a JSON text: is it all valid, and what is its value's hash?
//!
//! The hash is by value: spaces, the order of an object's keys and the way a number is written do
//! not count. serde_json bounds the depth.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Checks a text to the last escape and number; returns the hash of its value.
pub(crate) fn check(text: &[u8]) -> Result<u64, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let hash = Walk.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(hash)
}

#[derive(Clone, Copy)]
struct Walk;

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Kinds keep values of different types apart.
fn hash(kind: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, kind)
}

impl<'de> Visitor<'de> for Walk {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(hash(0, b""))
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(hash(1, &[u8::from(value)]))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(hash(2, &i128::from(value).to_le_bytes()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(hash(2, &i128::from(value).to_le_bytes()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        let whole = value as i128;
        if whole as f64 == value && value.abs() < 1e30 {
            return Ok(hash(2, &whole.to_le_bytes()));
        }
        Ok(hash(3, &value.to_le_bytes()))
    }

    fn visit_str<E>(self, value: &str) -> Result<u64, E> {
        Ok(hash(4, value.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut all = hash(5, b"");
        while let Some(item) = items.next_element_seed(Walk)? {
            all = hash(all, &item.to_le_bytes());
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<u64, A::Error> {
        let mut all = hash(6, b"");
        while let Some(name) = fields.next_key_seed(Walk)? {
            let value = fields.next_value_seed(Walk)?;
            // A sum, because the order of keys does not count.
            all = all.wrapping_add(xxh3_64(&[name.to_le_bytes(), value.to_le_bytes()].concat()));
        }
        Ok(all)
    }
}

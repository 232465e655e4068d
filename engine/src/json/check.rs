//! One walk over a JSON text, which checks all of it and hashes its value.
//!
//! The hash is by value: spaces, the order of an object's keys and the way a number is written do
//! not count, and of a repeated key only the last value does.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::number::JsonDecimal;
use super::reader::{JsonFault, JsonKind, JsonReader};

/// Checks a text to the last escape and number; returns the hash of its value.
pub(crate) fn check(text: &[u8]) -> Result<u64, JsonFault> {
    let mut reader = JsonReader::of_bytes(text)?;
    let hash = value(&mut reader)?;
    reader.end()?;
    Ok(hash)
}

/// Kinds keep values of different types apart.
fn hash(kind: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, kind)
}

/// Recurses as deep as the reader lets it.
fn value(reader: &mut JsonReader<'_>) -> Result<u64, JsonFault> {
    Ok(match reader.kind()? {
        JsonKind::Null => {
            reader.word("null")?;
            hash(0, b"")
        }
        JsonKind::True => {
            reader.word("true")?;
            hash(1, &[1])
        }
        JsonKind::False => {
            reader.word("false")?;
            hash(1, &[0])
        }
        JsonKind::Number => {
            let number = JsonDecimal::new(reader.number()?);
            match number.whole() {
                Some(whole) => hash(2, &whole.to_le_bytes()),
                None => hash(3, &number.canonical()),
            }
        }
        JsonKind::String => hash(4, reader.string()?.as_bytes()),
        JsonKind::List => {
            reader.enter()?;
            let mut all = hash(5, b"");
            while reader.item()? {
                all = hash(all, &value(reader)?.to_le_bytes());
            }
            all
        }
        JsonKind::Object => {
            reader.enter()?;
            let mut fields = Vec::new();
            while let Some(name) = reader.field()? {
                fields.push((hash(4, name.as_bytes()), value(reader)?));
            }
            object(fields)
        }
    })
}

/// The hash of an object from its fields' names and values in the order written.
fn object(mut fields: Vec<(u64, u64)>) -> u64 {
    fields.sort_by_key(|(name, _)| *name);
    let mut all = hash(6, b"");
    for (position, (name, value)) in fields.iter().enumerate() {
        // Sorting kept the order of a repeated key's values.
        if fields.get(position + 1).is_none_or(|next| next.0 != *name) {
            let mut pair = [0; 16];
            pair[..8].copy_from_slice(&name.to_le_bytes());
            pair[8..].copy_from_slice(&value.to_le_bytes());
            all = all.wrapping_add(xxh3_64(&pair));
        }
    }
    all
}

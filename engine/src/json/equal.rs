//! Whether two JSON texts have the same value: numbers by exact value, objects whatever the order of their
//! keys, and of a repeated key only the last value.

use std::borrow::Cow;

use super::number::JsonDecimal;
use super::reader::{JsonFault, JsonKind, JsonReader};

/// The cost of a comparison is counted in bytes read. Each field of an object adds some, because fields are
/// sorted.
const FIELD_BYTES: usize = 32;

/// How much more may be read.
#[derive(Debug)]
pub(crate) struct ReadBudget(usize);

/// The comparison would have to read more than allowed, or the text is not valid.
#[derive(Debug)]
pub(crate) struct Stopped;

impl From<JsonFault> for Stopped {
    fn from(_: JsonFault) -> Self {
        Self
    }
}

impl ReadBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// How many bytes may still be read.
    pub(crate) fn left(&self) -> usize {
        self.0
    }

    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Stopped> {
        self.0 = self.0.checked_sub(bytes).ok_or(Stopped)?;
        Ok(())
    }
}

/// Compares two values, each without spaces around it. Recurses as deep as the text is nested, which
/// the reader bounds.
pub(crate) fn equal(left: &str, right: &str, bytes: &mut ReadBudget) -> Result<bool, Stopped> {
    bytes.spend(left.len() + right.len())?;
    if left == right {
        return Ok(true);
    }
    let (mut left, mut right) = (JsonReader::new(left), JsonReader::new(right));
    match (left.kind()?, right.kind()?) {
        (JsonKind::Number, JsonKind::Number) => {
            Ok(JsonDecimal::new(left.number()?) == JsonDecimal::new(right.number()?))
        }
        (JsonKind::String, JsonKind::String) => Ok(left.string()? == right.string()?),
        (JsonKind::List, JsonKind::List) => {
            left.enter()?;
            right.enter()?;
            lists(&mut left, &mut right, bytes)
        }
        (JsonKind::Object, JsonKind::Object) => {
            let left = fields(&mut left, bytes)?;
            let right = fields(&mut right, bytes)?;
            if left.len() != right.len() {
                return Ok(false);
            }
            for ((left_name, left), (right_name, right)) in left.iter().zip(&right) {
                if left_name != right_name || !equal(left, right, bytes)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        // Both null, both true or both false were the same text.
        _ => Ok(false),
    }
}

fn lists(
    left: &mut JsonReader<'_>,
    right: &mut JsonReader<'_>,
    bytes: &mut ReadBudget,
) -> Result<bool, Stopped> {
    loop {
        match (left.item()?, right.item()?) {
            (false, false) => return Ok(true),
            (true, true) => {
                if !equal(left.skip()?, right.skip()?, bytes)? {
                    return Ok(false);
                }
            }
            _ => return Ok(false),
        }
    }
}

/// The fields by name, each once.
fn fields<'a>(
    object: &mut JsonReader<'a>,
    bytes: &mut ReadBudget,
) -> Result<Vec<(Cow<'a, str>, &'a str)>, Stopped> {
    object.enter()?;
    let mut fields = Vec::new();
    while let Some(name) = object.field()? {
        bytes.spend(FIELD_BYTES)?;
        fields.push((name, object.skip()?));
    }
    // The last of a repeated name comes first, and is what stays.
    fields.reverse();
    fields.sort_by(|left, right| left.0.cmp(&right.0));
    fields.dedup_by(|later, earlier| later.0 == earlier.0);
    Ok(fields)
}

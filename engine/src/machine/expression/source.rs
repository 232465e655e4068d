//! Reads JSON text: only the fields that an expression asks for, and the text before them.

use std::borrow::Cow;
use std::rc::Rc;

use super::error::Why;
use super::value::{ExprText, ExprValue, key_equal};
use crate::json::{JsonFault, JsonKind, JsonReader};
use crate::limits::EXPRESSION_STEPS_MAX;

/// Bytes that are read or copied in the time of one step.
const STEP_BYTES: usize = 64;

impl From<JsonFault> for Why {
    fn from(_: JsonFault) -> Self {
        Self::Damaged
    }
}

/// The steps that are left to the evaluations of one decision.
#[derive(Debug)]
pub struct EvalSteps(u64);

impl Default for EvalSteps {
    fn default() -> Self {
        Self(EXPRESSION_STEPS_MAX)
    }
}

impl EvalSteps {
    /// This number of steps, instead of the usual one.
    pub fn new(steps: u64) -> Self {
        Self(steps)
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        self.0
    }

    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Why> {
        match self.0.checked_sub(steps) {
            Some(left) => self.0 = left,
            None => {
                // Nothing is left, so that a smaller cost cannot succeed later: the limit is final.
                self.0 = 0;
                return Err(Why::Limit);
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self, bytes: usize) -> Result<(), Why> {
        self.spend((bytes / STEP_BYTES) as u64)
    }
}

/// A document whose fields are looked up one after the other. What was read is not read again.
#[derive(Debug)]
pub(super) struct FieldSource<'a> {
    text: &'a str,
    reader: JsonReader<'a>,
    fields: Vec<(Cow<'a, str>, &'a str)>,
    progress: FieldProgress,
    /// No name stands twice at the top: reading can end at the first.
    unique: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldProgress {
    Before,
    Inside,
    Read,
}

impl<'a> FieldSource<'a> {
    pub(super) fn new(text: &'a str, unique: bool) -> Self {
        Self {
            text,
            reader: JsonReader::new(text),
            fields: Vec::new(),
            progress: FieldProgress::Before,
            unique,
        }
    }

    pub(super) fn value(&self) -> ExprValue<'a> {
        ExprValue::JsonMap(self.text)
    }

    /// The text of a field's value.
    pub(super) fn field(
        &mut self,
        name: &str,
        steps: &mut EvalSteps,
    ) -> Result<Option<&'a str>, Why> {
        steps.spend(1 + self.fields.len() as u64 / 8)?;
        if self.unique || self.progress == FieldProgress::Read {
            let found = self.fields.iter().rev().find(|(other, _)| other == name);
            if let Some((_, value)) = found {
                return Ok(Some(value));
            }
        }
        if self.progress == FieldProgress::Before {
            if self.reader.kind()? != JsonKind::Object {
                return Err(Why::Damaged);
            }
            self.reader.enter()?;
            self.progress = FieldProgress::Inside;
        }
        while self.progress == FieldProgress::Inside {
            let Some((found, value)) = next_field(&mut self.reader, steps)? else {
                self.progress = FieldProgress::Read;
                break;
            };
            let is_found = self.unique && found == name;
            self.fields.push((found, value));
            if is_found {
                return Ok(Some(value));
            }
        }
        let found = self.fields.iter().rev().find(|(other, _)| other == name);
        Ok(found.map(|(_, value)| *value))
    }
}

fn next_field<'a>(
    reader: &mut JsonReader<'a>,
    steps: &mut EvalSteps,
) -> Result<Option<(Cow<'a, str>, &'a str)>, Why> {
    let start = reader.at();
    let Some(name) = reader.field()? else {
        return Ok(None);
    };
    reader.kind()?;
    let value = reader.skip()?;
    steps.spend(1)?;
    steps.bytes(reader.at() - start)?;
    Ok(Some((name, value)))
}

/// The value of a text without spaces around it.
pub(super) fn value<'a>(text: &'a str, steps: &mut EvalSteps) -> Result<ExprValue<'a>, Why> {
    let mut reader = JsonReader::new(text);
    Ok(match reader.kind()? {
        JsonKind::Null => ExprValue::Null,
        JsonKind::True => ExprValue::Bool(true),
        JsonKind::False => ExprValue::Bool(false),
        JsonKind::Number => ExprValue::Number(text),
        JsonKind::List => ExprValue::JsonList(text),
        JsonKind::Object => ExprValue::JsonMap(text),
        JsonKind::String => {
            steps.bytes(text.len())?;
            ExprValue::String(match reader.string()? {
                Cow::Borrowed(text) => ExprText::Borrowed(text),
                Cow::Owned(text) => ExprText::Owned(text.into()),
            })
        }
    })
}

/// The text of a field of an object: of a repeated name the last.
pub(super) fn field<'a>(
    object: &'a str,
    name: &str,
    steps: &mut EvalSteps,
) -> Result<Option<&'a str>, Why> {
    let mut reader = JsonReader::new(object);
    reader.kind()?;
    reader.enter()?;
    let mut last = None;
    while let Some((found, value)) = next_field(&mut reader, steps)? {
        if found == name {
            last = Some(value);
        }
    }
    Ok(last)
}

/// The text of an item of a list, or how many items there are.
pub(super) fn item<'a>(
    list: &'a str,
    index: u64,
    steps: &mut EvalSteps,
) -> Result<Result<&'a str, usize>, Why> {
    let mut reader = JsonReader::new(list);
    reader.kind()?;
    reader.enter()?;
    let mut passed = 0;
    while reader.item()? {
        reader.kind()?;
        let text = reader.skip()?;
        steps.spend(1)?;
        steps.bytes(text.len())?;
        if passed == index {
            return Ok(Ok(text));
        }
        passed += 1;
    }
    Ok(Err(passed as usize))
}

/// The items of a list.
pub(super) fn items<'a>(
    list: &ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Result<Rc<[ExprValue<'a>]>, Why> {
    let text = match list {
        ExprValue::List(items) => return Ok(items.clone()),
        ExprValue::JsonList(text) => *text,
        _ => return Err(Why::overload(format!("items of {}", list.kind().name()))),
    };
    let mut reader = JsonReader::new(text);
    reader.kind()?;
    reader.enter()?;
    let mut items = Vec::new();
    while reader.item()? {
        reader.kind()?;
        let text = reader.skip()?;
        steps.spend(1)?;
        steps.bytes(text.len())?;
        items.push(value(text, steps)?);
    }
    Ok(items.into())
}

type MapEntries<'a> = Rc<[(ExprValue<'a>, ExprValue<'a>)]>;

/// The keys and values of a map.
pub(super) fn entries<'a>(
    map: &ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Result<MapEntries<'a>, Why> {
    let text = match map {
        ExprValue::Map(entries) => return Ok(entries.clone()),
        ExprValue::JsonMap(text) => *text,
        _ => return Err(Why::overload(format!("keys of {}", map.kind().name()))),
    };
    let entries = fields(text, steps)?.into_iter().map(|(name, text)| {
        let name = match name {
            Cow::Borrowed(name) => ExprText::Borrowed(name),
            Cow::Owned(name) => ExprText::Owned(name.into()),
        };
        Ok((ExprValue::String(name), value(text, steps)?))
    });
    entries.collect()
}

/// The fields of an object in the order written; a repeated name stands at its first place with its last value.
fn fields<'a>(text: &'a str, steps: &mut EvalSteps) -> Result<Vec<(Cow<'a, str>, &'a str)>, Why> {
    let mut reader = JsonReader::new(text);
    reader.kind()?;
    reader.enter()?;
    let mut fields = Vec::new();
    while let Some(field) = next_field(&mut reader, steps)? {
        fields.push(field);
    }
    let mut order: Vec<usize> = (0..fields.len()).collect();
    steps.spend(fields.len() as u64)?;
    // Stable, so that the values of one name stay in the order written.
    order.sort_by(|left, right| fields[*left].0.cmp(&fields[*right].0));
    let mut repeated = vec![false; fields.len()];
    let mut last_values = Vec::new();
    for same in order.chunk_by(|left, right| fields[*left].0 == fields[*right].0) {
        if let [first, .., last] = *same {
            last_values.push((first, fields[last].1));
            same[1..].iter().for_each(|later| repeated[*later] = true);
        }
    }
    for (first, value) in last_values {
        fields[first].1 = value;
    }
    let mut repeated = repeated.into_iter();
    fields.retain(|_| repeated.next() != Some(true));
    Ok(fields)
}

/// The value of a key; `None` if the map has none.
pub(super) fn lookup<'a>(
    map: &ExprValue<'a>,
    key: &ExprValue<'_>,
    steps: &mut EvalSteps,
) -> Result<Option<ExprValue<'a>>, Why> {
    match (map, key) {
        (ExprValue::JsonMap(text), ExprValue::String(name)) => match field(text, name, steps)? {
            Some(text) => value(text, steps).map(Some),
            None => Ok(None),
        },
        (ExprValue::Map(entries), _) => {
            steps.spend(entries.len() as u64 / 4)?;
            let found = entries.iter().find(|(other, _)| key_equal(other, key));
            Ok(found.map(|(_, value)| value.clone()))
        }
        _ => Ok(None),
    }
}

/// How many items or keys there are.
pub(super) fn size(value: &ExprValue<'_>, steps: &mut EvalSteps) -> Result<Option<usize>, Why> {
    Ok(Some(match value {
        ExprValue::List(items) => items.len(),
        ExprValue::Map(entries) => entries.len(),
        ExprValue::JsonList(text) => match item(text, u64::MAX, steps)? {
            Ok(_) => return Ok(None),
            Err(size) => size,
        },
        ExprValue::JsonMap(text) => fields(text, steps)?.len(),
        _ => return Ok(None),
    }))
}

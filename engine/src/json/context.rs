//! An instance's context. It is scanned once for everything that a decision needs: the values at the paths of
//! guards, and the places where the payload's fields go.

use std::ops::Range;

use bytes::Bytes;

use super::object::JsonObject;
use super::reader::{JsonFault, JsonKind, JsonReader};
use crate::hash::Map;

/// From this many names on, those below a path are found by a map.
const MAP_NAMES_MIN: usize = 9;

/// A context and what one scan of it found. Every stored context was checked when it was decided.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    text: &'a [u8],
    payload: Option<&'a JsonObject<'a>>,
    /// The names that paths go through, as a tree. The first is the context itself.
    places: Vec<ContextPlace<'a>>,
    /// How many values were found; each gets the next number.
    found: u32,
    scanned: Option<Scanned>,
}

/// What is at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundJson<'a> {
    /// A value's text.
    Text(&'a str),
    /// The length of a list.
    Length(usize),
}

#[derive(Debug, Default)]
struct ContextPlace<'a> {
    below: Vec<(&'a str, u32)>,
    by_name: Option<Map<&'a str, u32>>,
    value: Option<FoundJson<'a>>,
    number: u32,
    /// The number of the enclosing value. If a name is repeated, the values below its earlier occurrences
    /// thereby no longer count.
    inside: u32,
}

#[derive(Debug)]
struct Scanned {
    /// The values that the payload replaces, and the position of the new one in the payload.
    replaced: Vec<(Range<usize>, usize)>,
    is_empty: bool,
    /// Where the context's closing brace is.
    close: usize,
}

impl<'a> Context<'a> {
    pub(crate) fn new(text: &'a [u8], payload: Option<&'a JsonObject<'a>>) -> Self {
        Self {
            text,
            payload,
            places: vec![ContextPlace::default()],
            found: 0,
            scanned: None,
        }
    }

    /// Asks for the value at a path, as names joined by dots. Only before the scan.
    pub(crate) fn want(&mut self, path: &'a str) {
        let mut at = 0;
        for name in path.split('.') {
            at = match self.places[at].below(name) {
                Some(place) => place,
                None => self.add(at, name),
            };
        }
    }

    fn add(&mut self, parent: usize, name: &'a str) -> usize {
        let new = self.places.len();
        self.places.push(ContextPlace::default());
        let place = &mut self.places[parent];
        place.below.push((name, new as u32));
        match &mut place.by_name {
            Some(by_name) => drop(by_name.insert(name, new as u32)),
            None if place.below.len() >= MAP_NAMES_MIN => {
                place.by_name = Some(place.below.iter().copied().collect());
            }
            None => {}
        }
        new
    }

    /// Whether the context has been scanned.
    pub(crate) fn is_scanned(&self) -> bool {
        self.scanned.is_some()
    }

    /// Reads the whole context, once.
    pub(crate) fn scan(&mut self) -> Result<(), JsonFault> {
        let mut reader = JsonReader::of_bytes(self.text)?;
        if reader.kind()? != JsonKind::Object {
            return Err(reader.fault("expected a JSON object"));
        }
        let mut scanned = Scanned {
            replaced: Vec::new(),
            is_empty: true,
            close: 0,
        };
        reader.enter()?;
        while let Some(name) = reader.field()? {
            scanned.is_empty = false;
            reader.kind()?;
            let start = reader.at();
            match self.places[0].below(&name) {
                Some(place) => self.take(&mut reader, place, 0)?,
                None => drop(reader.skip()?),
            }
            if let Some(position) = self.payload.and_then(|payload| payload.position(&name)) {
                scanned.replaced.push((start..reader.at(), position));
            }
        }
        scanned.close = reader.at().saturating_sub(1);
        self.scanned = Some(scanned);
        reader.end()
    }

    /// Takes the next value for a place, and the values below it. Recurses as deep as the
    /// context is nested, which the reader bounds.
    fn take(
        &mut self,
        reader: &mut JsonReader<'a>,
        place: usize,
        inside: u32,
    ) -> Result<(), JsonFault> {
        self.found += 1;
        let number = self.found;
        let kind = reader.kind()?;
        let text = match kind {
            JsonKind::Object if !self.places[place].below.is_empty() => {
                let begin = reader.at();
                reader.enter()?;
                while let Some(name) = reader.field()? {
                    match self.places[place].below(&name) {
                        Some(below) => self.take(reader, below, number)?,
                        None => drop(reader.skip()?),
                    }
                }
                reader.since(begin)
            }
            JsonKind::List if let Some(length) = self.places[place].below("length") => {
                let begin = reader.at();
                reader.enter()?;
                let mut items = 0;
                while reader.item()? {
                    reader.skip()?;
                    items += 1;
                }
                self.found += 1;
                self.places[length].put(FoundJson::Length(items), self.found, number);
                reader.since(begin)
            }
            _ => reader.skip()?,
        };
        self.places[place].put(FoundJson::Text(text), number, inside);
        Ok(())
    }

    /// The value at a requested path; `None` if the context has no value there.
    pub(crate) fn value(&self, path: &str) -> Option<FoundJson<'a>> {
        let (mut at, mut inside, mut value) = (0, 0, None);
        for name in path.split('.') {
            at = self.places[at].below(name)?;
            let place = &self.places[at];
            if place.inside != inside {
                return None;
            }
            value = Some(place.value?);
            inside = place.number;
        }
        value
    }

    /// The context after the event: the payload's fields replace the context's, new ones follow.
    /// If the context was not scanned, or there is no payload, the context is unchanged.
    pub(crate) fn merged(&self) -> Bytes {
        let (Some(scanned), Some(payload)) = (&self.scanned, self.payload) else {
            return Bytes::copy_from_slice(self.text);
        };
        let mut is_new = vec![true; payload.len()];
        for (_, position) in &scanned.replaced {
            is_new[*position] = false;
        }
        let mut text = Vec::with_capacity(self.merged_bytes(scanned, payload, &is_new));
        let mut copied = 0;
        for (range, position) in &scanned.replaced {
            text.extend_from_slice(&self.text[copied..range.start]);
            payload.write_value(&mut text, *position);
            copied = range.end;
        }
        text.extend_from_slice(&self.text[copied..scanned.close]);
        let mut is_first = scanned.is_empty;
        for (position, _) in is_new.iter().enumerate().filter(|(_, is_new)| **is_new) {
            if !is_first {
                text.push(b',');
            }
            is_first = false;
            payload.write_field(&mut text, position);
        }
        text.push(b'}');
        Bytes::from(text)
    }

    /// The bytes of the merged text, exactly where [`JsonObject::field_bytes`] are.
    fn merged_bytes(&self, scanned: &Scanned, payload: &JsonObject<'_>, is_new: &[bool]) -> usize {
        let new = is_new.iter().enumerate().filter(|(_, is_new)| **is_new);
        let commas = new.clone().count() - usize::from(scanned.is_empty && is_new.contains(&true));
        let new: usize = new.map(|(at, _)| payload.field_bytes(at)).sum();
        let replaced = scanned.replaced.iter();
        let (gone, put) = replaced.fold((0, 0), |(gone, put), (range, at)| {
            (gone + range.len(), put + payload.value_bytes(*at))
        });
        // Without what follows the closing brace.
        scanned.close + 1 + new + commas + put - gone
    }
}

impl<'a> ContextPlace<'a> {
    fn below(&self, name: &str) -> Option<usize> {
        let place = match &self.by_name {
            Some(by_name) => by_name.get(name).copied(),
            None => self
                .below
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, place)| *place),
        };
        place.map(|place| place as usize)
    }

    fn put(&mut self, value: FoundJson<'a>, number: u32, inside: u32) {
        self.value = Some(value);
        self.number = number;
        self.inside = inside;
    }
}

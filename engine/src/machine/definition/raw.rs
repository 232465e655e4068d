//! A definition's text as it is written. Only its form is checked here.

use std::borrow::Cow;

use crate::json::{JsonFault, JsonKind, JsonReader, JsonTree};

/// The keys of a definition.
pub(super) const KEYS: [&str; 4] = ["states", "initial", "transitions", "meta"];
/// The key that says how a definition is to be read.
const FORMAT: &str = "format";
/// The keys of a transition.
pub(super) const TRANSITION_KEYS: [&str; 4] = ["from", "event", "to", "guard"];

/// How many characters of an unknown key are shown.
pub(super) const KEY_CHARS_SHOWN: usize = 64;

pub(super) struct Raw<'a> {
    pub(super) states: Vec<Cow<'a, str>>,
    pub(super) initial: Cow<'a, str>,
    pub(super) transitions: Vec<RawTransition<'a>>,
    pub(super) unknown: Vec<Unknown<'a>>,
}

pub(super) struct RawTransition<'a> {
    pub(super) from: Vec<Cow<'a, str>>,
    pub(super) event: Cow<'a, str>,
    pub(super) to: Cow<'a, str>,
    pub(super) guard: GuardText<'a>,
}

pub(super) enum GuardText<'a> {
    Absent,
    Null,
    Text(Cow<'a, str>),
}

/// A key that this version does not know. It may be a misspelt known key.
pub(super) struct Unknown<'a> {
    /// The transition's position; none for the definition itself.
    pub(super) transition: Option<usize>,
    pub(super) key: Cow<'a, str>,
}

type RawResult<T> = Result<T, String>;

/// Reads a definition. The error says what has the wrong form, and where. If a key is missing and another key
/// looks like a misspelling of it, the error names the misspelt key, because that is what the author must
/// correct.
pub(super) fn read(text: &[u8]) -> RawResult<Raw<'_>> {
    let mut reader = JsonReader::of_bytes(text).map_err(text_of)?;
    let (mut states, mut initial, mut transitions) = (None, None, None);
    let mut meta = None;
    let mut unknown = Vec::new();
    let mut inside = Vec::new();
    object(&mut reader, |reader, key| match &*key {
        "states" => once(&mut states, "states", names(reader, "`states`")?),
        "initial" => once(&mut initial, "initial", name(reader, "`initial`")?),
        "transitions" => {
            let read = list_of_transitions(reader, &mut inside)?;
            once(&mut transitions, "transitions", read)
        }
        "meta" => once(&mut meta, "meta", reader.pass().map_err(text_of)?),
        FORMAT => reader.pass().map(drop).map_err(text_of),
        _ => {
            reader.pass().map_err(text_of)?;
            unknown.push(Unknown {
                transition: None,
                key,
            });
            Ok(())
        }
    })?;
    reader.end().map_err(text_of)?;
    let missing = |text| slip(&unknown, None).unwrap_or(text);
    let states = required(states, "states").map_err(missing)?;
    let initial = required(initial, "initial").map_err(missing)?;
    let transitions = required(transitions, "transitions").map_err(missing)?;
    unknown.extend(inside);
    Ok(Raw {
        states,
        initial,
        transitions,
        unknown,
    })
}

/// The format that a definition is written in. A text that is not an object is left to [`read`], which says why.
pub(super) fn format(text: &[u8]) -> RawResult<u32> {
    let Ok(tree) = JsonTree::parse(text) else {
        return Ok(1);
    };
    match tree.field(FORMAT).map(|value| value.text) {
        None | Some("1") => Ok(1),
        Some("2") => Ok(2),
        Some(other) => {
            let shown: String = other.chars().take(KEY_CHARS_SHOWN).collect();
            Err(format!(
                "{shown} is not a format that this version knows; 1 and 2 are"
            ))
        }
    }
}

/// Only the states and the initial state; all other fields may have any form.
pub(super) fn outline(text: &[u8]) -> RawResult<(Vec<Cow<'_, str>>, Cow<'_, str>)> {
    let mut reader = JsonReader::of_bytes(text).map_err(text_of)?;
    let (mut states, mut initial) = (None, None);
    object(&mut reader, |reader, key| match &*key {
        "states" => once(&mut states, "states", outlined(reader)?),
        "initial" => once(&mut initial, "initial", name(reader, "`initial`")?),
        _ => reader.pass().map(drop).map_err(text_of),
    })?;
    Ok((required(states, "states")?, required(initial, "initial")?))
}

/// The names of states, each alone or in an object.
fn outlined<'a>(reader: &mut JsonReader<'a>) -> RawResult<Vec<Cow<'a, str>>> {
    expect(reader, JsonKind::List, "`states`: expected a list")?;
    reader.enter().map_err(text_of)?;
    let mut all = Vec::new();
    while reader.item().map_err(text_of)? {
        if reader.kind().map_err(text_of)? != JsonKind::Object {
            all.push(name(reader, "`states`")?);
            continue;
        }
        let mut named = None;
        object(reader, |reader, key| match &*key {
            "name" => once(&mut named, "name", name(reader, "`name`")?),
            _ => reader.pass().map(drop).map_err(text_of),
        })?;
        all.push(required(named, "name")?);
    }
    Ok(all)
}

fn list_of_transitions<'a>(
    reader: &mut JsonReader<'a>,
    unknown: &mut Vec<Unknown<'a>>,
) -> RawResult<Vec<RawTransition<'a>>> {
    expect(reader, JsonKind::List, "`transitions`: expected a list")?;
    reader.enter().map_err(text_of)?;
    let mut all = Vec::new();
    while reader.item().map_err(text_of)? {
        let place = all.len();
        all.push(
            transition(reader, place, unknown)
                .map_err(|fault| format!("transitions[{place}]: {fault}"))?,
        );
    }
    Ok(all)
}

fn transition<'a>(
    reader: &mut JsonReader<'a>,
    position: usize,
    unknown: &mut Vec<Unknown<'a>>,
) -> RawResult<RawTransition<'a>> {
    let (mut from, mut event, mut to, mut guard) = (None, None, None, None);
    object(reader, |reader, key| match &*key {
        "from" => once(&mut from, "from", one_or_more(reader)?),
        "event" => once(&mut event, "event", name(reader, "`event`")?),
        "to" => once(&mut to, "to", name(reader, "`to`")?),
        "guard" => once(&mut guard, "guard", guard_text(reader)?),
        _ => {
            reader.pass().map_err(text_of)?;
            unknown.push(Unknown {
                transition: Some(position),
                key,
            });
            Ok(())
        }
    })?;
    let missing = |text| slip(unknown, Some(position)).unwrap_or(text);
    Ok(RawTransition {
        from: required(from, "from").map_err(missing)?,
        event: required(event, "event").map_err(missing)?,
        to: required(to, "to").map_err(missing)?,
        guard: guard.unwrap_or(GuardText::Absent),
    })
}

fn object<'a>(
    reader: &mut JsonReader<'a>,
    mut field: impl FnMut(&mut JsonReader<'a>, Cow<'a, str>) -> RawResult<()>,
) -> RawResult<()> {
    expect(reader, JsonKind::Object, "expected an object")?;
    reader.enter().map_err(text_of)?;
    while let Some(key) = reader.field().map_err(text_of)? {
        field(reader, key)?;
    }
    Ok(())
}

fn expect(reader: &mut JsonReader<'_>, kind: JsonKind, otherwise: &'static str) -> RawResult<()> {
    match reader.kind() {
        Ok(found) if found == kind => Ok(()),
        Ok(_) => Err(text_of(reader.fault(otherwise))),
        Err(fault) => Err(text_of(fault)),
    }
}

fn names<'a>(reader: &mut JsonReader<'a>, what: &str) -> RawResult<Vec<Cow<'a, str>>> {
    let fault =
        |reader: &JsonReader<'_>| format!("{what}: {}", reader.fault("expected a list of names"));
    if reader.kind().map_err(text_of)? != JsonKind::List {
        return Err(fault(reader));
    }
    reader.enter().map_err(text_of)?;
    let mut all = Vec::new();
    while reader.item().map_err(text_of)? {
        if reader.kind().map_err(text_of)? != JsonKind::String {
            return Err(fault(reader));
        }
        all.push(reader.string().map_err(text_of)?);
    }
    Ok(all)
}

fn name<'a>(reader: &mut JsonReader<'a>, what: &str) -> RawResult<Cow<'a, str>> {
    match reader.kind().map_err(text_of)? {
        JsonKind::String => reader.string().map_err(text_of),
        _ => Err(format!("{what}: {}", reader.fault("expected a string"))),
    }
}

fn one_or_more<'a>(reader: &mut JsonReader<'a>) -> RawResult<Vec<Cow<'a, str>>> {
    match reader.kind().map_err(text_of)? {
        JsonKind::String => Ok(vec![reader.string().map_err(text_of)?]),
        JsonKind::List => names(reader, "`from`"),
        _ => Err(text_of(
            reader.fault("`from` must be a state's name or a list of names,"),
        )),
    }
}

fn guard_text<'a>(reader: &mut JsonReader<'a>) -> RawResult<GuardText<'a>> {
    match reader.kind().map_err(text_of)? {
        JsonKind::Null => {
            reader.word("null").map_err(text_of)?;
            Ok(GuardText::Null)
        }
        _ => name(reader, "`guard`").map(GuardText::Text),
    }
}

/// Each known key may be there once. Of two, one would be ignored silently.
fn once<T>(slot: &mut Option<T>, key: &str, value: T) -> RawResult<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("`{key}` is there twice")),
    }
}

fn required<T>(value: Option<T>, key: &str) -> RawResult<T> {
    value.ok_or_else(|| format!("missing field `{key}`"))
}

/// The message about the first key of this owner that is probably a misspelt known key.
fn slip(unknown: &[Unknown<'_>], transition: Option<usize>) -> Option<String> {
    let mut own = unknown.iter().filter(|it| it.transition == transition);
    own.find_map(|it| {
        let meant = it.meant()?;
        let key: String = it.key.chars().take(KEY_CHARS_SHOWN).collect();
        Some(format!("`{key}` {}", it.refusal(meant)))
    })
}

fn text_of(fault: JsonFault) -> String {
    fault.to_string()
}

//! Changes inside of a JSON object's text, without building values.

use std::borrow::Cow;

use super::equal::ReadBudget;
use super::object::{compact_into, write_name};
use super::reader::{JsonFault, JsonKind, JsonReader};
use crate::hash::Map;

/// From this many names on, they are found by a map.
const MAP_NAMES_MIN: usize = 16;
/// Bytes that are read in the time that a field takes besides its bytes.
const FIELD_BYTES: usize = 64;

/// What becomes of the fields of an object, by name; each name is there once.
#[derive(Debug, Default)]
pub(crate) struct Edits<'a> {
    all: Vec<(&'a str, Edit<'a>)>,
    /// The place of each name, where there are many.
    places: Option<Map<&'a str, usize>>,
}

#[derive(Debug)]
enum Edit<'a> {
    /// The new value, without spaces between its tokens.
    Set(Cow<'a, str>),
    Unset,
    Inside(Edits<'a>),
}

/// Why a change cannot be made.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// The value at this path is not an object, so it has no fields.
    NoObject(String),
    /// It would read more than it may.
    TooMuch,
    Damaged(JsonFault),
}

impl From<JsonFault> for Stuck {
    fn from(fault: JsonFault) -> Self {
        Self::Damaged(fault)
    }
}

impl<'a> Edits<'a> {
    /// Sets the value at a path. Objects on the way are made where they are missing.
    pub(crate) fn set(&mut self, path: &[&'a str], value: Cow<'a, str>) {
        self.put(path, Edit::Set(value));
    }

    /// Removes what is at a path, where there is something.
    pub(crate) fn unset(&mut self, path: &[&'a str]) {
        self.put(path, Edit::Unset);
    }

    fn put(&mut self, path: &[&'a str], edit: Edit<'a>) {
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        let at = match self.place(name) {
            Some(at) => at,
            None => {
                self.add(name);
                self.all.len() - 1
            }
        };
        match (&mut self.all[at].1, rest) {
            (slot, []) => *slot = edit,
            (Edit::Inside(edits), rest) => edits.put(rest, edit),
            // A path through a value that another one replaces: definitions with such paths are refused.
            _ => {}
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(name).copied(),
            None => self.all.iter().position(|(other, _)| *other == name),
        }
    }

    fn add(&mut self, name: &'a str) {
        if let Some(places) = &mut self.places {
            places.insert(name, self.all.len());
        }
        self.all.push((name, Edit::Inside(Self::default())));
        if self.places.is_none() && self.all.len() >= MAP_NAMES_MIN {
            let names = self.all.iter().map(|(name, _)| *name);
            self.places = Some(names.zip(0..).collect());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn sets(&self) -> bool {
        self.all.iter().any(|(_, edit)| match edit {
            Edit::Set(_) => true,
            Edit::Unset => false,
            Edit::Inside(edits) => edits.sets(),
        })
    }

    /// The object's text with the changes. Each object on the way to a change is read as a whole, and `budget` bounds
    /// the bytes of all of them; a field counts as [`FIELD_BYTES`] more.
    pub(crate) fn apply(&self, object: &str, budget: &mut ReadBudget) -> Result<Vec<u8>, Stuck> {
        let mut out = Vec::with_capacity(object.len() + 64);
        self.write(&mut out, Some(object), &mut Vec::new(), budget)?;
        Ok(out)
    }

    /// Recurses as deep as the longest path.
    fn write(
        &self,
        out: &mut Vec<u8>,
        object: Option<&str>,
        path: &mut Vec<&'a str>,
        budget: &mut ReadBudget,
    ) -> Result<(), Stuck> {
        let fields = match object {
            Some(text) => {
                spend(budget, text.len())?;
                fields(text)?.ok_or_else(|| Stuck::NoObject(path.join(".")))?
            }
            None => EditedFields::default(),
        };
        spend(budget, fields.all.len() * FIELD_BYTES)?;
        out.push(b'{');
        let begin = out.len();
        for (position, (name, value)) in fields.all.iter().enumerate() {
            if fields.is_repeated(position, name) {
                continue;
            }
            match self.place(name).map(|at| &self.all[at]) {
                None => field(out, begin, name, value),
                Some((_, Edit::Set(new))) => field(out, begin, name, new),
                Some((_, Edit::Unset)) => {}
                Some((name, Edit::Inside(edits))) => {
                    let is_object = value.starts_with('{');
                    if !is_object && !edits.sets() {
                        field(out, begin, name, value);
                        continue;
                    }
                    separate(out, begin);
                    write_name(out, name);
                    out.push(b':');
                    path.push(name);
                    edits.write(out, Some(value), path, budget)?;
                    path.pop();
                }
            }
        }
        for (name, edit) in self.all.iter().filter(|(name, _)| !fields.has(name)) {
            match edit {
                Edit::Set(value) => field(out, begin, name, value),
                Edit::Inside(edits) if edits.sets() => {
                    separate(out, begin);
                    write_name(out, name);
                    out.push(b':');
                    edits.write(out, None, path, budget)?;
                }
                Edit::Unset | Edit::Inside(_) => {}
            }
        }
        out.push(b'}');
        Ok(())
    }
}

fn spend(budget: &mut ReadBudget, bytes: usize) -> Result<(), Stuck> {
    budget.spend(bytes).map_err(|_| Stuck::TooMuch)
}

fn separate(out: &mut Vec<u8>, begin: usize) {
    if out.len() > begin {
        out.push(b',');
    }
}

fn field(out: &mut Vec<u8>, begin: usize, name: &str, value: &str) {
    separate(out, begin);
    write_name(out, name);
    out.push(b':');
    compact_into(out, value.as_bytes());
}

/// The fields of an object in the order written.
#[derive(Default)]
struct EditedFields<'a> {
    all: Vec<(Cow<'a, str>, &'a str)>,
    /// The last place of each name, where there are many.
    last: Option<Map<Cow<'a, str>, usize>>,
}

/// `None`: the text is not an object.
fn fields(text: &str) -> Result<Option<EditedFields<'_>>, JsonFault> {
    let mut reader = JsonReader::new(text);
    if reader.kind()? != JsonKind::Object {
        return Ok(None);
    }
    reader.enter()?;
    let mut fields = EditedFields::default();
    while let Some(name) = reader.field()? {
        reader.kind()?;
        fields.all.push((name, reader.skip()?));
    }
    if fields.all.len() >= MAP_NAMES_MIN {
        let names = fields.all.iter().map(|(name, _)| name.clone());
        fields.last = Some(names.zip(0..).collect());
    }
    Ok(Some(fields))
}

impl EditedFields<'_> {
    fn position(&self, name: &str) -> Option<usize> {
        match &self.last {
            Some(last) => last.get(name).copied(),
            None => self.all.iter().rposition(|(other, _)| other == name),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Whether the same name comes again: then the later value counts.
    fn is_repeated(&self, position: usize, name: &str) -> bool {
        self.position(name) != Some(position)
    }
}

/// A document after a merge patch (RFC 7396): fields of objects are merged at every depth, null removes.
pub(crate) fn merge_patch(target: &str, patch: &str) -> Result<Vec<u8>, JsonFault> {
    let mut out = Vec::with_capacity(target.len() + patch.len());
    patch_into(&mut out, Some(target), patch)?;
    Ok(out)
}

/// Recurses as deep as the patch is nested, which the reader bounds.
fn patch_into(out: &mut Vec<u8>, target: Option<&str>, patch: &str) -> Result<(), JsonFault> {
    let Some(patch) = fields(patch)? else {
        compact_into(out, patch.as_bytes());
        return Ok(());
    };
    let target = match target {
        Some(text) => fields(text)?.unwrap_or_default(),
        None => EditedFields::default(),
    };
    out.push(b'{');
    let begin = out.len();
    for (position, (name, value)) in target.all.iter().enumerate() {
        if target.is_repeated(position, name) {
            continue;
        }
        match patch.position(name).map(|at| patch.all[at].1) {
            None => field(out, begin, name, value),
            Some("null") => {}
            Some(new) => {
                separate(out, begin);
                write_name(out, name);
                out.push(b':');
                patch_into(out, Some(value), new)?;
            }
        }
    }
    for (position, (name, value)) in patch.all.iter().enumerate() {
        if patch.is_repeated(position, name) || *value == "null" || target.has(name) {
            continue;
        }
        separate(out, begin);
        write_name(out, name);
        out.push(b':');
        patch_into(out, None, value)?;
    }
    out.push(b'}');
    Ok(())
}

/// How deep a value is nested; its text was checked before.
pub(crate) fn depth(value: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in value.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn edited(object: &str, set: &[(&str, &str)], unset: &[&str]) -> Result<String, String> {
        let mut edits = Edits::default();
        for (path, value) in set {
            let path: Vec<&str> = path.split('.').collect();
            edits.set(&path, Cow::Borrowed(value));
        }
        for path in unset {
            let path: Vec<&str> = path.split('.').collect();
            edits.unset(&path);
        }
        match edits.apply(object, &mut ReadBudget::new(1 << 20)) {
            Ok(text) => Ok(String::from_utf8(text).unwrap()),
            Err(Stuck::NoObject(path)) => Err(path),
            Err(Stuck::TooMuch) => panic!("too much"),
            Err(Stuck::Damaged(fault)) => panic!("{fault}"),
        }
    }

    #[test]
    fn values_are_set_replaced_and_removed_at_every_depth() {
        let object = r#"{"a":1,"b":{"c":[1, 2],"d":{"e":null}}}"#;
        for (set, unset, expected) in [
            (
                &[("a", "2")][..],
                &[][..],
                r#"{"a":2,"b":{"c":[1,2],"d":{"e":null}}}"#,
            ),
            (&[("z", "0")], &["b"], r#"{"a":1,"z":0}"#),
            (
                &[("b.d.e", "\"x\""), ("b.n.m", "1")],
                &["a", "b.c"],
                r#"{"b":{"d":{"e":"x"},"n":{"m":1}}}"#,
            ),
            (
                &[],
                &["a.x", "q", "b.d.nope"],
                r#"{"a":1,"b":{"c":[1,2],"d":{"e":null}}}"#,
            ),
        ] {
            assert_eq!(edited(object, set, unset).unwrap(), expected);
        }
        assert_eq!(
            edited(object, &[("b.c.x", "1")], &[]),
            Err("b.c".to_owned())
        );
        assert_eq!(
            edited("{}", &[("a.b.c", "{}")], &["a.d"]).unwrap(),
            r#"{"a":{"b":{"c":{}}}}"#
        );
    }

    /// Each object on the way is read as a whole, so a deep path costs more than its object has bytes.
    #[test]
    fn what_is_read_is_bounded() {
        let object = format!("{}{{}}{}", "{\"a\":".repeat(30), "}".repeat(30));
        let path = ["a"; 31];
        let mut edits = Edits::default();
        edits.set(&path, Cow::Borrowed("1"));
        let mut budget = ReadBudget::new(10_000);
        assert!(edits.apply(&object, &mut budget).is_ok());
        let spent = 10_000 - budget.left();
        assert!(spent > 15 * object.len() + 30 * FIELD_BYTES, "{spent}");
        let short = edits.apply(&object, &mut ReadBudget::new(spent - 1));
        assert!(matches!(short, Err(Stuck::TooMuch)));
    }

    #[test]
    fn many_changes_are_found_by_their_names() {
        let names: Vec<String> = (0..200).map(|it| format!("f{it}")).collect();
        let fields: Vec<String> = names.iter().map(|it| format!("\"{it}\":0")).collect();
        let object = format!("{{{}}}", fields.join(","));
        let set: Vec<(&str, &str)> = names[..100].iter().map(|it| (it.as_str(), "1")).collect();
        let unset: Vec<&str> = names[100..].iter().map(String::as_str).collect();
        let expected = object.replace(":0", ":1");
        let end = expected.find(",\"f100\"").unwrap();
        let expected = format!("{}}}", &expected[..end]);
        assert_eq!(edited(&object, &set, &unset).unwrap(), expected);
    }

    #[test]
    fn of_a_repeated_name_the_last_value_counts() {
        let object = r#"{"a":{"x":1,"x":{"y":2}},"b":1}"#;
        assert_eq!(
            edited(object, &[("a.x.z", "3")], &[]).unwrap(),
            r#"{"a":{"x":{"y":2,"z":3}},"b":1}"#
        );
        assert_eq!(
            edited(object, &[("a.x", "0")], &[]).unwrap(),
            r#"{"a":{"x":0},"b":1}"#
        );
    }

    #[test]
    fn a_merge_patch_does_what_its_rfc_says() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (
                r#"{}"#,
                r#"{"a":{"bb":{"ccc":null}}}"#,
                r#"{"a":{"bb":{}}}"#,
            ),
            (r#"{"a":1}"#, r#"{"a":2,"a":3}"#, r#"{"a":3}"#),
        ] {
            let merged = merge_patch(target, patch).unwrap();
            assert_eq!(
                String::from_utf8(merged).unwrap(),
                expected,
                "{target} {patch}"
            );
        }
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        for (value, expected) in [
            ("1", 0),
            (r#""[[""#, 0),
            ("[]", 1),
            (r#"{"a":[{}],"\"":"{"}"#, 3),
        ] {
            assert_eq!(depth(value), expected, "{value}");
        }
    }
}

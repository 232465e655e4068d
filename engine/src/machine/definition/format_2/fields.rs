//! Objects whose keys are all known.

use crate::json::JsonTree;
use crate::machine::definition::fault::Faults;
use crate::machine::definition::unknown::is_a_guard;
use crate::machine::nearest::nearest;

/// Keys that later versions will know.
const LATER: [&str; 12] = [
    "every", "indexes", "parallel", "regions", "history", "on_done", "invoke", "entry", "exit",
    "type", "states", "initial",
];

/// How many characters of a key are shown.
const KEY_CHARS_SHOWN: usize = 64;

/// The known fields of an object.
pub(super) struct DefinitionFields<'t> {
    found: Vec<(&'static str, &'t JsonTree<'t>)>,
}

impl<'t> DefinitionFields<'t> {
    /// Reads an object. Every other key, and a key that is there twice, is a fault. `None`: it is not an object.
    pub(super) fn of(
        tree: &'t JsonTree<'t>,
        place: &str,
        known: &[&'static str],
        faults: &mut Faults,
    ) -> Option<Self> {
        let Some(fields) = tree.fields() else {
            faults.add(place, format!("expected an object, not {}", tree.kind()));
            return None;
        };
        let mut found: Vec<(&'static str, &'t JsonTree<'t>)> = Vec::new();
        for (key, value) in fields {
            let Some(known_key) = known.iter().find(|known| *known == key) else {
                faults.add(below(place, key), unknown(key, known));
                continue;
            };
            if found.iter().any(|(other, _)| other == known_key) {
                faults.add(below(place, key), "is there twice");
                continue;
            }
            found.push((known_key, value));
        }
        Some(Self { found })
    }

    pub(super) fn get(&self, key: &str) -> Option<&'t JsonTree<'t>> {
        let mut found = self.found.iter();
        found
            .find(|(other, _)| *other == key)
            .map(|(_, value)| *value)
    }

    /// A field that must be there.
    pub(super) fn required(
        &self,
        key: &str,
        place: &str,
        faults: &mut Faults,
    ) -> Option<&'t JsonTree<'t>> {
        let found = self.get(key);
        if found.is_none() {
            faults.add(below(place, key), "is missing");
        }
        found
    }

    /// A string that must be there.
    pub(super) fn text(&self, key: &str, place: &str, faults: &mut Faults) -> Option<&'t str> {
        let value = self.required(key, place, faults)?;
        text(value, &below(place, key), faults)
    }

    /// True or false; false where it is missing.
    pub(super) fn flag(&self, key: &str, place: &str, faults: &mut Faults) -> bool {
        match self.get(key).map(|value| (value.text, value.kind())) {
            None | Some(("false", _)) => false,
            Some(("true", _)) => true,
            Some((_, kind)) => {
                let text = format!("expected true or false, not {kind}");
                faults.add(below(place, key), text);
                false
            }
        }
    }
}

fn unknown(key: &str, known: &[&'static str]) -> String {
    if LATER.contains(&key) {
        return "is not supported by this version".to_owned();
    }
    let meant = match is_a_guard(key) && known.contains(&"guard") {
        true => Some("guard"),
        false => nearest(key, known.iter().copied()),
    };
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?"));
    let meant = meant.unwrap_or_default();
    format!("unknown key{meant}; allowed: {}", known.join(", "))
}

/// The place of a key inside of a place.
pub(super) fn below(place: &str, key: &str) -> String {
    let key: String = key.chars().take(KEY_CHARS_SHOWN).collect();
    match place.is_empty() {
        true => key,
        false => format!("{place}.{key}"),
    }
}

/// A string.
pub(super) fn text<'t>(
    tree: &'t JsonTree<'t>,
    place: &str,
    faults: &mut Faults,
) -> Option<&'t str> {
    let found = tree.string();
    if found.is_none() {
        faults.add(place, format!("expected a string, not {}", tree.kind()));
    }
    found
}

/// One string, or a list of strings, each with its place.
pub(super) fn texts<'t>(
    tree: &'t JsonTree<'t>,
    place: &str,
    faults: &mut Faults,
) -> Vec<(String, &'t str)> {
    if let Some(one) = tree.string() {
        return vec![(place.to_owned(), one)];
    }
    let Some(items) = tree.items() else {
        let kind = tree.kind();
        faults.add(
            place,
            format!("expected a name or a list of names, not {kind}"),
        );
        return Vec::new();
    };
    let mut all = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let place = format!("{place}[{position}]");
        if let Some(text) = text(item, &place, faults) {
            all.push((place, text));
        }
    }
    all
}

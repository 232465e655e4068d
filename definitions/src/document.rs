//! Files of definitions and tests: JSON or YAML, as a tree with bounds.

use std::fmt;

use rstmdb_engine::limits::{DEFINITION_BYTES_MAX, JSON_DEPTH_MAX};
use rstmdb_rcp::json::Json;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

use crate::base::problem::Problem;

/// Longest file that is read, in bytes: a definition in a form that is easier to read may be longer than its JSON.
pub const FILE_BYTES_MAX: usize = 4 * DEFINITION_BYTES_MAX;

/// Reads JSON, or YAML where it is not JSON.
///
/// # Errors
/// The text is neither, too long, or nested too deep.
pub fn read(text: &str) -> Result<Json, Problem> {
    check_length(text)?;
    let trimmed = text.trim_start_matches('\u{feff}');
    if trimmed.trim_start().starts_with(['{', '[']) {
        let json = Json::parse(trimmed);
        return match json {
            Ok(json) => Ok(json),
            // YAML's flow style also begins with a brace. If the text is neither, the error of JSON helps more.
            Err(error) => yaml(trimmed).map_err(|_| Problem::whole(format!("not JSON: {error}"))),
        };
    }
    yaml(trimmed)
}

/// Refuses a text that is too long to be read.
///
/// # Errors
/// It is longer than [`FILE_BYTES_MAX`].
pub fn check_length(text: &str) -> Result<(), Problem> {
    match text.len() <= FILE_BYTES_MAX {
        true => Ok(()),
        false => Err(Problem::whole(format!(
            "the file is {} bytes long; {FILE_BYTES_MAX} are allowed",
            text.len()
        ))),
    }
}

/// A number that begins with 0, such as `010`, is a text: YAML 1.1 takes it for 8, YAML 1.2 for 10, and people write
/// codes like this.
fn yaml(text: &str) -> Result<Json, Problem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
    };
    match serde_saphyr::from_str_with_options::<YamlTree>(text, options) {
        Ok(tree) => Ok(tree.0),
        Err(error) => Err(yaml_problem(error.without_snippet())),
    }
}

/// Where and what, in words for the author of the file: the library speaks to the program that uses it.
fn yaml_problem(error: &Error) -> Problem {
    let place = error.location().map_or_else(String::new, |at| {
        format!("line {}, column {}", at.line(), at.column())
    });
    let text = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {key:?} is there twice; write each key once")
        }
        Error::MultipleDocuments { .. } => {
            "a second document begins; only one is allowed: remove the `---` before it".to_owned()
        }
        Error::NonFiniteFloat { value, .. } => format!(
            "{value} is not a number that JSON has; allowed are finite numbers, and texts in quotes"
        ),
        error => {
            let said = UserMessageFormatter.format_message(error).into_owned();
            format!(
                "not YAML: {said}; allowed is what JSON can hold: maps with names as keys, lists, texts, numbers, \
                     true, false and null"
            )
        }
    };
    Problem::new(place, text)
}

/// A tree from YAML.
struct YamlTree(Json);

impl<'de> Deserialize<'de> for YamlTree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(TreeVisitor { depth: 0 })
            .map(YamlTree)
    }
}

/// What is read may be this deep already.
#[derive(Clone, Copy)]
struct TreeVisitor {
    depth: usize,
}

impl TreeVisitor {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth < JSON_DEPTH_MAX {
            true => Ok(Self {
                depth: self.depth + 1,
            }),
            false => Err(E::custom(format!(
                "nested deeper than {JSON_DEPTH_MAX} levels"
            ))),
        }
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for TreeVisitor {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string().into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string().into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        match serde_json::Number::from_f64(value) {
            Some(number) => Ok(Json::Number(number.to_string().into())),
            None => Err(E::custom(format!("{value} is not a number that JSON has"))),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            all.push(item);
        }
        Ok(Json::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut all: Vec<(String, Json)> = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(inner)?;
            all.push((key, value));
        }
        Ok(Json::Object(all))
    }
}

/// A definition with the name and the version that its file gives.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedDefinition {
    /// The machine's name, where the file says one.
    pub name: Option<String>,
    /// Its version, where the file says one.
    pub version: Option<u32>,
    /// The definition itself.
    pub definition: Json,
    /// The definition's text as it is sent to the server. For a JSON file without a wrapper these are the file's bytes.
    pub text: String,
}

/// Reads a file that holds a definition: the definition itself, or `{name, version, definition}`. The name and the
/// version may also be in the definition's `meta`.
///
/// # Errors
/// The text cannot be read, or the wrapper has the wrong form.
pub fn read_definition(text: &str) -> Result<NamedDefinition, Problem> {
    let whole = read(text)?;
    let is_wrapper =
        whole.get("definition").is_some_and(Json::is_object) && whole.get("states").is_none();
    let (outer, definition) = match is_wrapper {
        true => (&whole, whole["definition"].clone()),
        false => (&whole["meta"], whole.clone()),
    };
    if is_wrapper {
        let unknown =
            |(key, _): &&(String, Json)| !matches!(key.as_str(), "name" | "version" | "definition");
        if let Some((key, _)) = whole.fields().iter().find(unknown) {
            let text = "is not a key of a file with `definition`; allowed are `name`, `version`, `definition`";
            return Err(Problem::new(key.as_str(), text));
        }
    }
    let at = |key: &str| match is_wrapper {
        true => key.to_owned(),
        false => format!("meta.{key}"),
    };
    let version = match &outer["version"] {
        // In `meta` other values are the author's own business.
        Json::Null => None,
        Json::Number(number) => number.parse::<u32>().ok().filter(|version| *version > 0),
        _ => None,
    };
    if is_wrapper && version.is_none() && !outer["version"].is_null() {
        let text = format!(
            "{} is not a version; 1 to {} are allowed",
            outer["version"],
            u32::MAX
        );
        return Err(Problem::new(at("version"), text));
    }
    let name = outer["name"].as_str().map(str::to_owned);
    if is_wrapper && name.is_none() && !outer["name"].is_null() {
        return Err(Problem::new(
            at("name"),
            format!("{} is not a name", outer["name"]),
        ));
    }
    let as_written = text.trim_start_matches('\u{feff}').trim();
    let text = match !is_wrapper && Json::parse(as_written).is_ok() {
        true => as_written.to_owned(),
        false => definition.to_string(),
    };
    Ok(NamedDefinition {
        name,
        version,
        definition,
        text,
    })
}

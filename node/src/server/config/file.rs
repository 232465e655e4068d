//! The YAML file, flattened to pairs of key and value.

use std::io;
use std::path::Path;

use super::error::{Error, ValueOrigin};
use super::keys::{ConfigKey, KEYS};
use super::value::ConfigValue;

/// The largest file of tokens, keys or certificates: a quarter of a million tokens.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads the file and returns what it sets, each with the line it stands on.
pub(super) fn read(
    path: &Path,
) -> Result<Vec<(&'static ConfigKey, ConfigValue, ValueOrigin)>, Error> {
    // May come from a pipe at the start.
    let bytes = std::fs::read(path).map_err(|error| error.to_string());
    let text = bytes.and_then(|bytes| text_of(&bytes));
    let text = text.map_err(|reason| Error::Unreadable {
        key: "--config".to_owned(),
        path: path.to_owned(),
        reason,
    })?;
    parse(&text, path)
}

/// Refuses to read anything but a file again: a pipe would hold up the node, and has been read already.
pub(super) fn must_be_file(path: &Path) -> Result<(), Error> {
    let reason = match std::fs::metadata(path) {
        Ok(found) if found.is_file() => return Ok(()),
        Ok(_) => "it is not a regular file, so it can be read only at the start".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::Unreadable {
        key: "--config".to_owned(),
        path: path.to_owned(),
        reason,
    })
}

/// The bytes of a file of tokens, keys or certificates. The node reads these again while it serves. So a file that
/// never ends, or that is not a file, must not hold it up.
///
/// # Errors
/// When the file cannot be read, is not a regular file, or is larger than [`FILE_BYTES_MAX`].
pub(crate) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if found.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has {} bytes; at most {FILE_BYTES_MAX} are read",
            found.len()
        )));
    }
    std::fs::read(path)
}

/// The text of a file of tokens or keys, whichever system it was written on.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    text_of(&read_bytes(path).map_err(|error| error.to_string())?)
}

fn text_of(bytes: &[u8]) -> Result<String, String> {
    let text = rstmdb_rcp::text::decode(bytes).map_err(|error| error.to_string())?;
    Ok(text.into_owned())
}

/// As [`read`], from text; `path` is for the messages.
pub(super) fn parse(
    text: &str,
    path: &Path,
) -> Result<Vec<(&'static ConfigKey, ConfigValue, ValueOrigin)>, Error> {
    let syntax = |reason: String| Error::Syntax {
        path: path.to_owned(),
        reason,
    };
    let root = ConfigValue::of_yaml(text).map_err(syntax)?;
    let mut found = Vec::new();
    match root {
        ConfigValue::Null => {}
        ConfigValue::Map(entries) => flatten("", entries, path, &mut found)?,
        ConfigValue::Text(_) | ConfigValue::List(_) => {
            return Err(syntax("expected sections such as `network:`".to_owned()));
        }
    }
    Ok(found)
}

fn flatten(
    section: &str,
    entries: Vec<(String, u64, ConfigValue)>,
    path: &Path,
    found: &mut Vec<(&'static ConfigKey, ConfigValue, ValueOrigin)>,
) -> Result<(), Error> {
    for (name, line, value) in entries {
        let full = if section.is_empty() {
            name
        } else {
            format!("{section}.{name}")
        };
        let origin = ValueOrigin::File {
            path: path.to_owned(),
            line,
        };
        if let Some(key) = KEYS.iter().find(|key| key.name == full) {
            found.push((key, value, origin));
            continue;
        }
        match value {
            ConfigValue::Map(entries) if is_section(&full) => flatten(&full, entries, path, found)?,
            // A section whose keys are all commented out.
            ConfigValue::Null if is_section(&full) => {}
            _ => {
                return Err(Error::UnknownKey {
                    known: known_in(section),
                    key: full,
                    origin,
                });
            }
        }
    }
    Ok(())
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| inside(name, key.name).is_some())
}

/// The rest of `key` inside `section`.
fn inside<'a>(section: &str, key: &'a str) -> Option<&'a str> {
    if section.is_empty() {
        return Some(key);
    }
    key.strip_prefix(section)?.strip_prefix('.')
}

fn known_in(section: &str) -> String {
    let mut names: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| inside(section, key.name))
        .map(|rest| rest.split('.').next().unwrap_or(rest))
        .collect();
    names.dedup();
    names.join(", ")
}

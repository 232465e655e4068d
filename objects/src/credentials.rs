//! Keys from files, so that they stand neither in the configuration nor in the environment.

use std::path::Path;

use crate::Error;

/// Keys are far shorter.
const KEY_BYTES_MAX: u64 = 4096;

/// Reads a file with one key on one line. The text of an error never has the key in it.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn read_key_file(path: &Path) -> Result<String, Error> {
    let wrong = |why: String| Error::Options(format!("{} {why}", path.display()));
    let meta =
        std::fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if meta.len() > KEY_BYTES_MAX {
        let bytes = meta.len();
        return Err(wrong(format!("has {bytes} bytes; a key has fewer")));
    }
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let key = text.trim();
    let is_key = |c: char| c.is_ascii_graphic();
    if key.is_empty() || !key.chars().all(is_key) {
        return Err(wrong("does not hold one key on one line".to_owned()));
    }
    Ok(key.to_owned())
}

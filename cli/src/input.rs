//! JSON given as arguments and files, and commands given as lines.
//!
//! | module | subject |
//! |---|---|
//! | `loose` | JSON as people type it |
//! | `pairs` | documents in short: `amount=3` |
//! | [`script`] | commands on standard input |
//! | [`words`] | a line, split into words |

mod loose;
mod pairs;
pub mod script;
pub mod words;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use rstmdb_rcp::text;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Error;
use loose::SplitFault;

/// How files and JSON arguments name standard input.
pub const STDIN: &str = "-";

/// A JSON argument: the text itself, `@file`, or `-` for standard input.
pub fn json_argument(name: &str, argument: &str) -> Result<Box<RawValue>, Error> {
    let text = if argument == STDIN {
        read_to_string(STDIN)?
    } else if let Some(path) = argument.strip_prefix('@') {
        read_to_string(path)?
    } else {
        argument.to_owned()
    };
    serde_json::from_str::<&RawValue>(&text)
        .map(|json| json.to_owned())
        .map_err(|error| {
            // Only what the user has written itself may be meant as the name of a file.
            let is_file = text == argument && Path::new(argument).is_file();
            let meant = match is_file {
                true => format!("; did you mean @{argument}, the file of that name?"),
                false => String::new(),
            };
            Error::Usage(format!("{name} is not JSON: {error}{meant}"))
        })
}

/// A JSON object as one JSON argument, or as several of the form `path=value`; none when there is no argument.
pub fn document(name: &str, arguments: &[String]) -> Result<Option<Box<RawValue>>, Error> {
    match arguments {
        [] => Ok(None),
        [one] if !pairs::is_pair(one) => typed(name, one).map(Some),
        pairs => pairs::object(name, pairs).map(Some),
    }
}

/// A JSON argument, or an object as people type it. The shell of the operating system takes quotes away, so the object
/// often arrives as `{total: 42}`.
fn typed(name: &str, argument: &str) -> Result<Box<RawValue>, Error> {
    let strict = match json_argument(name, argument) {
        Err(error) if argument.trim_start().starts_with('{') => error,
        read => return read,
    };
    let why = match loose::document(argument.trim()) {
        Ok((document, "")) => {
            let read = RawValue::from_string(document.to_string());
            return read.map_err(|_| strict);
        }
        Ok((_, rest)) => format!("{rest:?} follows the document"),
        Err(SplitFault::Open(what)) => format!("{what} is not closed"),
        Err(SplitFault::Wrong(why)) => why,
    };
    Err(Error::Usage(format!(
        "{name} {argument:?}: {why}; put single quotes around the whole document: '{{\"total\": 42}}' or '{{total: 42}}'"
    )))
}

/// Most bytes of a file that is read whole. Some files have no end.
const WHOLE_BYTES_MAX: u64 = 256 << 20;

/// The whole of a file, or of standard input, as text.
pub fn read_to_string(path: &str) -> Result<String, Error> {
    let mut bytes = Vec::new();
    open_counted(path)?
        .reader
        .take(WHOLE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot_read(path, &error))?;
    if bytes.len() as u64 > WHOLE_BYTES_MAX {
        let long = format!("it is longer than {WHOLE_BYTES_MAX} bytes");
        return Err(cannot_read(path, &io::Error::other(long)));
    }
    match text::decode(&bytes) {
        Ok(text) => Ok(text.into_owned()),
        Err(error) => Err(cannot_read(path, &io::Error::other(error))),
    }
}

/// The error for a file that can't be read.
pub fn cannot_read(path: &str, error: &io::Error) -> Error {
    Error::Usage(format!("cannot read {path}: {error}"))
}

/// A file that is being read, and the position in it.
pub struct InputFile {
    /// The content, unpacked.
    pub reader: Box<dyn BufRead + Send>,
    /// The file's size, where it has one.
    pub size: Option<u64>,
    /// How much of it has been read, packed as it is.
    pub read: Arc<AtomicU64>,
}

/// A reader of a file or of standard input. Content that begins like gzip is unpacked, whatever the file's
/// name, also when several gzip files were joined.
pub fn open_counted(path: &str) -> Result<InputFile, Error> {
    const PACKED_BUFFER_BYTES: usize = 32 * 1024;
    const BUFFER_BYTES: usize = 256 * 1024;
    let (raw, size): (Box<dyn Read + Send>, _) = if path == STDIN {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
        let size = file.metadata().ok().filter(|meta| meta.is_file());
        (Box::new(file), size.map(|meta| meta.len()))
    };
    let read = Arc::new(AtomicU64::new(0));
    let counted = Counted {
        inner: raw,
        read: read.clone(),
    };
    let mut packed = BufReader::with_capacity(PACKED_BUFFER_BYTES, counted);
    let head = packed
        .fill_buf()
        .map_err(|error| cannot_read(path, &error))?;
    let reader: Box<dyn BufRead + Send> = if head.starts_with(&[0x1f, 0x8b]) {
        let unpacked = MultiGzDecoder::new(packed);
        Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked))
    } else {
        Box::new(packed)
    };
    Ok(InputFile { reader, size, read })
}

struct Counted {
    inner: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// One operation of a batch or a load file.
#[derive(Debug, Deserialize)]
pub struct InputOperation {
    /// The operation's name.
    pub op: String,
    /// Its parameters, as written.
    #[serde(default = "no_params")]
    pub params: Box<RawValue>,
}

/// One operation of a batch. A key that is misspelt would leave the parameters out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchOperation {
    op: String,
    #[serde(default = "no_params")]
    params: Box<RawValue>,
}

/// `{}`.
pub fn no_params() -> Box<RawValue> {
    serde_json::value::to_raw_value(&serde_json::Map::new()).unwrap_or_default()
}

/// The operations of a file: a JSON array or one object a line. Like other arguments, the file may be written as
/// `@file`.
pub fn operations(argument: &str) -> Result<Vec<InputOperation>, Error> {
    let path = argument.strip_prefix('@').unwrap_or(argument);
    let text = read_to_string(path)?;
    let operations: Result<Vec<BatchOperation>, _> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(&text),
        false => serde_json::Deserializer::from_str(&text)
            .into_iter()
            .collect(),
    };
    let operations = operations.map_err(|error| {
        let text = format!("{path}: not an operation {{\"op\", \"params\"}}: {error}");
        Error::Usage(text)
    })?;
    let operations = operations.into_iter();
    Ok(operations
        .map(|BatchOperation { op, params }| InputOperation { op, params })
        .collect())
}

/// `json` without the whitespace between its tokens, so that it fits on one line unchanged in all
/// that matters (numbers keep their digits, keys their order).
pub fn on_one_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_json_argument_is_text_or_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"b\": 1.0}\n").unwrap();
        let at_file = format!("@{}", file.path().display());
        assert_eq!(json_argument("x", "{\"a\":1}").unwrap().get(), "{\"a\":1}");
        assert_eq!(json_argument("x", &at_file).unwrap().get(), "{\"b\": 1.0}");
    }

    #[test]
    fn an_argument_that_is_no_json_is_a_usage_error_that_names_it() {
        let error = json_argument("--payload", "{a:1}").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--payload"), "{error}");
        let error = json_argument("--payload", "@/no/such/file").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }

    #[test]
    fn a_document_may_be_typed_as_in_the_shell_of_the_program() {
        let read = |text: &str| document("--ctx", &[text.to_owned()]);
        let text = |text: &str| read(text).unwrap().unwrap().get().to_owned();
        assert_eq!(text("{total: 42}"), r#"{"total":42}"#);
        assert_eq!(
            text("{card: {type: visa}, n: 1.50}"),
            r#"{"card":{"type":"visa"},"n":1.50}"#
        );
        // JSON is not touched.
        assert_eq!(text(r#"{ "a": 1.0 }"#), r#"{ "a": 1.0 }"#);
        for (wrong, part) in [
            ("{total:", "a bracket is not closed"),
            ("{total: 42} x", "follows the document"),
            ("{total 42}", "there is no colon after the name"),
            ("{total: 42", "put single quotes around"),
        ] {
            let error = read(wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let said = error.to_string();
            assert!(said.starts_with("--ctx") && said.contains(part), "{said}");
        }
    }

    #[test]
    fn the_name_of_a_file_without_an_at_is_told_from_wrong_json() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let error = json_argument("--payload", path).unwrap_err().to_string();
        assert!(error.contains(&format!("did you mean @{path}")), "{error}");
        let error = json_argument("--payload", "no-such.json")
            .unwrap_err()
            .to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn gzip_is_recognized_by_content_and_may_have_several_members() {
        let mut bytes = gzip("one\n");
        bytes.extend(gzip("two\n"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let text = read_to_string(file.path().to_str().unwrap()).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn operations_are_an_array_or_lines() {
        let array = r#"[{"op":"PING"},{"op":"GET_INSTANCE","params":{"instance_id":"a"}}]"#;
        let lines =
            "{\"op\":\"PING\"}\n\n{\"op\":\"GET_INSTANCE\",\"params\":{\"instance_id\":\"a\"}}\n";
        for text in [array, lines] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let operations = operations(&format!("@{}", file.path().display())).unwrap();
            assert_eq!(operations.len(), 2);
            assert_eq!(operations[0].params.get(), "{}");
            assert_eq!(operations[1].op, "GET_INSTANCE");
            assert_eq!(operations[1].params.get(), "{\"instance_id\":\"a\"}");
        }
    }

    #[test]
    fn a_file_of_operations_that_is_wrong_is_named_with_the_place_in_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display().to_string();
        for (text, part) in [
            ("{\"params\":{}}", "missing field `op` at line 1"),
            (
                "{\"op\":\"PING\"}\n{\"op\":\"PING\",\"parms\":{}}",
                "unknown field `parms`",
            ),
            ("[{\"op\":\"PING\"},\n{\"op\":3}]", "at line 2"),
            ("{\"op\":\"PING\"}\n{\"op\"", "at line 2"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = operations(&path).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let said = error.to_string();
            assert!(said.starts_with(&path) && said.contains(part), "{said}");
        }
    }

    #[test]
    fn json_on_one_line_keeps_strings_and_numbers() {
        let json = "{\n  \"a b\": [1.50, 12345678901234567890123],\r\n\t\"q\": \"x \\\" \\\\\" ,\"n\":null }";
        assert_eq!(
            on_one_line(json),
            r#"{"a b":[1.50,12345678901234567890123],"q":"x \" \\","n":null}"#
        );
    }
}

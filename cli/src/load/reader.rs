//! The lines of a file of operations, read, unpacked and checked on a thread of its own.

use std::borrow::Cow;
use std::io::BufRead;
use std::sync::Arc;

use rstmdb_rcp::message::op::{self, OpKind};
use rstmdb_rcp::text;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::Error;
use crate::input::{self, InputOperation};

/// How many lines are read ahead.
const READ_AHEAD_LINES: usize = 4096;

/// One operation of the file.
#[derive(Debug)]
pub struct LoadLine {
    /// Its number in the file, from 1.
    pub number: u64,
    /// How many (packed) bytes of the file had been read after it.
    pub position: u64,
    /// The operation's name.
    pub op: String,
    /// Its parameters, as written.
    pub params: Box<RawValue>,
    /// What it has to wait for.
    pub lane: LoadLane,
}

/// Which operations have to wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LoadLane {
    /// Those of the same instance.
    Instance(Arc<str>),
    /// No other: the server creates the instance's id.
    Free,
    /// All.
    Barrier,
}

/// Lines, or why one can't be taken.
pub type LoadLines = Receiver<Result<LoadLine, Error>>;

/// Starts to read `path`; also says how large the file is, where that is known.
pub fn spawn(path: &str) -> Result<(LoadLines, Option<u64>), Error> {
    let source = input::open_counted(path)?;
    let (sender, lines) = channel(READ_AHEAD_LINES);
    let path = path.to_owned();
    let read = source.read;
    let mut reader = source.reader;
    std::thread::spawn(move || {
        let position = || read.load(std::sync::atomic::Ordering::Relaxed);
        if let Err(error) = read_all(&mut reader, position, &sender) {
            let error = input::cannot_read(&path, &error);
            // The receiver is gone only if the load has ended already.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Ok((lines, source.size))
}

fn read_all(
    reader: &mut impl BufRead,
    position: impl Fn() -> u64,
    sender: &Sender<Result<LoadLine, Error>>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if number == 1 && (bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")) {
            let what = "it is UTF-16 text; a load file must be UTF-8";
            return Err(std::io::Error::other(what));
        }
        // Only the first line can begin with a byte order mark.
        let text = text::decode(&bytes).map_err(std::io::Error::other)?;
        if text.trim().is_empty() {
            continue;
        }
        let line = parse(number, position(), &text).map_err(|error| error.at_line(number));
        if sender.blocking_send(line).is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads one line.
pub fn parse(number: u64, position: u64, text: &str) -> Result<LoadLine, Error> {
    let InputOperation { op, params } = serde_json::from_str(text).map_err(|error| {
        Error::Usage(format!("not an operation {{\"op\", \"params\"}}: {error}"))
    })?;
    match op::kind(&op) {
        None => return Err(Error::Usage(format!("unknown operation {op}"))),
        Some(OpKind::Session | OpKind::Watch) => {
            return Err(Error::Usage(format!("{op} is not allowed in a load file")));
        }
        Some(OpKind::Read | OpKind::Write | OpKind::Maintenance) => {}
    }
    let lane = lane(&op, &params)?;
    Ok(LoadLine {
        number,
        position,
        op,
        params,
        lane,
    })
}

fn lane(op: &str, params: &RawValue) -> Result<LoadLane, Error> {
    #[derive(Deserialize)]
    struct Subject<'a> {
        #[serde(borrow)]
        instance_id: Option<Cow<'a, str>>,
    }
    let subject: Subject<'_> = serde_json::from_str(params.get())
        .map_err(|error| Error::Usage(format!("params: {error}")))?;
    Ok(match subject.instance_id {
        Some(id) => LoadLane::Instance(id.into()),
        None if op == op::CREATE_INSTANCE => LoadLane::Free,
        None => LoadLane::Barrier,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_operation_waits_for_those_of_its_instance() {
        let line = parse(
            3,
            0,
            r#"{"op":"APPLY_EVENT","params":{"instance_id":"a\u00e9","event":"GO"}}"#,
        )
        .unwrap();
        assert_eq!(line.lane, LoadLane::Instance("aé".into()));
        assert_eq!(line.number, 3);
        assert_eq!(
            line.params.get(),
            r#"{"instance_id":"a\u00e9","event":"GO"}"#
        );
    }

    #[test]
    fn what_touches_more_than_one_instance_waits_for_all() {
        for text in [
            r#"{"op":"PUT_MACHINE","params":{"machine":"m","version":1}}"#,
            r#"{"op":"BATCH","params":{"ops":[]}}"#,
            r#"{"op":"FLUSH_ALL"}"#,
        ] {
            assert_eq!(parse(1, 0, text).unwrap().lane, LoadLane::Barrier, "{text}");
        }
        let create = r#"{"op":"CREATE_INSTANCE","params":{"machine":"m","version":1}}"#;
        assert_eq!(parse(1, 0, create).unwrap().lane, LoadLane::Free);
    }

    #[test]
    fn what_is_no_operation_to_load_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            "{\"op\":\"APPLY_EVENT\",\"params\":5}",
            "{\"op\":\"APPLY_EVENT\",\"params\":{\"instance_id\":5}}",
            "{\"op\":\"NO_SUCH\"}",
            "{\"op\":\"HELLO\",\"params\":{}}",
            "{\"op\":\"WATCH_ALL\"}",
            "{\"op\":\"FLUSH_ALL\"} trailing",
        ] {
            assert_eq!(parse(1, 0, text).unwrap_err().exit_code(), 2, "{text}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_line_by_line_and_errors_name_theirs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "{\"op\":\"FLUSH_ALL\"}\n\n{\"op\":\"COMPACT\"}\nnonsense\n{\"op\":\"WAL_STATS\"}";
        std::fs::write(file.path(), text).unwrap();
        let (mut lines, size) = spawn(file.path().to_str().unwrap()).unwrap();
        assert_eq!(size, Some(text.len() as u64));
        assert_eq!(lines.recv().await.unwrap().unwrap().number, 1);
        assert_eq!(lines.recv().await.unwrap().unwrap().number, 3);
        let error = lines.recv().await.unwrap().unwrap_err();
        assert!(error.to_string().starts_with("line 4: "), "{error}");
        assert_eq!(lines.recv().await.unwrap().unwrap().number, 5);
        assert!(lines.recv().await.is_none());
    }
}

//! The rows of a file, read and understood on a thread of their own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, Read};
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::columns::{ColumnPlan, FieldValue, ImportedRow, RowFault};
use super::csv::{CsvFault, CsvReader, CsvRecord};
use crate::Error;
use crate::args::RowFormat;
use crate::input;

/// How many rows are read ahead.
const READ_AHEAD_ROWS: usize = 4096;
/// Longest line of a file of JSON lines.
const LINE_BYTES_MAX: usize = 16 << 20;

/// A row of the file.
#[derive(Debug)]
pub(super) struct SourceRow {
    /// Its number, from 1; a header does not count.
    pub(super) number: u64,
    /// The line on which it begins.
    pub(super) line: u64,
    /// How many (packed) bytes of the file had been read after it.
    pub(super) position: u64,
    /// As it was written.
    pub(super) raw: Vec<u8>,
    /// What it says.
    pub(super) read: Result<ImportedRow, RowFault>,
}

/// A file of rows that is being read.
pub(super) struct RowSource {
    pub(super) rows: Receiver<Result<SourceRow, Error>>,
    /// The size of the file, where it is known.
    pub(super) size: Option<u64>,
    /// The first line of CSV, for the rows that are written to another file.
    pub(super) header: Option<String>,
    /// SHA-256 of the header and the first row: whether it is the file of an earlier run.
    pub(super) begin: String,
}

/// What the thread works with.
struct RowReader {
    plan: ColumnPlan,
    /// Rows up to here were done before.
    skip: u64,
    seen: SeenIds,
    sender: Sender<Result<SourceRow, Error>>,
    position: Box<dyn Fn() -> u64 + Send>,
}

/// The rows of a file in one of its formats.
enum Rows {
    Csv {
        csv: CsvReader<Box<dyn BufRead + Send>>,
        names: Vec<String>,
    },
    Jsonl {
        reader: Box<dyn BufRead + Send>,
        line: u64,
    },
}

/// A row before its columns are looked at.
struct PlainRow {
    line: u64,
    raw: Vec<u8>,
    fields: Result<Vec<(String, FieldValue)>, RowFault>,
}

/// Starts to read the file, behind the first `skip` rows.
pub(super) fn spawn(
    path: &str,
    format: RowFormat,
    delimiter: char,
    plan: ColumnPlan,
    skip: u64,
) -> Result<RowSource, Error> {
    let source = input::open_counted(path)?;
    let (sender, receiver) = channel(READ_AHEAD_ROWS);
    let read = source.read;
    let cannot = {
        let path = path.to_owned();
        move |error: &io::Error| input::cannot_read(&path, error)
    };
    let mut header = None;
    let mut rows = match format {
        RowFormat::Csv => {
            let mut csv = CsvReader::new(source.reader, delimiter);
            let first = csv.next().map_err(|error| cannot(&error))?;
            let first = match first {
                Some(Ok(first)) => first,
                Some(Err(fault)) => return Err(Error::Usage(fault.problem).at_line(fault.line)),
                None => return Err(Error::Usage(format!("{path} has no header"))),
            };
            header = Some(String::from_utf8_lossy(&first.raw).into_owned());
            let names: Vec<String> = first.values.into_iter().map(|value| value.text).collect();
            plan.check_header(&names)?;
            Rows::Csv { csv, names }
        }
        RowFormat::Jsonl => Rows::Jsonl {
            reader: source.reader,
            line: 0,
        },
    };
    let first = rows.next().map_err(|error| cannot(&error))?;
    let begin = mark_of(header.as_deref(), first.as_ref());
    let mut reader = RowReader {
        plan,
        skip,
        seen: SeenIds::default(),
        sender,
        position: Box::new(move || read.load(Ordering::Relaxed)),
    };
    let path = path.to_owned();
    std::thread::spawn(move || match reader.run(first, &mut rows) {
        Err(error) => reader.end(cannot(&error)),
        Ok(number) if number < skip => reader.end(Error::Usage(format!(
            "{path} has fewer rows ({number}) than are done according to the --resume file ({skip})"
        ))),
        Ok(_) => {}
    });
    Ok(RowSource {
        rows: receiver,
        size: source.size,
        header,
        begin,
    })
}

fn mark_of(header: Option<&str>, first: Option<&PlainRow>) -> String {
    let mut hash = Sha256::new();
    hash.update(header.unwrap_or_default());
    hash.update("\n");
    hash.update(first.map_or(&[][..], |row| &row.raw));
    hex::encode(hash.finalize())
}

impl Rows {
    fn next(&mut self) -> io::Result<Option<PlainRow>> {
        match self {
            Self::Csv { csv, names } => Ok(csv.next()?.map(|record| csv_row(record, names))),
            Self::Jsonl { reader, line } => json_row(reader, line),
        }
    }
}

fn csv_row(record: Result<CsvRecord, CsvFault>, names: &[String]) -> PlainRow {
    let record = match record {
        Ok(record) => record,
        Err(CsvFault { line, problem, raw }) => {
            let fields = Err(RowFault {
                reason: "no CSV".to_owned(),
                message: problem,
            });
            return PlainRow { line, raw, fields };
        }
    };
    let (found, columns) = (record.values.len(), names.len());
    let fields = match found == columns {
        false => Err(RowFault {
            reason: "another number of values than the header".to_owned(),
            message: format!("it has {found} values, the header has {columns}"),
        }),
        true => {
            let values = record.values.into_iter().map(|value| {
                match value.text.is_empty() && !value.quoted {
                    true => FieldValue::Nothing,
                    false => FieldValue::Text(value.text),
                }
            });
            Ok(names.iter().cloned().zip(values).collect())
        }
    };
    PlainRow {
        line: record.line,
        raw: record.raw,
        fields,
    }
}

/// The next line that is not empty.
fn json_row(reader: &mut impl BufRead, line: &mut u64) -> io::Result<Option<PlainRow>> {
    let most = LINE_BYTES_MAX as u64 + 1;
    loop {
        let mut raw = Vec::new();
        if reader.by_ref().take(most).read_until(b'\n', &mut raw)? == 0 {
            return Ok(None);
        }
        *line += 1;
        if raw.len() > LINE_BYTES_MAX {
            let problem = format!("line {line} has more than {LINE_BYTES_MAX} bytes");
            return Err(io::Error::other(problem));
        }
        // Only the first line can begin with a byte order mark.
        if *line == 1 && raw.starts_with("\u{feff}".as_bytes()) {
            raw.drain(.."\u{feff}".len());
        }
        let trimmed = raw.trim_ascii();
        if trimmed.is_empty() {
            continue;
        }
        let fields = match std::str::from_utf8(trimmed) {
            Err(error) => Err(RowFault {
                reason: "not UTF-8".to_owned(),
                message: format!("it is not UTF-8 from byte {} on", error.valid_up_to() + 1),
            }),
            Ok(text) => match serde_json::from_str::<FieldList>(text) {
                Ok(FieldList(fields)) => Ok(fields),
                Err(error) => Err(RowFault {
                    reason: "no JSON object".to_owned(),
                    message: error.to_string(),
                }),
            },
        };
        return Ok(Some(PlainRow {
            line: *line,
            raw: trimmed.to_owned(),
            fields,
        }));
    }
}

impl RowReader {
    fn end(&self, error: Error) {
        // The receiver is gone only if the import has ended already.
        let _ = self.sender.blocking_send(Err(error));
    }

    /// Sends all rows; says how many there are, or `u64::MAX` if nobody wants the rest.
    fn run(&mut self, first: Option<PlainRow>, rows: &mut Rows) -> io::Result<u64> {
        let (mut number, mut next) = (0, first);
        while let Some(row) = next {
            number += 1;
            let read = row.fields.and_then(|fields| self.plan.read(fields));
            if !self.send(number, row.line, row.raw, read) {
                return Ok(u64::MAX);
            }
            next = rows.next()?;
        }
        Ok(number)
    }

    /// Whether anybody still wants rows.
    fn send(
        &mut self,
        number: u64,
        line: u64,
        raw: Vec<u8>,
        read: Result<ImportedRow, RowFault>,
    ) -> bool {
        // Of the rows that were done before, only the ids count: one of them may come again.
        let read = read.and_then(|row| match self.seen.add(&row.id, line) {
            None => Ok(row),
            Some(first) => Err(RowFault {
                reason: "id twice".to_owned(),
                message: format!("id {:?} is that of line {first}, too", row.id),
            }),
        });
        if number <= self.skip {
            return true;
        }
        let row = SourceRow {
            number,
            line,
            position: (self.position)(),
            raw,
            read,
        };
        self.sender.blocking_send(Ok(row)).is_ok()
    }
}

/// The ids of the rows so far, by two hashes of each: a file may have many millions.
#[derive(Default)]
struct SeenIds {
    hashers: [RandomState; 2],
    lines: HashMap<[u64; 2], u64>,
}

impl SeenIds {
    /// The line that has had this id first, if one has.
    fn add(&mut self, id: &str, line: u64) -> Option<u64> {
        let [one, other] = &self.hashers;
        let first = *self
            .lines
            .entry([one.hash_one(id), other.hash_one(id)])
            .or_insert(line);
        (first != line).then_some(first)
    }
}

/// The fields of a JSON object, in the order written.
struct FieldList(Vec<(String, FieldValue)>);

impl<'de> Deserialize<'de> for FieldList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = FieldList;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldList, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    let value = match value.get() {
                        "null" => FieldValue::Nothing,
                        _ => FieldValue::Json(value),
                    };
                    fields.push((name, value));
                }
                Ok(FieldList(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

//! The rows of a file, read and understood on a thread of their own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead};
use std::sync::atomic::Ordering;

use rstmdb_rcp::text;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::columns::{ColumnPlan, FieldValue, ImportedRow, RowFault};
use super::csv::CsvReader;
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
    pub(super) raw: String,
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

/// Starts to read the file, behind the first `skip` rows.
pub(super) fn spawn(
    path: &str,
    format: RowFormat,
    delimiter: char,
    plan: ColumnPlan,
    skip: u64,
) -> Result<RowSource, Error> {
    let source = input::open_counted(path)?;
    let (sender, rows) = channel(READ_AHEAD_ROWS);
    let read = source.read;
    let mut reader = RowReader {
        plan,
        skip,
        seen: SeenIds::default(),
        sender,
        position: Box::new(move || read.load(Ordering::Relaxed)),
    };
    let cannot = {
        let path = path.to_owned();
        move |error: &io::Error| input::cannot_read(&path, error)
    };
    let mut header = None;
    match format {
        RowFormat::Csv => {
            let mut csv = CsvReader::new(source.reader, delimiter);
            let first = csv.next().map_err(|error| cannot(&error))?;
            let first = match first {
                Some(Ok(first)) => first,
                Some(Err((line, problem))) => return Err(Error::Usage(problem).at_line(line)),
                None => return Err(Error::Usage(format!("{path} has no header"))),
            };
            header = Some(first.raw);
            let names: Vec<String> = first.values.into_iter().map(|value| value.text).collect();
            reader.plan.check_header(&names)?;
            std::thread::spawn(move || {
                if let Err(error) = reader.csv(&mut csv, &names) {
                    reader.end(cannot(&error));
                }
            });
        }
        RowFormat::Jsonl => {
            let mut lines = source.reader;
            std::thread::spawn(move || {
                if let Err(error) = reader.json_lines(&mut lines) {
                    reader.end(cannot(&error));
                }
            });
        }
    }
    Ok(RowSource {
        rows,
        size: source.size,
        header,
    })
}

impl RowReader {
    fn end(&self, error: Error) {
        // The receiver is gone only if the import has ended already.
        let _ = self.sender.blocking_send(Err(error));
    }

    fn csv(&mut self, csv: &mut CsvReader<impl BufRead>, names: &[String]) -> io::Result<()> {
        let mut number = 0;
        while let Some(record) = csv.next()? {
            number += 1;
            let (line, raw, read) = match record {
                Ok(record) if record.values.len() != names.len() => {
                    let (found, columns) = (record.values.len(), names.len());
                    let message = format!("it has {found} values, the header has {columns}");
                    let reason = "another number of values than the header".to_owned();
                    (record.line, record.raw, Err(RowFault { reason, message }))
                }
                Ok(record) => {
                    let values = record.values.into_iter().map(|value| {
                        match value.text.is_empty() && !value.quoted {
                            true => FieldValue::Nothing,
                            false => FieldValue::Text(value.text),
                        }
                    });
                    let fields = names.iter().cloned().zip(values);
                    (record.line, record.raw, self.plan.read(fields))
                }
                Err((line, message)) => {
                    let reason = "no CSV".to_owned();
                    (line, String::new(), Err(RowFault { reason, message }))
                }
            };
            if !self.send(number, line, raw, read) {
                break;
            }
        }
        Ok(())
    }

    fn json_lines(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        let mut number = 0;
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            if reader.read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            if bytes.len() > LINE_BYTES_MAX {
                let problem = format!("line {line} has more than {LINE_BYTES_MAX} bytes");
                return Err(io::Error::other(problem));
            }
            let raw = text::decode(&bytes).map_err(io::Error::other)?;
            let raw = raw.trim();
            if raw.is_empty() {
                continue;
            }
            number += 1;
            let read = match serde_json::from_str::<FieldList>(raw) {
                Ok(FieldList(fields)) => self.plan.read(fields),
                Err(error) => Err(RowFault {
                    reason: "no JSON object".to_owned(),
                    message: error.to_string(),
                }),
            };
            if !self.send(number, line, raw.to_owned(), read) {
                break;
            }
        }
        Ok(())
    }

    /// Whether anybody still wants rows.
    fn send(
        &mut self,
        number: u64,
        line: u64,
        raw: String,
        read: Result<ImportedRow, RowFault>,
    ) -> bool {
        // Of the rows that were done before, only the ids count: one of them may come again.
        let read = read.and_then(|row| match self.seen.add(&row.id, number) {
            None => Ok(row),
            Some(first) => Err(RowFault {
                reason: "id twice".to_owned(),
                message: format!("id {:?} is that of row {first}, too", row.id),
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
    rows: HashMap<[u64; 2], u64>,
}

impl SeenIds {
    /// The row that has had this id first, if one has.
    fn add(&mut self, id: &str, row: u64) -> Option<u64> {
        let [one, other] = &self.hashers;
        let first = *self
            .rows
            .entry([one.hash_one(id), other.hash_one(id)])
            .or_insert(row);
        (first != row).then_some(first)
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

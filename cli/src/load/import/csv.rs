//! Comma-separated values (RFC 4180), as databases write them.

use std::io::{self, BufRead};

/// Longest record. A quotation mark that is never closed must not read the rest of a large file.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// A value of a record. An empty one without quotation marks is how databases write that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CsvValue {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// Reads records.
pub(super) struct CsvReader<R> {
    reader: R,
    delimiter: char,
    /// The number of the line that was read last, from 1.
    line: u64,
}

/// A record, as it was written.
#[derive(Debug)]
pub(super) struct CsvRecord {
    pub(super) values: Vec<CsvValue>,
    /// Without its line ending.
    pub(super) raw: String,
    /// The line on which it begins.
    pub(super) line: u64,
}

/// Where a character stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Begin,
    Plain,
    Quoted,
    /// Behind a quotation mark inside of quotation marks: it ends them, or stands for itself.
    Closing,
}

impl<R: BufRead> CsvReader<R> {
    pub(super) fn new(reader: R, delimiter: char) -> Self {
        Self {
            reader,
            delimiter,
            line: 0,
        }
    }

    /// The next record that is not an empty line; `None` at the end. The inner error is a record that is none.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<CsvRecord, (u64, String)>>> {
        loop {
            let mut raw = Vec::new();
            let line = self.line + 1;
            if self.read_line(&mut raw)? == 0 {
                return Ok(None);
            }
            // Quotation marks in pairs: the record ends with the line.
            while raw.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
                if self.read_line(&mut raw)? == 0 {
                    let problem = "a quotation mark is not closed".to_owned();
                    return Ok(Some(Err((line, problem))));
                }
            }
            while matches!(raw.last(), Some(b'\n' | b'\r')) {
                raw.pop();
            }
            if raw.is_empty() {
                continue;
            }
            let text = match String::from_utf8(raw) {
                Ok(text) => text,
                Err(_) => return Ok(Some(Err((line, "it is not UTF-8".to_owned())))),
            };
            // Only the first line can begin with a byte order mark.
            let text = match text.strip_prefix('\u{feff}') {
                Some(rest) if line == 1 => rest.to_owned(),
                _ => text,
            };
            let record = self.split(&text).map_err(|problem| (line, problem));
            return Ok(Some(record.map(|values| CsvRecord {
                values,
                raw: text,
                line,
            })));
        }
    }

    fn read_line(&mut self, raw: &mut Vec<u8>) -> io::Result<usize> {
        let count = self.reader.read_until(b'\n', raw)?;
        if raw.len() > RECORD_BYTES_MAX {
            let problem = format!(
                "the record that ends on line {} has more than {RECORD_BYTES_MAX} bytes",
                self.line + 1
            );
            return Err(io::Error::other(problem));
        }
        self.line += u64::from(count > 0);
        Ok(count)
    }

    fn split(&self, text: &str) -> Result<Vec<CsvValue>, String> {
        let mut values = Vec::new();
        let mut value = String::new();
        let (mut place, mut quoted) = (Place::Begin, false);
        for (at, c) in text.chars().enumerate() {
            place = match (place, c) {
                (Place::Begin | Place::Plain | Place::Closing, c) if c == self.delimiter => {
                    values.push(CsvValue {
                        text: std::mem::take(&mut value),
                        quoted: std::mem::take(&mut quoted),
                    });
                    Place::Begin
                }
                (Place::Begin, '"') => {
                    quoted = true;
                    Place::Quoted
                }
                (Place::Quoted, '"') => Place::Closing,
                (Place::Closing, '"') => {
                    value.push('"');
                    Place::Quoted
                }
                (Place::Closing, _) => {
                    return Err(format!(
                        "character {} follows a closing quotation mark",
                        at + 1
                    ));
                }
                (Place::Plain, '"') => {
                    return Err(format!(
                        "a quotation mark stands at character {}, inside a value that does not begin with one",
                        at + 1
                    ));
                }
                (place, c) => {
                    value.push(c);
                    if place == Place::Quoted {
                        place
                    } else {
                        Place::Plain
                    }
                }
            };
        }
        values.push(CsvValue {
            text: value,
            quoted,
        });
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn records(text: &str) -> Vec<Result<Vec<String>, String>> {
        let mut reader = CsvReader::new(text.as_bytes(), ',');
        let mut records = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            let shown = |value: &CsvValue| match (value.quoted, value.text.is_empty()) {
                (false, true) => "NULL".to_owned(),
                _ => value.text.clone(),
            };
            records.push(match record {
                Ok(record) => Ok(record.values.iter().map(shown).collect()),
                Err((line, problem)) => Err(format!("{line}: {problem}")),
            });
        }
        records
    }

    fn of(values: &[&str]) -> Result<Vec<String>, String> {
        Ok(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn values_are_split_as_databases_write_them() {
        let text = "\u{feff}id,name\r\n1,\"a, \"\"b\"\"\"\n\n2,\n3,\"\"\n4,\"two\nlines\"\n5,é";
        let expected = [
            of(&["id", "name"]),
            of(&["1", "a, \"b\""]),
            of(&["2", "NULL"]),
            of(&["3", ""]),
            of(&["4", "two\nlines"]),
            of(&["5", "é"]),
        ];
        assert_eq!(records(text), expected);
    }

    #[test]
    fn a_record_that_is_none_is_named_by_its_line_and_does_not_end_the_file() {
        let found = records("a,b\n1,x\"y\"\n2,\"z\"w\n3,ok\n4,\"open\n5,never");
        assert_eq!(found[0], of(&["a", "b"]));
        assert!(
            found[1]
                .as_ref()
                .unwrap_err()
                .starts_with("2: a quotation mark stands")
        );
        assert!(
            found[2]
                .as_ref()
                .unwrap_err()
                .starts_with("3: character 6 follows")
        );
        assert_eq!(found[3], of(&["3", "ok"]));
        assert!(
            found[4]
                .as_ref()
                .unwrap_err()
                .contains("5: a quotation mark is not closed")
        );
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn another_delimiter_separates() {
        let mut reader = CsvReader::new("a;b,c\n".as_bytes(), ';');
        let record = reader.next().unwrap().unwrap().unwrap();
        assert_eq!(record.values.len(), 2);
        assert_eq!(record.raw, "a;b,c");
    }
}

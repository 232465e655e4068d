//! Comma-separated values (RFC 4180), as databases write them.

use std::io::{self, BufRead, Cursor, Read};

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
    /// Lines to read again, before those of `reader`: they came behind a line that is no record.
    again: Cursor<Vec<u8>>,
    delimiter: Vec<u8>,
    record_bytes_max: usize,
    /// The number of the line that was read last, from 1.
    line: u64,
}

/// A record, as it was written.
#[derive(Debug)]
pub(super) struct CsvRecord {
    pub(super) values: Vec<CsvValue>,
    /// Without its line ending.
    pub(super) raw: Vec<u8>,
    /// The line on which it begins.
    pub(super) line: u64,
}

/// A line that is no record.
#[derive(Debug)]
pub(super) struct CsvFault {
    pub(super) line: u64,
    pub(super) problem: String,
    /// Without its line ending.
    pub(super) raw: Vec<u8>,
}

impl<R: BufRead> CsvReader<R> {
    pub(super) fn new(reader: R, delimiter: char) -> Self {
        Self {
            reader,
            again: Cursor::default(),
            delimiter: delimiter.to_string().into_bytes(),
            record_bytes_max: RECORD_BYTES_MAX,
            line: 0,
        }
    }

    /// The next record that is not an empty line; `None` at the end. The inner error is a line that is no record.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<CsvRecord, CsvFault>>> {
        loop {
            let mut raw = Vec::new();
            if self.read_line(&mut raw)? == 0 {
                return Ok(None);
            }
            // Only the first line can begin with a byte order mark.
            if self.line == 1 && raw.starts_with("\u{feff}".as_bytes()) {
                raw.drain(.."\u{feff}".len());
            }
            if raw.len() == ending_of(&raw).len() {
                continue;
            }
            return self.record(raw).map(Some);
        }
    }

    /// The record that begins with this line. Further lines are read only inside of quotation marks.
    fn record(&mut self, mut raw: Vec<u8>) -> io::Result<Result<CsvRecord, CsvFault>> {
        let (line, first_bytes) = (self.line, raw.len());
        let mut scan = Scan::default();
        let mut from = 0;
        let problem = loop {
            match scan.line(&raw[from..], &self.delimiter) {
                Err(problem) if from == 0 => break problem,
                Err(problem) => {
                    let at = self.line;
                    break format!(
                        "a quotation mark opens a value and does not end it: on line {at} {problem}"
                    );
                }
                Ok(false) => break String::new(),
                Ok(true) => {}
            }
            from = raw.len();
            if from > self.record_bytes_max {
                let most = self.record_bytes_max;
                break format!("a quotation mark is not closed within {most} bytes");
            }
            if self.read_line(&mut raw)? == 0 {
                break "a quotation mark is not closed".to_owned();
            }
        };
        let problem = match problem.is_empty() {
            true => match scan.values() {
                Some(values) => {
                    raw.truncate(raw.len() - ending_of(&raw).len());
                    return Ok(Ok(CsvRecord { values, raw, line }));
                }
                None => "it is not UTF-8".to_owned(),
            },
            false => {
                // Most likely the first line alone is wrong, and the lines behind it are rows.
                self.read_again(raw.split_off(first_bytes), line);
                problem
            }
        };
        raw.truncate(raw.len() - ending_of(&raw).len());
        Ok(Err(CsvFault { line, problem, raw }))
    }

    /// Goes back to the end of `line`. Each line comes back at most once: one that did not end the quotation marks
    /// before it has them in pairs, so it opens none that are open at its end.
    fn read_again(&mut self, mut lines: Vec<u8>, line: u64) {
        let read = usize::try_from(self.again.position()).unwrap_or(usize::MAX);
        lines.extend_from_slice(self.again.get_ref().get(read..).unwrap_or_default());
        self.again = Cursor::new(lines);
        self.line = line;
    }

    fn read_line(&mut self, raw: &mut Vec<u8>) -> io::Result<usize> {
        let most = self.record_bytes_max as u64 + 1;
        let mut count = self.again.read_until(b'\n', raw)?;
        // The last of the lines to read again is whole, or the file ends with it.
        if count == 0 {
            count = (&mut self.reader).take(most).read_until(b'\n', raw)?;
        }
        self.line += u64::from(count > 0);
        if count as u64 == most {
            let (line, most) = (self.line, self.record_bytes_max);
            let problem = format!("line {line} has more than {most} bytes");
            return Err(io::Error::other(problem));
        }
        Ok(count)
    }
}

/// The line ending of a line.
fn ending_of(line: &[u8]) -> &[u8] {
    let is_ending = |byte: &&u8| matches!(byte, b'\n' | b'\r');
    let count = line.iter().rev().take_while(is_ending).count();
    &line[line.len() - count..]
}

/// Where a byte stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Begin,
    Plain,
    Quoted,
    /// Behind a quotation mark inside of quotation marks: it ends them, or stands for itself.
    Closing,
}

/// A record as far as it was read. Its state goes on from line to line, so that each byte is looked at once.
#[derive(Default)]
struct Scan {
    place: Place,
    quoted: bool,
    value: Vec<u8>,
    values: Vec<(Vec<u8>, bool)>,
}

impl Scan {
    /// Takes a line with its ending; whether the record goes on behind it. The error says what is wrong.
    fn line(&mut self, line: &[u8], delimiter: &[u8]) -> Result<bool, String> {
        let ending = ending_of(line);
        let end = line.len() - ending.len();
        let mut at = 0;
        while at < end {
            let byte = line[at];
            let is_delimiter = self.place != Place::Quoted && line[at..end].starts_with(delimiter);
            at += if is_delimiter { delimiter.len() } else { 1 };
            let character = || String::from_utf8_lossy(&line[..at]).chars().count();
            self.place = match (self.place, byte) {
                _ if is_delimiter => {
                    self.end_value();
                    Place::Begin
                }
                (Place::Begin, b'"') => {
                    self.quoted = true;
                    Place::Quoted
                }
                (Place::Quoted, b'"') => Place::Closing,
                (Place::Closing, b'"') => {
                    self.value.push(b'"');
                    Place::Quoted
                }
                (Place::Closing, _) => {
                    let at = character();
                    return Err(format!("character {at} follows a closing quotation mark"));
                }
                (Place::Plain, b'"') => {
                    return Err(format!(
                        "a quotation mark stands at character {}, inside a value that does not begin with one",
                        character()
                    ));
                }
                (place, byte) => {
                    self.value.push(byte);
                    match place {
                        Place::Quoted => place,
                        _ => Place::Plain,
                    }
                }
            };
        }
        let goes_on = self.place == Place::Quoted;
        if goes_on {
            self.value.extend_from_slice(ending);
        }
        Ok(goes_on)
    }

    fn end_value(&mut self) {
        let value = std::mem::take(&mut self.value);
        self.values.push((value, std::mem::take(&mut self.quoted)));
    }

    /// The values of a record that has ended; `None`: they are not UTF-8.
    fn values(mut self) -> Option<Vec<CsvValue>> {
        self.end_value();
        let values = self.values.into_iter();
        values
            .map(|(text, quoted)| {
                let text = String::from_utf8(text).ok()?;
                Some(CsvValue { text, quoted })
            })
            .collect()
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
                Err(fault) => Err(format!("{}: {}", fault.line, fault.problem)),
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
        // The line behind the one that opened the quotation marks is a record of its own.
        assert_eq!(found[5], of(&["5", "never"]));
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn a_quotation_mark_in_a_value_costs_its_own_line_only() {
        let mut reader =
            CsvReader::new(&b"1,a\"b\n2,ok\n3,\"x\n4,\"y\"\n5,\xff\r\n6,ok\n"[..], ',');
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(record) = reader.next().unwrap() {
            match record {
                Ok(record) => good.push(record.line),
                Err(fault) => bad.push((fault.line, fault.raw)),
            }
        }
        assert_eq!(good, [2, 4, 6]);
        let raw = |text: &[u8]| text.to_vec();
        assert_eq!(
            bad,
            [(1, raw(b"1,a\"b")), (3, raw(b"3,\"x")), (5, raw(b"5,\xff"))]
        );
    }

    #[test]
    fn a_quotation_mark_is_closed_within_the_bound_or_not_at_all() {
        let mut reader = CsvReader::new(&b"1,\"a\n2,b\n3,c\n4,d\n5,\"e\"\n"[..], ',');
        reader.record_bytes_max = 12;
        let fault = reader.next().unwrap().unwrap().unwrap_err();
        assert!(fault.problem.contains("within 12 bytes"), "{fault:?}");
        let mut lines = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            lines.push(record.unwrap().line);
        }
        assert_eq!(lines, [2, 3, 4, 5]);
    }

    #[test]
    fn the_time_grows_with_the_lines_and_not_with_their_square() {
        let text = format!("0,\"open\n{}", "1,\"\",abcdefghijkl\n".repeat(150_000));
        let begin = std::time::Instant::now();
        let found = records(&text);
        assert_eq!(found.len(), 150_001);
        assert_eq!(found.iter().filter(|record| record.is_err()).count(), 1);
        // Counting the quotation marks of all lines so far, again for each line, took minutes.
        assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    }

    #[test]
    fn another_delimiter_separates() {
        let mut reader = CsvReader::new("a;b,c\n".as_bytes(), ';');
        let record = reader.next().unwrap().unwrap().unwrap();
        assert_eq!(record.values.len(), 2);
        assert_eq!(record.raw, b"a;b,c");
    }
}

//! What became of the rows: counts, reasons in sum, and progress.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::{Code, text::counted};
use serde::Serialize;

use super::super::progress::bar;
use super::columns::RowFault;
use crate::Error;
use crate::session::CliSession;

/// How many reasons are told apart. Further ones are counted together.
const REASONS_MAX: usize = 50;
/// How many rows each reason names.
const ROWS_NAMED: usize = 5;
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What became of a row.
#[derive(Debug)]
pub(super) enum RowFate {
    /// Its instance is there now, or would be.
    Imported,
    /// It was imported before.
    Unchanged,
    /// Its instance was there already, not from this row, and that is to count as done.
    Existing,
    /// It does not fit.
    Refused(RowFault),
}

/// One reason why rows do not fit.
#[derive(Debug, Serialize)]
pub(super) struct RowReason {
    reason: String,
    count: u64,
    /// The first of them, by their lines.
    lines: Vec<u64>,
    /// The message about the first of them.
    example: String,
}

/// What an import did, in the end.
#[derive(Debug, Default, Serialize)]
pub(super) struct ImportSummary {
    /// Nothing was written.
    dry_run: bool,
    pub(super) rows: u64,
    imported: u64,
    unchanged: u64,
    existing: u64,
    pub(super) refused: u64,
    seconds: f64,
    rows_per_second: u64,
    reasons: Vec<RowReason>,
}

/// Counts, and shows the counts on standard error.
pub(super) struct ImportProgress {
    summary: ImportSummary,
    reasons: BTreeMap<String, RowReason>,
    position: u64,
    bar: Option<ProgressBar>,
    begin: Instant,
    next_line: Instant,
}

/// The reason of a refusal without what is different in each row.
pub(super) fn fault_of(body: &ErrorBody) -> RowFault {
    let details = body.details.as_ref();
    let text = |name: &str| {
        let value = details.and_then(|details| details.get(name));
        value.and_then(|value| value.as_str()).map(str::to_owned)
    };
    let reason = match &body.code {
        Code::InstanceExists => "INSTANCE_EXISTS".to_owned(),
        Code::Conflict => "CONFLICT: imported before with other values".to_owned(),
        Code::SchemaFailed => {
            let (path, rule) = (text("path"), text("rule"));
            let (path, rule) = (path.unwrap_or_default(), rule.unwrap_or_default());
            let place = if path.is_empty() { "/" } else { &path };
            format!("SCHEMA_FAILED: {rule} at {place}")
        }
        Code::BadRequest => match text("field").as_deref() {
            // Few states are unknown, and which ones is what one wants to know.
            Some("params.initial_state") => format!("BAD_REQUEST: {}", body.message),
            Some(field) => format!("BAD_REQUEST: {field}"),
            None => "BAD_REQUEST".to_owned(),
        },
        code => code.to_string(),
    };
    RowFault {
        reason,
        message: body.message.to_string(),
    }
}

impl ImportProgress {
    /// `size` is the file's, where it is known.
    pub(super) fn new(size: Option<u64>, dry_run: bool) -> Self {
        let begin = Instant::now();
        Self {
            summary: ImportSummary {
                dry_run,
                ..ImportSummary::default()
            },
            reasons: BTreeMap::new(),
            position: 0,
            bar: io::stderr().is_terminal().then(|| bar(size)),
            begin,
            next_line: begin + LINE_EVERY,
        }
    }

    pub(super) fn refused(&self) -> u64 {
        self.summary.refused
    }

    /// Counts a row.
    pub(super) fn ended(&mut self, line: u64, position: u64, fate: RowFate) {
        self.summary.rows += 1;
        self.position = self.position.max(position);
        match fate {
            RowFate::Imported => self.summary.imported += 1,
            RowFate::Unchanged => self.summary.unchanged += 1,
            RowFate::Existing => self.summary.existing += 1,
            RowFate::Refused(fault) => {
                self.summary.refused += 1;
                self.refuse(line, fault);
            }
        }
        self.show();
    }

    fn refuse(&mut self, line: u64, fault: RowFault) {
        let is_full = self.reasons.len() >= REASONS_MAX;
        let reason = match is_full && !self.reasons.contains_key(&fault.reason) {
            true => "other reasons".to_owned(),
            false => fault.reason,
        };
        let of_reason = self.reasons.entry(reason.clone());
        let of_reason = of_reason.or_insert_with(|| RowReason {
            reason,
            count: 0,
            lines: Vec::new(),
            example: fault.message,
        });
        of_reason.count += 1;
        if of_reason.lines.len() < ROWS_NAMED {
            of_reason.lines.push(line);
            of_reason.lines.sort_unstable();
        }
    }

    fn show(&mut self) {
        // Looking at the clock or the bar for every row would cost more than sending it.
        const EVERY_ROWS: u64 = 64;
        if !self.summary.rows.is_multiple_of(EVERY_ROWS) {
            return;
        }
        let rate = |progress: &Self| {
            let seconds = progress.begin.elapsed().as_secs_f64().max(1e-3);
            (progress.summary.rows as f64 / seconds) as u64
        };
        if let Some(bar) = &self.bar {
            bar.set_position(self.position);
            bar.set_message(format!("{} ({}/s)", rows(self.summary.rows), rate(self)));
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            let refused = match self.summary.refused {
                0 => String::new(),
                refused => format!(", {refused} refused"),
            };
            let seconds = self.begin.elapsed().as_secs();
            let rate = rate(self);
            eprintln!(
                "{} after {seconds} s ({rate}/s){refused}",
                rows(self.summary.rows)
            );
        }
    }

    /// Ends the display.
    pub(super) fn finish(self) -> ImportSummary {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.begin.elapsed().as_secs_f64();
        let mut reasons: Vec<RowReason> = self.reasons.into_values().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        ImportSummary {
            seconds: (seconds * 1e3).round() / 1e3,
            rows_per_second: (self.summary.rows as f64 / seconds.max(1e-9)) as u64,
            reasons,
            ..self.summary
        }
    }
}

impl ImportSummary {
    /// As JSON for programs, as text for people.
    pub(super) fn print(&self, session: &CliSession) -> Result<(), Error> {
        if session.out.for_programs() {
            return session.out.value(self);
        }
        session.out.line(&self.text())
    }

    fn text(&self) -> String {
        let (verb, refused) = match self.dry_run {
            true => ("would be imported", "would be refused"),
            false => ("imported", "refused"),
        };
        let mut text = format!(
            "{} in {:.1} s ({}/s): {} {verb}, {} unchanged, {} existing, {} {refused}",
            rows(self.rows),
            self.seconds,
            self.rows_per_second,
            self.imported,
            self.unchanged,
            self.existing,
            self.refused
        );
        for reason in &self.reasons {
            let lines: Vec<String> = reason.lines.iter().map(u64::to_string).collect();
            let more = match reason.count > reason.lines.len() as u64 {
                true => ", …",
                false => "",
            };
            let word = if reason.count == 1 { "line" } else { "lines" };
            let lines = lines.join(", ");
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n{:>8}  {}\n          {word} {lines}{more}: {}",
                reason.count, reason.reason, reason.example
            );
        }
        text
    }
}

fn rows(count: u64) -> String {
    counted(count, "row", "rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str, message: &str) -> RowFate {
        RowFate::Refused(RowFault {
            reason: reason.to_owned(),
            message: message.to_owned(),
        })
    }

    #[test]
    fn reasons_are_summed_and_name_the_first_lines() {
        let mut progress = ImportProgress::new(None, true);
        for line in 2..9 {
            progress.ended(
                line,
                0,
                refused("id twice", "id \"a\" is that of line 1, too"),
            );
        }
        progress.ended(9, 0, refused("no state", "column \"state\" is empty"));
        progress.ended(10, 0, RowFate::Imported);
        let text = progress.finish().text();
        let rest = text.split_once(": ").map(|(_, rest)| rest);
        assert_eq!(
            rest,
            Some(
                "1 would be imported, 0 unchanged, 0 existing, 8 would be refused\n       \
                 7  id twice\n          lines 2, 3, 4, 5, 6, …: id \"a\" is that of line 1, too\n       \
                 1  no state\n          line 9: column \"state\" is empty"
            )
        );
    }

    #[test]
    fn very_many_reasons_are_counted_together() {
        let mut progress = ImportProgress::new(None, false);
        for number in 0..200_u64 {
            progress.ended(number, 0, refused(&format!("reason {number}"), "m"));
        }
        let summary = progress.finish();
        assert_eq!(summary.refused, 200);
        assert_eq!(summary.reasons.len(), REASONS_MAX + 1);
        assert_eq!(summary.reasons[0].count, 150);
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_not_with_which_row() {
        let body = |code, details| ErrorBody {
            details: Some(details),
            ..ErrorBody::new(code, "m")
        };
        for (body, reason) in [
            (
                body(
                    Code::SchemaFailed,
                    serde_json::json!({"of":"context","path":"/total","rule":"type","why":"w"}),
                ),
                "SCHEMA_FAILED: type at /total",
            ),
            (
                body(
                    Code::BadRequest,
                    serde_json::json!({"field":"params.instance_id"}),
                ),
                "BAD_REQUEST: params.instance_id",
            ),
            (
                body(
                    Code::BadRequest,
                    serde_json::json!({"field":"params.initial_state"}),
                ),
                "BAD_REQUEST: m",
            ),
            (
                ErrorBody::new(Code::InstanceExists, "instance \"a\" exists"),
                "INSTANCE_EXISTS",
            ),
        ] {
            assert_eq!(fault_of(&body).reason, reason);
        }
    }
}

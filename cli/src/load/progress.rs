//! Shows the progress of a load: a bar on a terminal, otherwise a line now and then; a summary at the end.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rstmdb_rcp::text::counted;
use serde::Serialize;

use super::lanes::{LoadEffect, Observer};
use super::reader::LoadLine;
use crate::Error;
use crate::session::CliSession;

const LINE_EVERY: Duration = Duration::from_secs(5);

/// What has ended so far.
#[derive(Debug, Default, Clone, Copy)]
pub struct LoadTotals {
    pub ops: u64,
    pub applied: u64,
    pub replayed: u64,
    pub refused: u64,
}

/// Counts, and shows the counts on standard error.
pub struct LoadProgress {
    totals: LoadTotals,
    position: u64,
    bar: Option<ProgressBar>,
    begin: Instant,
    next_line: Instant,
}

impl LoadProgress {
    /// `size` is the file's, where it is known.
    pub fn new(size: Option<u64>) -> LoadProgress {
        let begin = Instant::now();
        LoadProgress {
            totals: LoadTotals::default(),
            position: 0,
            bar: io::stderr().is_terminal().then(|| bar(size)),
            begin,
            next_line: begin + LINE_EVERY,
        }
    }

    /// Ends the display.
    pub fn finish(self) -> LoadTotals {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.totals
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn show(&mut self) {
        // Looking at the clock or the bar for every operation would cost more than sending it.
        const EVERY_OPS: u64 = 64;
        if !self.totals.ops.is_multiple_of(EVERY_OPS) {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.position);
            bar.set_message(operations(self.totals.ops));
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            let seconds = self.begin.elapsed().as_secs();
            eprintln!("{} after {seconds} s", operations(self.totals.ops));
        }
    }
}

impl Observer for LoadProgress {
    fn ended(&mut self, line: &LoadLine, outcome: &Result<LoadEffect, Error>) {
        self.totals.ops += 1;
        self.position = self.position.max(line.position);
        match outcome {
            Ok(LoadEffect::Applied) => self.totals.applied += 1,
            Ok(LoadEffect::Replayed) => self.totals.replayed += 1,
            Err(error) => {
                self.totals.refused += 1;
                self.say(&format!("line {}: {error}", line.number));
            }
        }
        self.show();
    }

    fn unreadable(&mut self, error: &Error) {
        self.totals.ops += 1;
        self.totals.refused += 1;
        self.say(&error.to_string());
    }
}

pub(super) fn bar(size: Option<u64>) -> ProgressBar {
    let (bar, template) = match size {
        Some(size) => (
            ProgressBar::new(size),
            "{bar:40} {percent:>3}% {msg} {elapsed}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
    };
    // The templates are constants. A mistake in one would only lead to the default style.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// What a load did, in the end.
#[derive(Debug, Serialize)]
pub struct LoadSummary {
    ops: u64,
    applied: u64,
    replayed: u64,
    refused: u64,
    seconds: f64,
    ops_per_second: u64,
}

impl LoadSummary {
    /// Of a load that took `elapsed`.
    pub fn new(totals: &LoadTotals, elapsed: Duration) -> LoadSummary {
        let seconds = elapsed.as_secs_f64();
        LoadSummary {
            ops: totals.ops,
            applied: totals.applied,
            replayed: totals.replayed,
            refused: totals.refused,
            seconds: (seconds * 1e3).round() / 1e3,
            ops_per_second: (totals.ops as f64 / seconds.max(1e-9)) as u64,
        }
    }

    /// As JSON for programs, as a sentence for people.
    pub fn print(&self, session: &CliSession) -> Result<(), Error> {
        if session.out.for_programs() {
            return session.out.value(self);
        }
        session.out.line(&self.sentence())
    }

    fn sentence(&self) -> String {
        format!(
            "{} in {:.1} s ({}/s): {} applied, {} replayed, {} refused",
            operations(self.ops),
            self.seconds,
            self.ops_per_second,
            self.applied,
            self.replayed,
            self.refused
        )
    }
}

fn operations(count: u64) -> String {
    counted(count, "operation", "operations")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_happened() {
        let totals = LoadTotals {
            ops: 73_088,
            applied: 70_000,
            replayed: 3_088,
            refused: 0,
        };
        let summary = LoadSummary::new(&totals, Duration::from_millis(2_000));
        assert_eq!(
            summary.sentence(),
            "73088 operations in 2.0 s (36544/s): 70000 applied, 3088 replayed, 0 refused"
        );
        let one = LoadSummary { ops: 1, ..summary };
        assert!(one.sentence().starts_with("1 operation in "));
    }
}

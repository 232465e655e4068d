//! The recorded counts, as a text file: the compiler in the first line, then one step with its count in each line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::steps::CALIBRATION;

/// A step may take this many hundredths more than recorded.
const MORE_PERCENT_MAX: u64 = 3;
/// Any step may take this many instructions more in addition. The length of this program's path moves buffers in
/// memory, which changes how checksums and copies begin and end.
const MORE_MAX: u64 = 30;

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine cannot count, or its counts cannot be compared with the recorded ones.
    #[error("{0}")]
    CannotCount(String),
    /// A line of the record is not valid.
    #[error("{path}, line {line}: expected a step's name and a number, got {text:?}")]
    Line {
        /// The file.
        path: String,
        /// From 1 on.
        line: usize,
        /// What is there.
        text: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// A step did not run.
    #[error("step {step} failed under valgrind: {output}")]
    Step {
        /// Its name.
        step: String,
        /// What valgrind printed.
        output: String,
    },
}

/// The instructions of each step, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountRecord {
    /// What `rustc --version` prints.
    pub compiler: String,
    /// One repetition of each step.
    pub steps: BTreeMap<String, u64>,
}

/// How a step compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepVerdict {
    /// What is recorded; none for a new step.
    pub recorded: Option<u64>,
    /// The count; `None` for a step that no longer exists.
    pub now: Option<u64>,
}

impl StepVerdict {
    /// Whether the step is recorded and counted, and takes no more than is allowed.
    pub fn passes(&self) -> bool {
        match (self.recorded, self.now) {
            (Some(recorded), Some(now)) => {
                now <= recorded + (recorded * MORE_PERCENT_MAX / 100).max(MORE_MAX)
            }
            _ => false,
        }
    }
}

impl fmt::Display for StepVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (recorded, now) = match (self.recorded, self.now) {
            (Some(recorded), Some(now)) => (recorded, now),
            (None, Some(now)) => return write!(f, "{now:8}  not recorded"),
            (Some(recorded), None) => return write!(f, "recorded {recorded}, but not a step"),
            (None, None) => return f.write_str("neither recorded nor a step"),
        };
        let percent = (now as f64 / recorded.max(1) as f64 - 1.0) * 100.0;
        let sign = match self.passes() {
            true => "",
            false => "  too many",
        };
        write!(f, "{now:8}  recorded {recorded:8}  {percent:+6.1} %{sign}")
    }
}

impl CountRecord {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or a line is not a step and a number.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = |error| Error::File {
            path: path.display().to_string(),
            error,
        };
        Self::parse(
            &path.display().to_string(),
            &std::fs::read_to_string(path).map_err(file)?,
        )
    }

    fn parse(path: &str, text: &str) -> Result<Self, Error> {
        let mut lines = text.lines();
        let compiler = lines.next().unwrap_or_default().to_owned();
        let steps = lines.zip(2..).map(|(text, line)| {
            let step = text.split_once(' ');
            let step = step.and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?)));
            step.ok_or_else(|| Error::Line {
                path: path.to_owned(),
                line,
                text: text.to_owned(),
            })
        });
        Ok(Self {
            compiler,
            steps: steps.collect::<Result<_, _>>()?,
        })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        std::fs::write(path, self.to_string()).map_err(|error| Error::File {
            path: path.display().to_string(),
            error,
        })
    }

    /// Whether both were counted with the same compiler, C library and kind of processor.
    ///
    /// # Errors
    /// [`Error::CannotCount`] when they were not.
    pub fn is_comparable(&self, now: &Self) -> Result<(), Error> {
        if self.compiler != now.compiler {
            return Err(Error::CannotCount(format!(
                "recorded with {}, this is {}",
                self.compiler, now.compiler
            )));
        }
        let calibration = |record: &Self| record.steps.get(CALIBRATION).copied();
        let (recorded, counted) = (calibration(self), calibration(now));
        if recorded == counted {
            return Ok(());
        }
        Err(Error::CannotCount(format!(
            "another C library or kind of processor: allocating, copying and checksums take {counted:?} \
             instructions here and took {recorded:?} where they were recorded"
        )))
    }

    /// Each step of either, in the order of their names.
    pub fn compare(&self, now: &Self) -> BTreeMap<String, StepVerdict> {
        let names = self.steps.keys().chain(now.steps.keys());
        let verdict = |name: &String| StepVerdict {
            recorded: self.steps.get(name).copied(),
            now: now.steps.get(name).copied(),
        };
        names.map(|name| (name.clone(), verdict(name))).collect()
    }
}

impl fmt::Display for CountRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.compiler)?;
        let mut steps = self.steps.iter();
        steps.try_for_each(|(name, count)| writeln!(f, "{name} {count}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(calibration: u64, decide: u64) -> CountRecord {
        let steps = [(CALIBRATION, calibration), ("decide", decide)];
        let steps = steps.map(|(name, count)| (name.to_owned(), count));
        CountRecord {
            compiler: "rustc 1.0.0".to_owned(),
            steps: steps.into(),
        }
    }

    #[test]
    fn three_percent_more_pass_and_no_more() {
        let recorded = record(5, 1000);
        let passes = |now: &CountRecord| {
            let verdicts = recorded.compare(now);
            verdicts.values().all(StepVerdict::passes)
        };
        assert!(passes(&record(5, 1030)));
        assert!(!passes(&record(5, 1031)));
        assert!(passes(&record(5, 10)));
    }

    #[test]
    fn a_short_step_may_take_some_instructions_more() {
        let verdict = |recorded, now| StepVerdict {
            recorded: Some(recorded),
            now: Some(now),
        };
        assert!(verdict(300, 330).passes());
        assert!(!verdict(300, 331).passes());
        assert!(!verdict(10_000, 10_301).passes());
    }

    #[test]
    fn a_step_that_only_one_side_knows_does_not_pass() {
        let (mut recorded, now) = (record(5, 1000), record(5, 1000));
        recorded.steps.insert("gone".to_owned(), 7);
        assert!(!recorded.compare(&now)["gone"].passes());
        assert!(!now.compare(&recorded)["gone"].passes());
    }

    #[test]
    fn other_compilers_and_machines_are_not_compared() {
        let recorded = record(5, 1000);
        assert!(recorded.is_comparable(&record(5, 2000)).is_ok());
        assert!(recorded.is_comparable(&record(6, 1000)).is_err());
        let mut other = record(5, 1000);
        other.compiler.push('1');
        assert!(recorded.is_comparable(&other).is_err());
    }

    #[test]
    fn what_is_written_is_read() {
        let written = record(5, 1000);
        assert_eq!(
            CountRecord::parse("f", &written.to_string()).unwrap(),
            written
        );
        assert!(CountRecord::parse("f", "rustc\ndecide many\n").is_err());
    }
}

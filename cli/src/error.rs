//! The errors of the command line, and the exit code of each kind.
//!
//! | exit code | kind |
//! |---|---|
//! | 1 | [`Error::Refused`] by the server, also [`Error::Hinted`]; [`Error::Failed`]: only a part was done; [`Error::Output`] |
//! | 2 | [`Error::Usage`]: arguments or the files they name |
//! | 3 | [`Error::NoConnection`], [`Error::Handshake`] |
//! | 4 | [`Error::Timeout`], [`Error::Unanswered`]: no answer in time, or the connection broke and what was sent may have taken effect |
//! | 75 | [`Error::LockHeld`] by another owner |
//! | 76 | [`Error::LockLost`] |
//! | its own | [`Error::Command`]: what ran under a lock |

use std::io;

use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::text::{printable, printable_json, printable_lines};
use serde::Serialize;
use serde_json::{Value, json};

/// An error of the command line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered, and refused.
    #[error("{0}")]
    Refused(Box<ErrorBody>),
    /// Something was done, but not all that was asked for.
    #[error("{0}")]
    Failed(String),
    /// The arguments, or a file that they name, are wrong.
    #[error("{0}")]
    Usage(String),
    /// No server could be reached.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// A server was reached, but there can be no connection to it as it was asked for.
    #[error("no connection: {0}")]
    Handshake(String),
    /// Time ran out, or the connection broke. It is unknown whether the request took effect.
    #[error("{0}")]
    Timeout(String),
    /// The same of one request.
    #[error("{said}")]
    Unanswered {
        /// For people.
        said: String,
        /// For programs.
        body: Box<ErrorBody>,
    },
    /// Another owner holds the lock.
    #[error("{0}")]
    LockHeld(Box<ErrorBody>),
    /// The lock is lost.
    #[error("{said}")]
    LockLost {
        /// For people.
        said: String,
        /// The server's refusal, if that is how it was found.
        body: Option<Box<ErrorBody>>,
    },
    /// A command that this program has run ended with this exit code, or an error with it was reported already.
    #[error("the command exited with {0}")]
    Command(u8),
    /// Another error, at a line of a file or of a script.
    #[error("{of}line {line}: {error}")]
    Line {
        /// What the script is for, with a colon; empty for a file that the user has named.
        of: &'static str,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// A refusal, with what was probably meant.
    #[error("{error}")]
    Hinted {
        /// The refusal.
        error: Box<Error>,
        /// What was probably meant.
        hint: String,
    },
    /// Standard output is gone or can't be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// An answer that the protocol does not allow, so the command cannot print it.
    pub fn unexpected(error: impl std::fmt::Display) -> Error {
        Error::Failed(format!("cannot read the server's answer: {error}"))
    }

    /// This error, at `line`.
    pub fn at_line(self, line: u64) -> Error {
        self.at_line_of("", line)
    }

    /// This error, at `line` of the script for `of`.
    pub fn at_line_of(self, of: &'static str, line: u64) -> Error {
        Error::Line {
            of,
            line,
            error: Box::new(self),
        }
    }

    /// The code to exit with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Refused(_) | Error::Failed(_) => 1,
            Error::Usage(_) => 2,
            Error::NoConnection(_) | Error::Handshake(_) => 3,
            Error::Timeout(_) | Error::Unanswered { .. } => 4,
            Error::LockHeld(_) => 75,
            Error::LockLost { .. } => 76,
            Error::Command(code) => *code,
            Error::Line { error, .. } | Error::Hinted { error, .. } => error.exit_code(),
            // A reader that closes the pipe early, such as `head`, is not a failure.
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Error::Output(_) => 1,
        }
    }

    /// What is printed on standard error; nothing when nothing failed.
    pub fn report(&self) -> Option<String> {
        // The command has said itself what is wrong.
        if self.exit_code() == 0 || matches!(self, Error::Command(_)) {
            return None;
        }
        let mut report = printable_lines(&self.to_string());
        if let Some(details) = self.details() {
            let mut details = details.clone();
            let tried = details
                .as_object_mut()
                .and_then(|details| details.shift_remove("tried"));
            report.push_str("\n  details: ");
            report.push_str(&printable_json(&details.to_string()));
            report.push_str(&guards(tried.as_ref()));
        }
        if let Error::Hinted { hint, .. } = self {
            report.push_str("\n  hint: ");
            report.push_str(&printable_lines(hint));
        }
        Some(report)
    }

    /// What is printed on standard error for programs: one JSON object; nothing when nothing failed.
    pub fn report_json(&self) -> Option<String> {
        self.report()?;
        let reported = self.reported();
        let json = serde_json::to_string(&reported).unwrap_or_default();
        // Programs read the same, and a terminal does not obey it.
        Some(printable_json(&json).into_owned())
    }

    fn reported(&self) -> ReportedError<'_> {
        let of_body = |body: &ErrorBody| ReportedError {
            code: body.code.to_string(),
            message: body.message.to_string(),
            retryable: body.retryable,
            details: body.details.clone().unwrap_or_else(|| json!({})),
            line: None,
            hint: None,
        };
        let own = |code: &str, retryable| ReportedError {
            code: code.to_owned(),
            message: self.to_string(),
            retryable,
            details: json!({}),
            line: None,
            hint: None,
        };
        match self {
            Error::Refused(body)
            | Error::LockHeld(body)
            | Error::Unanswered { body, .. }
            | Error::LockLost {
                body: Some(body), ..
            } => of_body(body),
            Error::LockLost { body: None, .. } => own(Code::LockLost.as_str(), false),
            Error::Failed(_) | Error::Command(_) => own("FAILED", false),
            Error::Usage(_) => own("USAGE", false),
            Error::NoConnection(_) => own("NO_CONNECTION", true),
            // Certificates and options are wrong in the same way the next time.
            Error::Handshake(_) => own("NO_CONNECTION", false),
            Error::Timeout(_) => own(Code::Timeout.as_str(), false),
            Error::Output(_) => own("OUTPUT_FAILED", false),
            Error::Line { line, error, .. } => ReportedError {
                line: Some(*line),
                ..error.reported()
            },
            Error::Hinted { error, hint } => ReportedError {
                hint: Some(hint),
                ..error.reported()
            },
        }
    }

    fn details(&self) -> Option<&Value> {
        match self {
            Error::Refused(body) | Error::LockHeld(body) => body
                .details
                .as_ref()
                .filter(|details| **details != json!({})),
            Error::Line { error, .. } | Error::Hinted { error, .. } => error.details(),
            _ => None,
        }
    }
}

/// An error as programs read it. Later versions may add fields.
#[derive(Serialize)]
struct ReportedError<'a> {
    /// The server's code, or one of USAGE, FAILED, NO_CONNECTION and OUTPUT_FAILED.
    code: String,
    message: String,
    /// Whether trying the same again is safe and may succeed.
    retryable: bool,
    /// The server's; empty if there are none.
    details: Value,
    /// The line of the file that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// A line for each guard that a refused event has tried, and for each value that it read.
fn guards(tried: Option<&Value>) -> String {
    let mut text = String::new();
    for guard in tried.and_then(Value::as_array).into_iter().flatten() {
        let line = guard["text"].as_str().unwrap_or_default();
        text.push_str("\n  guard: ");
        text.push_str(&printable(line));
        for (path, value) in guard["values"].as_object().into_iter().flatten() {
            text.push_str("\n    ");
            text.push_str(&printable(path));
            text.push_str(" = ");
            text.push_str(&printable_json(&value.to_string()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn refused() -> Error {
        let body = ErrorBody::new(Code::GuardFailed, "no guard holds")
            .with_details(serde_json::json!({"event": "SHIP"}));
        Error::Refused(Box::new(body))
    }

    #[test]
    fn each_kind_has_its_exit_code() {
        let broken_pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        for (error, code) in [
            (refused(), 1),
            (Error::Failed(String::new()), 1),
            (Error::Usage(String::new()), 2),
            (Error::NoConnection(String::new()), 3),
            (Error::Timeout(String::new()), 4),
            (
                Error::LockLost {
                    said: String::new(),
                    body: None,
                },
                76,
            ),
            (Error::Command(3), 3),
            (Error::Timeout(String::new()).at_line(7), 4),
            (refused().at_line(7), 1),
            (Error::Output(broken_pipe), 0),
            (Error::Output(full), 1),
        ] {
            assert_eq!(error.exit_code(), code, "for {error:?}");
        }
    }

    #[test]
    fn a_refusal_is_reported_with_line_code_message_and_details() {
        assert_eq!(
            refused().at_line(12).report().unwrap(),
            "line 12: GUARD_FAILED: no guard holds\n  details: {\"event\":\"SHIP\"}"
        );
    }

    #[test]
    fn a_refusal_cannot_steer_the_terminal() {
        let body = ErrorBody::new(Code::BadRequest, "bad \u{1b}]0;x\u{7} id")
            .with_details(serde_json::json!({"field": "pay\u{202e}dnufer"}));
        assert_eq!(
            Error::Refused(Box::new(body)).report().unwrap(),
            "BAD_REQUEST: bad \\u{1b}]0;x\\u{7} id\n  details: {\"field\":\"pay\\u202ednufer\"}"
        );
    }

    #[test]
    fn programs_read_code_message_retryable_and_details() {
        let read = |error: Error| -> Value {
            serde_json::from_str(&error.report_json().unwrap()).unwrap()
        };
        assert_eq!(
            refused().at_line(12).report_json().unwrap(),
            r#"{"code":"GUARD_FAILED","message":"no guard holds","retryable":false,"details":{"event":"SHIP"},"line":12}"#
        );
        let hinted = Error::Hinted {
            error: Box::new(refused()),
            hint: "did you mean \u{1b}?".to_owned(),
        };
        assert_eq!(read(hinted)["hint"], "did you mean \u{1b}?");
        let body = ErrorBody::new(Code::Timeout, "late").with_unknown_outcome();
        let unknown = Error::Unanswered {
            said: "TIMEOUT: late; the outcome is unknown".to_owned(),
            body: Box::new(body),
        };
        let unknown = read(unknown);
        assert_eq!(
            (&unknown["code"], &unknown["message"]),
            (&json!("TIMEOUT"), &json!("late"))
        );
        assert_eq!(unknown["details"], json!({"outcome": "unknown"}));
        assert_eq!(unknown["retryable"], false);
        let away = read(Error::NoConnection("refused".to_owned()));
        let expected = json!({"code": "NO_CONNECTION", "message": "no connection: refused", "retryable": true,
            "details": {}});
        assert_eq!(away, expected);
        let distrusted = read(Error::Handshake("unknown issuer".to_owned()));
        assert_eq!(
            (&distrusted["code"], &distrusted["retryable"]),
            (&json!("NO_CONNECTION"), &json!(false))
        );
        assert_eq!(read(Error::Usage("no".to_owned()))["code"], "USAGE");
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_not_reported() {
        let error = Error::Output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.report(), None);
        assert_eq!(error.report_json(), None);
        assert_eq!(Error::Command(3).report_json(), None);
    }
}

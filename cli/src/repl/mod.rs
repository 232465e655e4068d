//! The REPL: the command line's commands, one a line.
//!
//! | module | subject |
//! |---|---|
//! | `complete` | what Tab offers |

mod complete;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use clap::CommandFactory;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::args::{LineArgs, LineCommand};
use crate::session::CliSession;
use crate::session::watches::ReplWatches;
use crate::{Error, commands};
use complete::{Helper, ServerNames};

const PROMPT: &str = "rstmdb> ";

/// Whether to read more commands.
#[derive(Debug, PartialEq, Eq)]
enum ReplNext {
    Read,
    Leave,
}

/// Reads commands until `exit` or the end of input. A script on standard input stops at its first error and
/// exits with that error's code.
pub async fn run(session: &CliSession) -> Result<(), Error> {
    if io::stdin().is_terminal() {
        interactive(session).await
    } else {
        script(session).await
    }
}

async fn script(session: &CliSession) -> Result<(), Error> {
    let mut session = session.clone();
    session.watches = Some(ReplWatches::plain());
    let mut line = String::new();
    loop {
        line.clear();
        // Do not hold the lock meanwhile: a document given as - is the rest of the script.
        let read = io::stdin().read_line(&mut line);
        if read.map_err(|error| Error::Usage(format!("cannot read standard input: {error}")))? == 0
        {
            return Ok(());
        }
        if obey(&session, &line).await? == ReplNext::Leave {
            return Ok(());
        }
    }
}

async fn interactive(session: &CliSession) -> Result<(), Error> {
    let mut editor = editor()?;
    let history = history_file();
    if let Some(path) = &history {
        // A first start has no history yet, and the REPL also starts if the history cannot be read.
        let _ = editor.load_history(path);
    }
    let mut session = session.clone();
    session.watches = Some(match editor.create_external_printer() {
        Ok(printer) => ReplWatches::printing_to(printer),
        Err(_) => ReplWatches::plain(),
    });
    let names = ServerNames::new(session.clone(), tokio::runtime::Handle::current());
    editor.set_helper(Some(Helper::new(LineArgs::command(), Arc::new(names))));
    greet(&session).await;
    loop {
        let (returned, read) = read_line(editor).await?;
        editor = returned;
        match read {
            Ok(line) => {
                if is_kept(&line) {
                    // A line that cannot be saved can still be run.
                    let _ = editor.add_history_entry(&line);
                }
                match interruptible(&session, &line).await {
                    Ok(ReplNext::Read) => {}
                    Ok(ReplNext::Leave) => break,
                    Err(error) => session.out.report(&error),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Error::Failed(format!("cannot use the terminal: {error}"))),
        }
    }
    if let Some(path) = &history {
        save_history(&mut editor, path);
    }
    Ok(())
}

type LineEditor = Editor<Helper, FileHistory>;

fn editor() -> Result<LineEditor, Error> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .build();
    Editor::with_config(config)
        .map_err(|error| Error::Failed(format!("cannot use the terminal: {error}")))
}

/// Reads on a separate thread, so that watches continue meanwhile.
async fn read_line(
    mut editor: LineEditor,
) -> Result<(LineEditor, Result<String, ReadlineError>), Error> {
    tokio::task::spawn_blocking(move || {
        let read = editor.readline(PROMPT);
        (editor, read)
    })
    .await
    .map_err(|error| Error::Failed(format!("the line editor has failed: {error}")))
}

async fn greet(session: &CliSession) {
    match session.client().await {
        Ok(client) => eprintln!("connected to {}; help lists the commands", client.address()),
        // The server may still be starting. The next command tries again.
        Err(error) => eprintln!("{error}; help lists the commands"),
    }
}

/// Ctrl-C ends the command, not the REPL.
async fn interruptible(session: &CliSession, line: &str) -> Result<ReplNext, Error> {
    tokio::select! {
        outcome = obey(session, line) => outcome,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("interrupted; the command may have taken effect");
            Ok(ReplNext::Read)
        }
    }
}

async fn obey(session: &CliSession, line: &str) -> Result<ReplNext, Error> {
    let line = match parse(line)? {
        Typed::Nothing => return Ok(ReplNext::Read),
        Typed::Question(help) => return session.out.line(&help).map(|()| ReplNext::Read),
        Typed::Line(line) => *line,
    };
    match line.command {
        LineCommand::Exit => Ok(ReplNext::Leave),
        LineCommand::Command(run) => {
            let session = session.for_line(line.form.asked(), line.verbose);
            match Box::pin(commands::run(&session, *run)).await {
                Ok(()) => Ok(ReplNext::Read),
                Err(error) => {
                    // In the form that the line asks for, which the caller does not know.
                    session.out.report(&error);
                    Err(Error::Command(error.exit_code()))
                }
            }
        }
    }
}

/// What a line is.
#[derive(Debug)]
enum Typed {
    /// Empty, or a comment.
    Nothing,
    /// For help; this is it.
    Question(String),
    /// A command.
    Line(Box<LineArgs>),
}

fn parse(line: &str) -> Result<Typed, Error> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Typed::Nothing);
    }
    let words = shell_words::split(line).map_err(|error| Error::Usage(error.to_string()))?;
    match LineArgs::parse_words(words) {
        Ok(line) => Ok(Typed::Line(Box::new(line))),
        Err(help) if !help.use_stderr() => Ok(Typed::Question(help.to_string())),
        Err(error) => Err(Error::Usage(error.to_string().trim_end().to_owned())),
    }
}

/// In the state folder of the user, as the XDG base directories say.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("rstmdb/cli-history"))
}

/// Whether a line may be saved in the history file. A line with a token may not. A leading blank asks not to save
/// the line.
fn is_kept(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with(' ') && !line.contains("hash-token")
}

fn save_history(editor: &mut LineEditor, path: &std::path::Path) {
    let saved = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(ReadlineError::Io)
        .and_then(|()| editor.save_history(path));
    if let Err(error) = saved {
        eprintln!(
            "cannot save the command history in {}: {error}",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::args::CliCommand;

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        let line = r#"apply-event -i "o 1" -e PAY -p '{"a": "b c"}' --json"#;
        let Typed::Line(line) = parse(line).unwrap() else {
            panic!("not a command");
        };
        assert!(line.form.json);
        let LineCommand::Command(command) = line.command else {
            panic!("not a command");
        };
        let CliCommand::ApplyEvent(apply) = *command else {
            panic!("not apply-event");
        };
        let named = apply.named.both().unwrap();
        assert_eq!(named, ("o 1".to_owned(), "PAY".to_owned()));
        assert_eq!(apply.payload, [r#"{"a": "b c"}"#]);
    }

    #[test]
    fn empty_lines_and_comments_are_skipped() {
        for line in ["", "   ", "# a comment"] {
            assert!(matches!(parse(line).unwrap(), Typed::Nothing));
        }
    }

    #[test]
    fn what_is_no_command_is_a_usage_error() {
        for line in ["nonsense", "get-instance", "ping 'unclosed"] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn tokens_are_not_kept_in_the_history() {
        assert!(is_kept("get-instance a"));
        for line in ["hash-token secret", "  hash-token secret", " ping", ""] {
            assert!(!is_kept(line), "{line:?}");
        }
    }

    #[test]
    fn asking_for_help_is_no_error() {
        for (line, part) in [
            ("help", "watch-all"),
            ("help apply-event", "--expected-state"),
        ] {
            let Typed::Question(help) = parse(line).unwrap() else {
                panic!("{line} is not answered with help");
            };
            assert!(help.contains(part), "{help}");
        }
    }
}

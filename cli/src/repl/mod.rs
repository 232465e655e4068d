//! The REPL: the command line's commands, one a line. A line whose quote or bracket is not closed goes on in the next one.
//!
//! | module | subject |
//! |---|---|
//! | `complete` | what Tab offers |
//! | `grammar` | which part of a command a word is |
//! | `names` | names that the server knows |
//! | `prompt` | what stands before the line |

mod complete;
mod grammar;
mod names;
mod prompt;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::CommandFactory;
use rstmdb_rcp::text::printable;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Editor, Event, EventContext,
    EventHandler, KeyEvent, RepeatCount,
};

use crate::args::{LineArgs, LineCommand};
use crate::input::script::ScriptReader;
use crate::input::words::{self, Word};
use crate::session::CliSession;
use crate::session::watches::ReplWatches;
use crate::{Error, commands};
use complete::Helper;
use grammar::WordSlot;
use names::ServerNames;

/// What begins the errors of a script.
const SCRIPT: &str = "shell: ";

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
    let mut reader = ScriptReader::default();
    while let Some(command) = reader.next(words::is_open)? {
        if obey(&session, &command.text, Some(command.line)).await? == ReplNext::Leave {
            break;
        }
    }
    Ok(())
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
    let typed = LineTyped::default();
    let note = EventHandler::Conditional(Box::new(typed.clone()));
    editor.bind_sequence(KeyEvent::ctrl('C'), note);
    let names = ServerNames::new(session.clone(), tokio::runtime::Handle::current());
    editor.set_helper(Some(Helper::new(LineArgs::command(), Arc::new(names))));
    greet(&session).await;
    loop {
        let prompt = prompt::prompt(&session).await;
        let (returned, read) = read_line(editor, prompt).await?;
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
            Err(ReadlineError::Interrupted) if typed.was_empty() => end_watch(&session),
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
    prompt: String,
) -> Result<(LineEditor, Result<String, ReadlineError>), Error> {
    tokio::task::spawn_blocking(move || {
        let read = editor.readline(&prompt);
        (editor, read)
    })
    .await
    .map_err(|error| Error::Failed(format!("the line editor has failed: {error}")))
}

/// Whether anything was typed when Ctrl-C was pressed, which the line editor does not tell with the interruption.
#[derive(Clone, Default)]
struct LineTyped {
    empty: Arc<AtomicBool>,
}

impl LineTyped {
    fn was_empty(&self) -> bool {
        self.empty.load(Ordering::Relaxed)
    }
}

impl ConditionalEventHandler for LineTyped {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, line: &EventContext<'_>) -> Option<Cmd> {
        self.empty.store(line.line().is_empty(), Ordering::Relaxed);
        // And then what Ctrl-C does otherwise.
        None
    }
}

/// Ctrl-C on an empty line ends the only watch. Which one of several is meant nobody can know.
fn end_watch(session: &CliSession) {
    let Some(watches) = &session.watches else {
        return;
    };
    match &*watches.running() {
        [] => eprintln!("exit or Ctrl-D leaves"),
        [only] => {
            watches.end(&only.id);
            eprintln!("{}", printable(&format!("watch {} has ended", only.id)));
        }
        running => {
            eprintln!(
                "several watches are running: {}",
                commands::several_watches(running)
            );
        }
    }
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
    let reads_only = matches!(parse(line), Ok(Typed::Line(line)) if line.command.only_reads());
    tokio::select! {
        outcome = obey(session, line, None) => outcome,
        _ = tokio::signal::ctrl_c() => {
            match reads_only {
                // Behind the terminal's ^C.
                true => eprintln!(),
                false => eprintln!("\ninterrupted; the command may have taken effect"),
            }
            Ok(ReplNext::Read)
        }
    }
}

/// Runs a line. `number` is its number in a script.
async fn obey(session: &CliSession, line: &str, number: Option<u64>) -> Result<ReplNext, Error> {
    let placed = |error: Error| match number {
        Some(number) => error.at_line_of(SCRIPT, number),
        None => error,
    };
    let line = match parse(line).map_err(placed)? {
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
                    let error = placed(error);
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
    match LineArgs::parse_words(arguments(words::split(line)?)) {
        Ok(line) => Ok(Typed::Line(Box::new(line))),
        Err(help) if !help.use_stderr() => Ok(Typed::Question(help.to_string())),
        Err(error) => Err(Error::Usage(error.to_string().trim_end().to_owned())),
    }
}

/// The words as the definition of the command line takes them: behind the command a document that is the value of no
/// option is the payload or the context.
fn arguments(words: Vec<Word>) -> Vec<String> {
    if words.iter().all(|word| !word.is_document) {
        return words.into_iter().map(|word| word.text).collect();
    }
    let mut grammar = LineArgs::command();
    grammar.build();
    let mut arguments = Vec::with_capacity(words.len());
    for word in words {
        if word.is_document {
            let place = grammar::place(&grammar, &arguments);
            let is_option = matches!(place.slot, WordSlot::Value(of) if !of.is_positional());
            let option = match *place.path {
                ["apply-event" | "explain"] => Some("-p"),
                ["create-instance"] => Some("-c"),
                _ => None,
            };
            arguments.extend(option.filter(|_| !is_option).map(str::to_owned));
        }
        arguments.push(word.text);
    }
    arguments
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
    !line.trim().is_empty() && !line.starts_with(' ') && !line.contains("token")
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
    fn a_payload_or_a_context_needs_neither_quotes_nor_an_option() {
        let command = |line: &str| {
            let Typed::Line(line) = parse(line).unwrap() else {
                panic!("not a command");
            };
            let LineCommand::Command(command) = line.command else {
                panic!("not a command");
            };
            *command
        };
        let json = r#"{"amount":3,"card":{"type":"visa"}}"#;
        for line in [
            "apply order-1 PAY {amount: 3, card: {type: visa}}",
            "apply-event order-1 PAY -p {amount: 3, card: {type: visa}}",
            "apply-event order-1 PAY --dry-run {\n amount: 3,\n card: {type: visa}\n}",
            "apply-event {amount: 3, card: {type: visa}} order-1 PAY",
        ] {
            let CliCommand::ApplyEvent(apply) = command(line) else {
                panic!("not apply-event");
            };
            assert_eq!(apply.payload, [json], "{line}");
            let named = apply.named.both().unwrap();
            assert_eq!(named, ("order-1".to_owned(), "PAY".to_owned()));
        }
        let CliCommand::CreateInstance(create) = command("create order {total: 3}") else {
            panic!("not create-instance");
        };
        assert_eq!(create.ctx, [r#"{"total":3}"#]);
        let line = "apply-event a B --timers {EXPIRE: {after: 1h}}";
        let CliCommand::ApplyEvent(apply) = command(line) else {
            panic!("not apply-event");
        };
        assert_eq!(apply.timers.unwrap(), r#"{"EXPIRE":{"after":"1h"}}"#);
        assert!(apply.payload.is_empty());
    }

    #[test]
    fn empty_lines_and_comments_are_skipped() {
        for line in ["", "   ", "# a comment"] {
            assert!(matches!(parse(line).unwrap(), Typed::Nothing));
        }
    }

    #[test]
    fn what_is_no_command_is_a_usage_error() {
        for line in [
            "nonsense",
            "get-instance",
            "ping 'unclosed",
            "apply a B {c}",
            "get a",
        ] {
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

//! What Tab offers: commands, their options, and names the server knows.

use std::sync::Arc;
use std::time::Duration;

use rstmdb_rcp::message::instance::{ListInstances, ListInstancesResult};
use rstmdb_rcp::message::machine::{ListMachines, ListMachinesResult};
use rstmdb_rcp::message::op;
use rustyline::Context;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use tokio::runtime::Handle;

use crate::session::CliSession;
use crate::session::watches::ReplWatches;

/// How long Tab waits for the server.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many names are offered at most.
const OFFERS_MAX: u64 = 50;

/// What kind of thing the word under the cursor is.
#[derive(Debug, PartialEq, Eq)]
enum CompletedWord {
    Command,
    /// A command's own commands.
    Under(String),
    /// Options of the command these words lead to.
    Option(Vec<String>),
    Machine,
    Instance,
    Watch,
    Nothing,
}

/// Where names come from.
pub(super) trait NameDirectory: Send + Sync {
    fn machines(&self) -> Vec<String>;
    fn instances(&self, prefix: &str) -> Vec<String>;
    fn watches(&self) -> Vec<String>;
}

/// Completes the word under the cursor.
pub(super) struct Helper {
    grammar: clap::Command,
    directory: Arc<dyn NameDirectory>,
}

impl rustyline::Helper for Helper {}

impl Highlighter for Helper {}

impl Validator for Helper {}

impl Hinter for Helper {
    type Hint = String;
}

impl Helper {
    pub(super) fn new(mut grammar: clap::Command, directory: Arc<dyn NameDirectory>) -> Helper {
        grammar.build();
        Helper { grammar, directory }
    }

    fn offers(&self, wanted: &CompletedWord, prefix: &str) -> Vec<String> {
        match wanted {
            CompletedWord::Command => commands(&self.grammar),
            CompletedWord::Under(command) => {
                let command = self.grammar.find_subcommand(command);
                command.map_or_else(Vec::new, commands)
            }
            CompletedWord::Option(words) => self.options(words),
            CompletedWord::Machine => self.directory.machines(),
            CompletedWord::Instance => self.directory.instances(prefix),
            CompletedWord::Watch => self.directory.watches(),
            CompletedWord::Nothing => Vec::new(),
        }
    }

    fn options(&self, words: &[String]) -> Vec<String> {
        let mut command = &self.grammar;
        while let Some(next) = words.iter().find_map(|word| command.find_subcommand(word)) {
            command = next;
        }
        command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
            .filter_map(|argument| argument.get_long())
            .map(|long| format!("--{long}"))
            .collect()
    }
}

fn commands(of: &clap::Command) -> Vec<String> {
    of.get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| command.get_name().to_owned())
        .collect()
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..position];
        let start = typed
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + space_len(typed, space));
        let (before, prefix) = typed.split_at(start);
        let offers = self.offers(&wanted(before, prefix), prefix);
        let pairs = offers.into_iter().filter(|offer| offer.starts_with(prefix));
        Ok((start, pairs.map(pair).collect()))
    }
}

fn space_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

/// Names with blanks or quotes are put in as the shell would need them.
fn pair(name: String) -> Pair {
    let mut replacement = shell_words::quote(&name).into_owned();
    replacement.push(' ');
    Pair {
        display: name,
        replacement,
    }
}

/// Decides from the words before the one under the cursor.
fn wanted(before: &str, prefix: &str) -> CompletedWord {
    let words: Vec<&str> = before.split_whitespace().collect();
    let Some(&command) = words.first() else {
        return CompletedWord::Command;
    };
    if prefix.starts_with('-') {
        return CompletedWord::Option(words.into_iter().map(str::to_owned).collect());
    }
    match (command, words.last().copied().unwrap_or_default()) {
        (_, "-m" | "--machine" | "--machines") => CompletedWord::Machine,
        ("get-machine" | "put-machine", "-n" | "--name") => CompletedWord::Machine,
        // There the id is a new one.
        ("create-instance", "-i" | "--id") => CompletedWord::Nothing,
        (_, "-i" | "--id") => CompletedWord::Instance,
        (_, option) if option.starts_with('-') => CompletedWord::Nothing,
        ("help", _) => CompletedWord::Command,
        ("cluster", "cluster") | ("automation", "automation") | ("timers", "timers") => {
            CompletedWord::Under(command.to_owned())
        }
        ("timers", "set" | "resume") if words.len() == 2 => CompletedWord::Instance,
        ("timers", "list") if words.len() == 2 => CompletedWord::Machine,
        (_, _) if words.len() > 1 => CompletedWord::Nothing,
        (
            "get-machine" | "delete-machine" | "import" | "diagram" | "create-instance"
            | "list-instances" | "export" | "watch-all",
            _,
        ) => CompletedWord::Machine,
        (
            "apply-event" | "allowed" | "explain" | "get-instance" | "delete-instance"
            | "watch-instance" | "snapshot-instance" | "history" | "audit-proof",
            _,
        ) => CompletedWord::Instance,
        ("unwatch", _) => CompletedWord::Watch,
        _ => CompletedWord::Nothing,
    }
}

/// Asks the server. A name that does not arrive in time is not offered.
pub(super) struct ServerNames {
    session: CliSession,
    runtime: Handle,
}

impl ServerNames {
    pub(super) fn new(session: CliSession, runtime: Handle) -> ServerNames {
        ServerNames { session, runtime }
    }

    fn in_time<T: Default>(&self, answer: impl Future<Output = Result<T, crate::Error>>) -> T {
        let answer = async { tokio::time::timeout(PATIENCE, answer).await };
        match self.runtime.block_on(answer) {
            Ok(Ok(names)) => names,
            Ok(Err(_)) | Err(_) => T::default(),
        }
    }
}

impl NameDirectory for ServerNames {
    fn machines(&self) -> Vec<String> {
        self.in_time(async {
            let params = ListMachines::default();
            let list: ListMachinesResult<'_> = self.session.ask(op::LIST_MACHINES, &params).await?;
            let names = list.items.into_iter().map(|item| item.machine.into_owned());
            Ok(names.collect())
        })
    }

    fn instances(&self, prefix: &str) -> Vec<String> {
        self.in_time(async {
            // Ids are sorted, so the ids with the prefix follow directly after it.
            let params = ListInstances {
                after: (!prefix.is_empty()).then(|| prefix.into()),
                limit: Some(OFFERS_MAX),
                ..ListInstances::default()
            };
            let list: ListInstancesResult<'_> =
                self.session.ask(op::LIST_INSTANCES, &params).await?;
            let ids = list.instances.into_iter().map(|item| item.id.into_owned());
            Ok(ids.collect())
        })
    }

    fn watches(&self) -> Vec<String> {
        self.session
            .watches
            .as_ref()
            .map_or_else(Vec::new, ReplWatches::ids)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;
    use rustyline::history::DefaultHistory;

    use super::*;
    use crate::args::LineArgs;

    struct Fixed;

    impl NameDirectory for Fixed {
        fn machines(&self) -> Vec<String> {
            vec!["order".to_owned(), "incident".to_owned()]
        }

        fn instances(&self, _: &str) -> Vec<String> {
            vec!["o-1".to_owned(), "o 2".to_owned()]
        }

        fn watches(&self) -> Vec<String> {
            vec!["sub-1".to_owned()]
        }
    }

    fn offered(line: &str) -> Vec<String> {
        let helper = Helper::new(LineArgs::command(), Arc::new(Fixed));
        let history = DefaultHistory::new();
        let context = Context::new(&history);
        let (start, pairs) = helper.complete(line, line.len(), &context).unwrap();
        pairs
            .into_iter()
            .map(|pair| format!("{}{}", &line[..start], pair.replacement))
            .collect()
    }

    #[test]
    fn commands_are_completed() {
        assert_eq!(offered("apply"), ["apply-event "]);
        assert_eq!(offered("help watch-a"), ["help watch-all "]);
        assert!(offered("").contains(&"exit ".to_owned()));
    }

    #[test]
    fn options_of_the_command_are_completed() {
        assert_eq!(
            offered("apply-event --expected-s"),
            ["apply-event --expected-state "]
        );
        assert!(offered("compact --").contains(&"compact --json ".to_owned()));
    }

    #[test]
    fn the_commands_of_cluster_and_their_options_are_completed() {
        assert_eq!(offered("cluster st"), ["cluster status "]);
        assert_eq!(
            offered("cluster add db4:7402 --le"),
            ["cluster add db4:7402 --learner "]
        );
        assert!(offered("cluster remove ").is_empty());
    }

    #[test]
    fn machines_and_instances_are_completed_where_they_belong() {
        assert_eq!(offered("get-machine or"), ["get-machine order "]);
        assert_eq!(
            offered("create-instance -m inc"),
            ["create-instance -m incident "]
        );
        assert_eq!(offered("get-instance o-"), ["get-instance o-1 "]);
        assert_eq!(offered("apply-event -i o-"), ["apply-event -i o-1 "]);
        assert_eq!(offered("timers set o-"), ["timers set o-1 "]);
        assert!(offered("timers set o-1 ").is_empty());
        assert_eq!(offered("timers res"), ["timers resume "]);
        assert_eq!(offered("unwatch "), ["unwatch sub-1 "]);
        assert_eq!(offered("apply-event o-"), ["apply-event o-1 "]);
        assert_eq!(offered("create-instance or"), ["create-instance order "]);
        assert_eq!(offered("list-instances or"), ["list-instances order "]);
        assert_eq!(offered("timers list or"), ["timers list order "]);
        assert!(offered("create-instance -i ").is_empty());
        assert!(offered("apply-event -e ").is_empty());
        assert!(offered("get-instance o-1 ").is_empty());
    }

    #[test]
    fn a_name_with_a_blank_is_quoted() {
        assert_eq!(
            offered("get-instance o"),
            ["get-instance o-1 ", "get-instance 'o 2' "]
        );
    }
}

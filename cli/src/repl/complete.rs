//! What Tab offers: commands, options, values of options, names the server knows, and files.
//!
//! All but the names follow from the definition of the command line, so a new command needs nothing here.

use std::sync::Arc;

use rustyline::Context;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};

use super::grammar::{self, WordPlace, WordSlot};
use super::names::{NameDirectory, NameKind, NamesOf};
use crate::input::words;
use crate::session::profiles::{self, Profiles};

/// The arguments of commands that name an instance which exists.
const INSTANCES: [&str; 4] = ["instance", "instance_option", "first", "instance_id"];

/// Completes the word under the cursor, and says whether a line is whole.
pub(super) struct Helper {
    grammar: clap::Command,
    directory: Arc<dyn NameDirectory>,
    files: FilenameCompleter,
}

impl rustyline::Helper for Helper {}

impl Highlighter for Helper {}

impl Validator for Helper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match words::is_open(context.input()) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

impl Hinter for Helper {
    type Hint = String;
}

/// What belongs in a place.
#[derive(Debug, PartialEq, Eq)]
enum Offered {
    /// One of these.
    These(Vec<String>),
    /// Names of this kind.
    Names(NameKind),
    /// The name of a file.
    Files,
}

impl Helper {
    pub(super) fn new(mut grammar: clap::Command, directory: Arc<dyn NameDirectory>) -> Helper {
        grammar.build();
        Helper {
            grammar,
            directory,
            files: FilenameCompleter::new(),
        }
    }

    /// What may stand behind `before`, where `prefix` stands now; and how much of `prefix` is no part of it.
    fn offers(&self, before: &str, prefix: &str) -> (usize, Option<Vec<String>>) {
        let mut words = typed(before);
        let mut skip = 0;
        if let Some((option, _)) = prefix.split_once('=').filter(|_| prefix.starts_with("--")) {
            words.push(option.to_owned());
            skip = option.len() + 1;
        }
        let place = grammar::place(&self.grammar, &words);
        if prefix[skip..].starts_with('-')
            && !matches!(place.slot, WordSlot::Value(of) if !of.is_positional())
        {
            return (skip, Some(options(place.command)));
        }
        let WordSlot::Value(argument) = place.slot else {
            let offers = match place.slot {
                WordSlot::Command => commands(place.command),
                WordSlot::Value(_) | WordSlot::Nothing => Vec::new(),
            };
            return (skip, Some(offers));
        };
        if let Some(delimiter) = argument.get_value_delimiter() {
            skip += prefix[skip..]
                .rfind(delimiter)
                .map_or(0, |at| at + delimiter.len_utf8());
        }
        let offers = match offered(&place, argument) {
            Offered::These(these) => Some(these),
            Offered::Names(kind) => {
                let of = named(&place, &prefix[skip..]);
                Some(self.directory.names(kind, &of))
            }
            Offered::Files => None,
        };
        (skip, offers)
    }
}

/// The words of the line before the one that is typed.
fn typed(before: &str) -> Vec<String> {
    match words::split(before) {
        Ok(words) => words.into_iter().map(|word| word.text).collect(),
        // Within a quote or a document no name is completed anyway.
        Err(_) => before.split_whitespace().map(str::to_owned).collect(),
    }
}

fn commands(of: &clap::Command) -> Vec<String> {
    of.get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| command.get_name().to_owned())
        .collect()
}

fn options(of: &clap::Command) -> Vec<String> {
    of.get_arguments()
        // Those of every command are hidden in its help, and can be typed all the same.
        .filter(|argument| !argument.is_hide_set() || argument.is_global_set())
        .filter_map(|argument| argument.get_long())
        .map(|long| format!("--{long}"))
        .collect()
}

fn offered(place: &WordPlace<'_>, argument: &clap::Arg) -> Offered {
    let values = argument.get_possible_values();
    if !values.is_empty() {
        let values = values.iter().filter(|value| !value.is_hide_set());
        return Offered::These(values.map(|value| value.get_name().to_owned()).collect());
    }
    let id = argument.get_id().as_str();
    let name = argument.get_value_names().and_then(|names| names.first());
    let name = name.map_or("", |name| name.as_str());
    // MACHINE[,MACHINE…] is a list of them.
    let one = name.split("[,").next().unwrap_or(name);
    Offered::Names(match (&*place.path, one) {
        // There the id is a new one.
        (["create-instance"] | ["cluster", "add"], "ID") => return Offered::These(Vec::new()),
        (_, "ID") if INSTANCES.contains(&id) => NameKind::Instances,
        (_, "ID") if id == "node_id" => NameKind::Nodes,
        (_, "ID") if id == "subscription_id" => NameKind::Watches,
        (["lock", ..], "NAME") => NameKind::Locks,
        (_, "MACHINE") => NameKind::Machines,
        (["put-machine"], "NAME") => NameKind::Machines,
        (_, "VERSION") => NameKind::Versions,
        (_, "STATE") => NameKind::States,
        (_, "EVENT") => NameKind::Events,
        (_, "TIMER") => NameKind::Timers,
        (_, "PROFILE") => return Offered::These(profiles()),
        (_, "FILE" | "DIR" | "OLD" | "NEW" | "[NAME] DEFINITION") => return Offered::Files,
        _ => return Offered::These(Vec::new()),
    })
}

fn profiles() -> Vec<String> {
    let kept = profiles::file().and_then(|path| Profiles::read(&path));
    let kept = kept.unwrap_or_default().profiles;
    kept.into_keys().collect()
}

/// The instance and the machines that the line names.
fn named(place: &WordPlace<'_>, prefix: &str) -> NamesOf {
    let mut of = NamesOf {
        prefix: prefix.to_owned(),
        ..NamesOf::default()
    };
    for (argument, value) in &place.given {
        match offered(place, argument) {
            Offered::Names(NameKind::Instances) => of.instance = Some(value.clone()),
            Offered::Names(NameKind::Machines) => {
                of.machines.extend(value.split(',').map(str::to_owned));
            }
            _ => {}
        }
    }
    of
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..position];
        let start = typed
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + space_len(typed, space));
        let (before, prefix) = typed.split_at(start);
        let (skip, offers) = self.offers(before, prefix);
        let Some(offers) = offers else {
            return self.files.complete(line, position, context);
        };
        let prefix = &prefix[skip..];
        let pairs = offers.into_iter().filter(|offer| offer.starts_with(prefix));
        Ok((start + skip, pairs.map(pair).collect()))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;
    use rustyline::history::DefaultHistory;

    use super::*;
    use crate::args::LineArgs;

    struct Fixed;

    impl NameDirectory for Fixed {
        fn names(&self, kind: NameKind, of: &NamesOf) -> Vec<String> {
            let about = of.instance.clone().unwrap_or(of.machines.join("+"));
            let names: &[&str] = match kind {
                NameKind::Machines => &["order", "incident"],
                NameKind::Instances => &["o-1", "o 2"],
                NameKind::Watches => &["sub-1"],
                NameKind::Locks => &["billing"],
                NameKind::Nodes => &["3"],
                NameKind::Versions => return vec![format!("version-of-{about}")],
                NameKind::States => return vec![format!("state-of-{about}")],
                NameKind::Events => return vec![format!("event-of-{about}")],
                NameKind::Timers => return vec![format!("timer-of-{about}")],
            };
            names.iter().map(|name| (*name).to_owned()).collect()
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
        assert_eq!(offered("cluster remove "), ["cluster remove 3 "]);
        assert!(offered("cluster add db4:7402 --node-id ").is_empty());
    }

    #[test]
    fn the_commands_of_every_command_are_completed() {
        assert_eq!(offered("lock acq"), ["lock acquire "]);
        assert_eq!(offered("clock "), ["clock advance ", "clock help "]);
        assert_eq!(offered("timers l"), ["timers list "]);
        assert_eq!(offered("automation pa"), ["automation pause "]);
        assert_eq!(offered("help lock rel"), ["help lock release "]);
        assert_eq!(offered("lock get bil"), ["lock get billing "]);
    }

    #[test]
    fn states_events_versions_and_timers_are_those_of_what_the_line_names() {
        for (line, expected) in [
            ("apply-event o-1 ", "event-of-o-1"),
            ("apply o-1 ", "event-of-o-1"),
            ("apply-event -i o-1 ", "event-of-o-1"),
            ("apply-event o-1 --dry-run ", "event-of-o-1"),
            ("apply-event o-1 PAY --expected-state ", "state-of-o-1"),
            ("explain o-1 ", "event-of-o-1"),
            ("timers set o-1 ", "timer-of-o-1"),
            ("list-instances order --state ", "state-of-order"),
            ("list-instances --state ", "state-of-"),
            ("get-machine order ", "version-of-order"),
            ("get-machine -m order -V ", "version-of-order"),
            ("create-instance order -V ", "version-of-order"),
            ("diagram order ", "version-of-order"),
            ("watch-all order,bill --to-states ", "state-of-order+bill"),
        ] {
            assert_eq!(offered(line), [format!("{line}{expected} ")]);
        }
        assert_eq!(
            offered("watch-all order --events A,ev"),
            ["watch-all order --events A,event-of-order "]
        );
        assert_eq!(
            offered("watch-all order,inc"),
            ["watch-all order,incident "]
        );
        assert_eq!(
            offered("get-instance o-1 --consistency=le"),
            ["get-instance o-1 --consistency=lease "]
        );
        assert_eq!(offered("ping -o ya"), ["ping -o yaml "]);
    }

    #[test]
    fn files_are_completed_where_a_file_belongs() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("order.yaml"), "").unwrap();
        let begin = format!("validate {}/ord", dir.path().display());
        assert_eq!(offered(&begin), [format!("{begin}er.yaml")]);
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
        assert_eq!(offered("timers res"), ["timers resume "]);
        assert_eq!(offered("unwatch "), ["unwatch sub-1 "]);
        assert_eq!(offered("apply-event o-"), ["apply-event o-1 "]);
        assert_eq!(offered("create-instance or"), ["create-instance order "]);
        assert_eq!(offered("list-instances or"), ["list-instances order "]);
        assert_eq!(offered("timers list or"), ["timers list order "]);
        assert!(offered("create-instance -i ").is_empty());
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

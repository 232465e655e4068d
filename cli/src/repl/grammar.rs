//! Which part of a command the next word of a line is, from the definition of the command line itself.

use clap::{Arg, Command};

/// Where the next word stands.
pub(super) struct WordPlace<'a> {
    /// The command that the words before lead to.
    pub(super) command: &'a Command,
    /// Its name and those of the commands above it.
    pub(super) path: Vec<&'a str>,
    /// What the next word is, unless it is an option.
    pub(super) slot: WordSlot<'a>,
    /// The values that stand before, and what they are values of.
    pub(super) given: Vec<(&'a Arg, String)>,
}

/// What a word is.
#[derive(Clone, Copy)]
pub(super) enum WordSlot<'a> {
    /// The name of a command.
    Command,
    /// The value of an option, or one that has its place in the command.
    Value(&'a Arg),
    /// Nothing more belongs there.
    Nothing,
}

/// The place behind `words`. The grammar was built.
pub(super) fn place<'a>(grammar: &'a Command, words: &[String]) -> WordPlace<'a> {
    let mut at = WordPlace {
        command: grammar,
        path: Vec::new(),
        slot: WordSlot::Command,
        given: Vec::new(),
    };
    let mut option: Option<&Arg> = None;
    for word in words {
        if let Some(argument) = option.take() {
            at.given.push((argument, word.clone()));
        } else if word.len() > 1 && word.starts_with('-') {
            option = at.option(word);
        } else if let Some(command) = at.below(word) {
            at.path.push(command.get_name());
            at.command = command;
        } else if let Some(argument) = at.positional() {
            at.given.push((argument, word.clone()));
        }
    }
    at.slot = match option {
        Some(argument) => WordSlot::Value(argument),
        None if at.may_be_command() => WordSlot::Command,
        None => at.positional().map_or(WordSlot::Nothing, WordSlot::Value),
    };
    at
}

impl<'a> WordPlace<'a> {
    fn may_be_command(&self) -> bool {
        self.command.has_subcommands() && self.given.iter().all(|(it, _)| !it.is_positional())
    }

    /// The command that a word names: by its name, or in the shell itself by a beginning that no other has.
    fn below(&self, word: &str) -> Option<&'a Command> {
        if !self.may_be_command() {
            return None;
        }
        let known = self.command.find_subcommand(word);
        known.or_else(|| {
            let mut begin = self
                .command
                .get_subcommands()
                .filter(|sub| self.path.is_empty() && sub.get_name().starts_with(word));
            let first = begin.next();
            first.filter(|_| begin.next().is_none())
        })
    }

    /// The option that a word names, if its value is the next word. A value in the same word is taken note of.
    fn option(&mut self, word: &str) -> Option<&'a Arg> {
        let command = self.command;
        let (argument, value) = match word.strip_prefix("--") {
            Some(long) => {
                let (long, value) = match long.split_once('=') {
                    Some((long, value)) => (long, Some(value)),
                    None => (long, None),
                };
                (named_long(command, long)?, value)
            }
            None => {
                let mut chars = word.chars();
                let short = chars.by_ref().nth(1)?;
                let value = chars.as_str();
                (
                    named_short(command, short)?,
                    (!value.is_empty()).then_some(value),
                )
            }
        };
        if !argument.get_action().takes_values() {
            return None;
        }
        match value {
            Some(value) => {
                let value = value.strip_prefix('=').unwrap_or(value);
                self.given.push((argument, value.to_owned()));
                None
            }
            None => Some(argument),
        }
    }

    /// What the next word is that is no option. What was given by an option does not stand in its place, too.
    fn positional(&self) -> Option<&'a Arg> {
        let is_given = |argument: &Arg| {
            let same = |(given, _): &&(&Arg, String)| match given.is_positional() {
                true => given.get_id() == argument.get_id(),
                false => {
                    given.is_hide_set() && given.get_value_names() == argument.get_value_names()
                }
            };
            self.given.iter().filter(same).count()
        };
        let takes = |argument: &Arg| {
            argument
                .get_num_args()
                .map_or(1, |count| count.max_values())
        };
        let mut positionals = self.command.get_positionals();
        positionals.find(|argument| is_given(argument) < takes(argument))
    }
}

fn named_long<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        argument.get_long() == Some(long) || aliases.contains(&long)
    })
}

fn named_short(command: &Command, short: char) -> Option<&Arg> {
    command.get_arguments().find(|argument| {
        let aliases = argument.get_all_short_aliases().unwrap_or_default();
        argument.get_short() == Some(short) || aliases.contains(&short)
    })
}

//! What was probably meant by a command that there is not.

use clap::error::{ContextKind, ContextValue};
use clap::{Command, Error};

/// Words that may stand for one command only are written out behind `help`, as they are everywhere else.
pub(in crate::args) fn written_out(grammar: &Command, words: Vec<String>) -> Vec<String> {
    if words.first().is_none_or(|word| word != "help") {
        return words;
    }
    let mut at = Some(grammar);
    let words = words.into_iter().enumerate().map(|(place, word)| {
        if place == 0 {
            return word;
        }
        let found = at.and_then(|of| only(of, &word));
        at = found;
        found.map_or(word, |command| command.get_name().to_owned())
    });
    words.collect()
}

/// The command of this name, or the only one that begins so.
fn only<'a>(of: &'a Command, word: &str) -> Option<&'a Command> {
    let exact = of.find_subcommand(word);
    exact.or_else(|| match &*beginning_with(of, word) {
        [one] => of.find_subcommand(one),
        _ => None,
    })
}

fn beginning_with(of: &Command, word: &str) -> Vec<String> {
    let names = of.get_subcommands().filter(|sub| !sub.is_hide_set());
    let names = names.map(|sub| sub.get_name().to_owned());
    names.filter(|name| name.starts_with(word)).collect()
}

/// The same error with a tip that helps: what begins like the word, if anything does. No tip names a command that deletes
/// something. A user who copies a tip must not lose data by it.
pub(in crate::args) fn with_tip(mut error: Error, grammar: &Command, words: &[String]) -> Error {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    // The command whose subcommand it should be.
    let named = words.iter().filter(|word| *word != "help");
    let before = named.take_while(|word| *word != wrong);
    let of = before.fold(grammar, |of, word| only(of, word).unwrap_or(of));
    let mut meant = beginning_with(of, wrong);
    if meant.is_empty() {
        meant = match error.get(ContextKind::SuggestedSubcommand) {
            Some(ContextValue::String(one)) => vec![one.clone()],
            Some(ContextValue::Strings(several)) => several.clone(),
            _ => Vec::new(),
        };
    }
    meant.retain(|name| !deletes(name));
    error.remove(ContextKind::SuggestedSubcommand);
    if !meant.is_empty() {
        error.insert(
            ContextKind::SuggestedSubcommand,
            ContextValue::Strings(meant),
        );
    }
    error
}

fn deletes(name: &str) -> bool {
    ["flush", "delete", "remove"]
        .iter()
        .any(|verb| name.starts_with(verb))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::args::{Cli, LineArgs};

    fn said(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        LineArgs::parse_words(words).unwrap_err().to_string()
    }

    #[test]
    fn help_understands_what_the_shell_understands() {
        for line in ["help apply", "help apply-event"] {
            assert!(said(line).contains("--expected-state"), "{line}");
        }
        assert!(said("help cluster prom").contains("cluster promote"));
    }

    #[test]
    fn a_short_name_that_several_commands_have_is_answered_with_them() {
        let tip = said("get order-1");
        for name in ["'get-machine'", "'get-instance'"] {
            assert!(tip.contains(name), "{tip}");
        }
        let tip = said("help watch");
        for name in ["'watch-instance'", "'watch-all'"] {
            assert!(tip.contains(name), "{tip}");
        }
        let words = ["cluster", "pro"].map(str::to_owned);
        let tip = Cli::parse_words(words).unwrap_err().to_string();
        assert!(tip.contains("'promote'"), "{tip}");
    }

    #[test]
    fn no_tip_names_a_command_that_deletes() {
        for line in [
            "flush-al",
            "flushall",
            "delete",
            "delete-instanc",
            "delet",
            "delete-all",
            "deleteinstance",
            "cluster remov",
            "profile remov",
            "help delete",
            "help flush-al",
            "del",
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let of_program = Cli::parse_words(words.clone()).map(drop);
            // The shell takes some of them, because they are short for one command.
            let of_line = LineArgs::parse_words(words).map(drop);
            for said in [of_program, of_line].into_iter().filter_map(Result::err) {
                let tip = said.to_string();
                let tip = tip.split_once("tip:").map_or("", |(_, tip)| tip);
                let tip = tip.lines().next().unwrap_or_default();
                assert!(
                    !["flush-all", "delete-", "remove"]
                        .iter()
                        .any(|name| tip.contains(name)),
                    "{line}: {tip}"
                );
            }
        }
    }
}

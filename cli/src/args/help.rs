//! Help: commands by subject, the options of all commands once, an example of each command.
//!
//! clap has no groups of commands, and repeats global options under each command. So the definition that is derived
//! from the types is completed here; what a command line means does not change.

pub(super) mod tips;

use std::fmt::Write;

use clap::Command;

/// What stands before a command's name in the shell.
const PROGRAM: &str = "rstmdb-cli ";

/// The commands by subject. A test holds that each one is in one group.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Write",
        &["create-instance", "apply-event", "delete-instance", "batch"],
    ),
    (
        "Read",
        &[
            "get-instance",
            "list-instances",
            "history",
            "ancestors",
            "wal-read",
        ],
    ),
    ("Ask what would happen", &["allowed", "explain"]),
    ("Watch", &["watch-instance", "watch-all", "unwatch"]),
    (
        "Machines",
        &[
            "put-machine",
            "get-machine",
            "list-machines",
            "delete-machine",
            "diagram",
        ],
    ),
    (
        "Timers and locks",
        &["timers", "lock", "automation", "clock"],
    ),
    (
        "Cluster and server",
        &[
            "ping",
            "info",
            "whoami",
            "summary",
            "top",
            "cluster",
            "replication-status",
            "reload",
            "rotate-key",
        ],
    ),
    (
        "Log, backup and audit",
        &[
            "backup",
            "load",
            "import",
            "export",
            "wal-stats",
            "compact",
            "snapshot-instance",
            "audit-head",
            "audit-proof",
            "flush-all",
        ],
    ),
    (
        "Without a server",
        &[
            "validate",
            "simulate",
            "test",
            "diff",
            "convert",
            "import-machine",
            "export-machine",
            "hash-token",
        ],
    ),
    (
        "This program",
        &["repl", "profile", "bench", "completions", "help", "exit"],
    ),
];

/// Each command, what stands behind its name if that can be left out only because there is an option for it, and an
/// example of what may stand there.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("create-instance", "MACHINE", "order -i order-1 -c total=42"),
    ("apply-event", "ID EVENT", "order-1 PAY -p method=card"),
    ("delete-instance", "ID", "order-1 --reason 'a duplicate'"),
    ("batch", "", "--atomic operations.jsonl"),
    ("get-instance", "ID", "order-1 --meta"),
    ("list-instances", "", "order --state PAID --limit 20"),
    ("history", "ID", "order-1 --limit 10"),
    ("ancestors", "", "17"),
    ("wal-read", "", "--last 20 --follow"),
    ("allowed", "ID", "order-1"),
    ("explain", "ID EVENT", "order-1 SHIP -p weight=3"),
    ("watch-instance", "ID", "order-1"),
    ("watch-all", "", "order --to-states PAID,SHIPPED"),
    ("unwatch", "", "sub-1"),
    ("put-machine", "[NAME] DEFINITION", "order order.yaml"),
    ("get-machine", "MACHINE [VERSION]", "order 2 -o yaml"),
    ("list-machines", "", "-o wide"),
    ("delete-machine", "MACHINE VERSION", "order 1"),
    ("diagram", "MACHINE [VERSION]", "order -i order-1"),
    ("timers list", "", "order --suspended"),
    ("timers set", "ID TIMER", "order-1 EXPIRE --after 1h30m"),
    ("timers resume", "ID", "order-1"),
    ("lock acquire", "", "billing --ttl 30s --wait 1m"),
    ("lock renew", "", "billing 17"),
    ("lock release", "", "billing 17"),
    ("lock get", "", "billing"),
    ("lock list", "", "--prefix bill"),
    ("lock run", "", "nightly --wait 10s -- ./report.sh"),
    ("automation", "", ""),
    ("automation status", "", ""),
    ("automation pause", "", "--reason 'the courier is down'"),
    ("automation resume", "", "--shift-timers"),
    ("clock", "", ""),
    ("clock advance", "", "30m"),
    ("ping", "", "-s db1:7401,db2:7401"),
    ("info", "", "-o yaml"),
    ("whoami", "", ""),
    ("summary", "", "order"),
    ("top", "", "--once -o json"),
    ("cluster status", "", ""),
    ("cluster add", "", "db4:7402"),
    ("cluster promote", "", "4"),
    ("cluster remove", "", "4"),
    ("cluster set-address", "", "4 db5:7402 db5:7401"),
    ("cluster transfer-leader", "", "2"),
    ("cluster finalize-upgrade", "", ""),
    ("cluster demo", "", "--nodes 3"),
    ("replication-status", "", ""),
    ("reload", "", ""),
    ("rotate-key", "", ""),
    ("backup", "", "backups/today"),
    ("load", "", "operations.jsonl.gz"),
    ("import", "", "order orders.csv --state status --dry-run"),
    ("export", "", "order"),
    ("wal-stats", "", ""),
    ("compact", "", "--force"),
    ("snapshot-instance", "ID", "order-1"),
    ("audit-head", "", ""),
    ("audit-proof", "", "order-1 --out proof"),
    ("flush-all", "", "--yes"),
    ("validate", "", "order.yaml"),
    ("simulate", "", "order.yaml"),
    ("test", "", "order.tests.yaml"),
    ("diff", "", "old.yaml new.yaml"),
    ("convert", "", "order.json"),
    ("import-machine", "", "--from xstate machine.json"),
    ("export-machine", "", "--to mermaid order.yaml"),
    ("hash-token", "", "secret --name shop --role writer"),
    ("repl", "", ""),
    ("profile add", "", "prod --token-file token"),
    ("profile list", "", ""),
    ("profile use", "", "prod"),
    ("profile remove", "", "prod"),
    ("profile show", "", "prod"),
    ("bench", "", "--op mixed --duration 10s"),
    ("completions", "", "bash"),
    ("exit", "", ""),
];

/// The shell's command line, completed.
pub(super) fn of_program(command: Command) -> Command {
    completed(command, PROGRAM)
}

/// A line of the REPL, completed.
pub(super) fn of_line(command: Command) -> Command {
    completed(command, "")
}

fn completed(command: Command, program: &str) -> Command {
    let header = *command.get_styles().get_header();
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\n{header}Options of every \
         command:{header:#}\n{{options}}{{after-help}}",
        groups(&command)
    );
    let globals: Vec<clap::Arg> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .map(|argument| argument.clone().hide(true))
        .collect();
    let command = command.mut_args(numbers);
    let names: Vec<String> = names(&command).collect();
    let completed = names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(&name, |sub| below(sub, &name, program, &globals))
    });
    completed.help_template(template)
}

/// A negative number is a value, though most often a wrong one: then the error says so, and does not take it for an option.
fn numbers(argument: clap::Arg) -> clap::Arg {
    match argument.get_action().takes_values() {
        true => argument.allow_negative_numbers(true),
        false => argument,
    }
}

fn names(of: &Command) -> impl Iterator<Item = String> {
    of.get_subcommands().map(|sub| sub.get_name().to_owned())
}

/// The commands with what they do, by subject.
fn groups(command: &Command) -> String {
    let header = command.get_styles().get_header();
    let literal = command.get_styles().get_literal();
    let about = |name: &str| match name {
        "help" => Some("Print this, or the help of a command".to_owned()),
        name => command
            .find_subcommand(name)
            .map(|sub| sub.get_about().map(ToString::to_string).unwrap_or_default()),
    };
    let widest = GROUPS.iter().flat_map(|(_, names)| *names);
    let width = widest.map(|name| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (subject, names) in GROUPS {
        // Writing to a string does not fail.
        let _ = write!(text, "\n{header}{subject}:{header:#}\n");
        for name in *names {
            if let Some(about) = about(name) {
                let _ = writeln!(text, "  {literal}{name:width$}{literal:#}  {about}");
            }
        }
    }
    text
}

/// A command, and those below it, with usage and example and without the options of every command.
fn below(command: Command, path: &str, program: &str, globals: &[clap::Arg]) -> Command {
    let own: Vec<String> = command
        .get_arguments()
        .map(|argument| argument.get_id().to_string())
        .collect();
    let hidden = globals.iter().filter(|global| {
        let id = global.get_id().as_str();
        own.iter().all(|own| own != id)
    });
    let mut command = command.args(hidden).mut_args(numbers);
    let names: Vec<String> = names(&command).collect();
    for name in names {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(&name, |sub| below(sub, &path, program, globals));
    }
    let Some((_, usage, example)) = EXAMPLES.iter().find(|(of, _, _)| *of == path) else {
        return command;
    };
    if !usage.is_empty() {
        command = command.override_usage(format!("{program}{path} [OPTIONS] {usage}"));
    }
    let header = *command.get_styles().get_header();
    let example = format!("{program}{path} {example}");
    let mut text = format!("{header}Example:{header:#}\n  {}", example.trim_end());
    if let Some(more) = command.get_after_help() {
        let _ = write!(text, "\n\n{more}");
    }
    let _ = write!(
        text,
        "\n\n`{program}help` lists the options of every command, such as -o yaml."
    );
    command.after_help(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::super::{Cli, LineArgs};
    use super::*;

    /// The path of each command that can be run.
    fn paths(command: &Command, path: &str, found: &mut Vec<String>) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            if !sub.is_subcommand_required_set() {
                found.push(path.clone());
            }
            paths(sub, &path, found);
        }
    }

    #[test]
    fn every_command_is_in_one_group() {
        let listed: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        for name in names(&LineArgs::command()) {
            let times = listed.iter().filter(|listed| **listed == name).count();
            assert_eq!(times, 1, "{name}");
        }
        for name in &listed {
            let known = *name == "help" || LineArgs::command().find_subcommand(name).is_some();
            assert!(known, "{name}");
        }
    }

    #[test]
    fn every_command_has_an_example_that_works() {
        let mut found = Vec::new();
        paths(&LineArgs::command(), "", &mut found);
        assert!(found.len() > 50);
        for path in &found {
            let (_, _, example) = EXAMPLES
                .iter()
                .find(|(of, _, _)| of == path)
                .unwrap_or_else(|| panic!("{path} has no example"));
            let line = format!("{path} {example}");
            let words = shell_words::split(&line).unwrap();
            // The server is an option of the program only.
            let parsed = match example.starts_with("-s ") {
                true => Cli::parse_words(words).map(drop),
                false => LineArgs::parse_words(words).map(drop),
            };
            parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for (path, _, _) in EXAMPLES {
            assert!(found.iter().any(|found| found == path), "{path}");
        }
    }

    fn help(words: &[&str]) -> String {
        let words = words.iter().map(|word| (*word).to_owned());
        Cli::parse_words(words).unwrap_err().to_string()
    }

    #[test]
    fn the_options_of_every_command_are_in_the_help_of_the_program_only() {
        let top = help(&["--help"]);
        for part in [
            "Write:\n  create-instance ",
            "Options of every command:\n",
            "--server",
            "--output",
            "--timeout",
            "Exit codes",
        ] {
            assert!(top.contains(part), "{part}: {top}");
        }
        let of_one = help(&["apply-event", "--help"]);
        for part in [
            "Usage: rstmdb-cli apply-event [OPTIONS] ID EVENT\n",
            "--expected-state",
            "Example:\n  rstmdb-cli apply-event order-1 PAY -p method=card\n",
        ] {
            assert!(of_one.contains(part), "{part}: {of_one}");
        }
        for part in [
            "--server",
            "--timeout",
            "--output",
            "-i,",
            "--id <",
            "--event ",
        ] {
            assert!(!of_one.contains(part), "{part}: {of_one}");
        }
        let nested = help(&["help", "timers", "set"]);
        assert!(nested.contains("timers set order-1 EXPIRE"), "{nested}");
        assert!(!nested.contains("--server"), "{nested}");
    }

    #[test]
    fn a_hidden_option_still_works_behind_the_command() {
        let words = ["timers", "list", "-s", "a:1", "--json", "-v"].map(str::to_owned);
        let cli = Cli::parse_words(words).unwrap();
        assert_eq!(cli.global.server, ["a:1"]);
        assert!(cli.global.form.json && cli.global.verbose);
    }

    #[test]
    fn a_negative_number_is_a_wrong_value_and_no_option() {
        for words in [
            &["list-instances", "--limit", "-1"][..],
            &["ancestors", "-1"],
            &["wal-read", "--from-offset", "-5"],
            &["timers", "list", "--limit", "-1"],
        ] {
            let said = help(words);
            assert!(said.contains("invalid value '-"), "{said}");
            assert!(!said.contains("to pass"), "{said}");
        }
        let words = ["apply-event", "o-1", "PAY", "-p", "x=-3"].map(str::to_owned);
        assert!(Cli::parse_words(words).is_ok());
    }

    #[test]
    fn a_command_that_is_misspelt_is_answered_with_the_right_one() {
        let said = help(&["aply-event", "o-1"]);
        assert!(said.contains("'apply-event'"), "{said}");
    }
}

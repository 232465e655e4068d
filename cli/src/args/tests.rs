#![allow(clippy::unwrap_used)]

use rstmdb_rcp::environment::OF_CLI;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    let words = shell_words::split(line).unwrap();
    Cli::parse_words(words)
}

/// Every command line of the contract, in every spelling it allows. None of them may ever be refused.
const ACCEPTED: &[&str] = &[
    "",
    "repl",
    "ping",
    "info",
    "whoami",
    "hash-token secret",
    "hash-token",
    "hash-token secret --name shop --role writer --role own --expires 2027-01-31",
    "put-machine -n order -v 1 '{}'",
    "put-machine -n order -v 1 @order.json",
    "put-machine -n order -v 1 -",
    "put-machine --name order --version 1 --verbose -",
    "put-machine order.yaml",
    "put-machine order order.yaml",
    "put-machine order -V 2 @order.json",
    "put-machine -m order -V 2 @order.json",
    "get-machine -m order -V 2",
    "create-instance order",
    "create-instance order -V 2 -i o-1",
    "list-instances order --state paid",
    "list-instances -m order",
    "get-instance -i o-1",
    "delete-instance -i o-1",
    "apply-event o-1 PAY",
    "apply-event o-1 PAY -p amount=3 --dry-run",
    "apply-event -i o-1 PAY",
    "apply-event o-1 -e PAY",
    "allowed -i o-1",
    "explain -i o-1 -e PAY",
    "watch-instance -i o-1",
    "watch-all order,payment --to-states paid",
    "watch-all -m order",
    "history -i o-1",
    "snapshot-instance -i o-1",
    "snapshot-instance --instance-id o-1",
    "timers list order",
    "timers list -m order",
    "timers list --machine order",
    "timers set o-1 EXPIRE --after 1h",
    "timers set -i o-1 EXPIRE --off",
    "timers resume o-1",
    "timers resume -i o-1",
    "export order",
    "export -m order",
    "diagram order -V 2",
    "diagram -m order -i o-1",
    "audit-proof -i o-1",
    "get-machine order",
    "get-machine order 2",
    "get-machine order --consistency lease",
    "list-machines --consistency linearizable",
    "list-instances --consistency local",
    "get-machine -n order -v 2",
    "get-machine -n order",
    "list-machines",
    "create-instance -m order -V 1",
    "create-instance -m order -V 1 -i o-1 -c '{\"a\":1}' --idempotency-key k",
    "get-instance o-1",
    "get-instance o-1 --consistency local",
    "get-instance o-1 --meta",
    "list-instances",
    "list-instances --machine order --state paid --limit 10 --offset 20",
    "delete-instance o-1",
    "delete-instance o-1 --reason 'a duplicate' --header ticket=T-1 --header a= --correlation-id w --causation-id 17",
    "put-machine -n order -v 1 --reason why '{}'",
    "create-instance -m order -V 1 --header a=b=c",
    "flush-all --yes --reason why",
    "batch --atomic --correlation-id w -",
    "apply-event -i o-1 -e PAY --causation-id 17",
    "apply-event -i o-1 -e PAY",
    "apply-event -i o-1 -e PAY -p '{}' --expected-state created --expected-wal-offset 7 --event-id e --idempotency-key k",
    "apply-event -i o-1 -e PAY --dry-run",
    "put-machine -n order -v 1 --dry-run '{}'",
    "create-instance -m order -V 1 --dry-run",
    "create-instance order -i o-1 --initial-state paid --created-at 1 --updated-at 2",
    "delete-instance o-1 --dry-run",
    "delete-instance o-1 --expected-wal-offset 12",
    "batch --atomic --dry-run -",
    "flush-all --dry-run",
    "allowed o-1",
    "allowed o-1 -p '{\"PAY\":{}}' --consistency local",
    "explain o-1 PAY",
    "explain o-1 PAY -p '{\"n\":1}' --consistency lease",
    "batch ops.json",
    "batch --atomic -",
    "watch-instance o-1",
    "watch-instance o-1 --from-offset 0 --no-ctx",
    "watch-instance o-1 --from-offset 7 --cluster-id c --progress",
    "watch-all",
    "watch-all --include created,deleted --meta",
    "watch-instance o-1 --include deleted --meta",
    "wal-read --meta",
    "apply-event -i o-1 -e PAY --fence billing:17",
    "lock acquire billing",
    "lock acquire billing --owner w-1 --ttl 10s --wait 1m --reason why",
    "lock renew billing 17 --ttl 1m",
    "lock release billing 17",
    "lock get billing --json",
    "lock list --prefix b --limit 5 --after billing --consistency local",
    "lock run billing -- sh -c 'exit 3'",
    "lock run billing --wait 10s --ttl 5s --owner nightly --grace 2s -- rsync -a x y",
    "ancestors 17",
    "ancestors 17 --limit 5 --json",
    "watch-all --machines a,b --from-states x --to-states y,z --events E --from-offset 5 --no-ctx",
    "watch-all --from-offset 7 --cluster-id c --progress",
    "unwatch sub-1",
    "replication-status",
    "flush-all",
    "flush-all --yes",
    "cluster status",
    "cluster status --json",
    "cluster add db4:7402",
    "cluster add db4:7402 --node-id 4 --learner",
    "cluster promote 4",
    "cluster remove 4",
    "cluster transfer-leader",
    "cluster transfer-leader 2",
    "cluster demo",
    "cluster demo --nodes 5 --dir demo --base-port 7401",
    "wal-read",
    "wal-read --from-offset 10 --limit 5",
    "wal-read --last 20",
    "wal-read --since 5m --follow",
    "wal-read --last 20 --follow --meta -o jsonl",
    "list-instances order --all",
    "timers list --all",
    "lock list --prefix b --all",
    "wal-stats",
    "snapshot-instance o-1",
    "compact",
    "compact --force",
    "load ops.jsonl.gz",
    "delete-machine order 1",
    "delete-machine order -V 1 --dry-run",
    "delete-machine order --all-versions --reason why",
    "import order orders.csv",
    "import order - --from csv --state status --map PAID=paid --type total=number --only total,note --dry-run",
    "import order rows.jsonl.gz -V 2 --id key --created born --updated seen --ctx data --unix-seconds --skip-existing",
    "import order rows.csv --rejected bad.csv --resume done --refusals-max 0 --in-flight 64 --connections 4",
    "load --continue-on-error -",
    "export",
    "export --machine order",
    "diagram order",
    "diagram order 2 --format svg -i o-1",
    "diagram order --format text",
    "diagram order --format mermaid",
    "diagram order --format dot",
    "history o-1",
    "history o-1 --limit 5",
    "audit-head",
    "audit-head --at 12",
    "audit-proof o-1",
    "audit-proof o-1 --head 1111111111111111111111111111111111111111111111111111111111111111 --at 9 --from 3 --out p",
    "audit-proof --check p --head 1111111111111111111111111111111111111111111111111111111111111111",
    "bench",
    "bench --op mixed --connections 64 --in-flight 16 --duration 5s --payload 0 --json",
    "bench --mix apply=70,get=25,create=5 --keys zipf:1.2 --instances 1000000 --rate 20000",
    "bench --op get --keys sequential --watches 100 --watch-kind idle --threads 2 --keep",
    "completions bash",
    "list-instances -o jsonl",
    "-o table list-instances",
    "get-instance o-1 --output yaml",
    "timers list --output=wide",
    "-s 10.0.0.1:7401,node-2:7401 -t secret ping",
    "ping -s 10.0.0.1:7401 --token secret",
    "--tls --ca-cert ca.pem --client-cert c.pem --client-key c.key -k --server-name db ping",
    "ping -k",
    "--wire-mode jsonl --json -v --timeout 500ms --color never ping",
    "ping --wire-mode binary --json -v --timeout 2 --color always",
];

#[test]
fn the_definition_of_the_command_line_is_consistent() {
    help::of_program(Cli::command()).debug_assert();
    help::of_line(LineArgs::command()).debug_assert();
}

#[test]
fn every_command_line_of_the_contract_is_accepted() {
    for line in ACCEPTED {
        if let Err(error) = parse(line) {
            panic!("refused: rstmdb-cli {line}\n{error}");
        }
    }
}

#[test]
fn every_command_is_typed_in_the_repl_as_on_the_command_line() {
    for line in ACCEPTED
        .iter()
        .filter(|line| !line.is_empty() && !line.starts_with('-'))
        .filter(|line| !["-s", "-k", "--wire-mode"].iter().any(|o| line.contains(o)))
    {
        let words = shell_words::split(line).unwrap();
        if let Err(error) = LineArgs::parse_words(words) {
            panic!("refused in the REPL: {line}\n{error}");
        }
    }
}

#[test]
fn the_repl_is_left_with_exit_or_quit() {
    for word in ["exit", "quit"] {
        let line = LineArgs::parse_words(vec![word.to_owned()]).unwrap();
        assert!(matches!(line.command, LineCommand::Exit));
    }
}

#[test]
fn usage_errors_exit_with_2() {
    for line in [
        "nonsense",
        "ping extra",
        "put-machine -n order",
        "put-machine -n order -v one {}",
        "get-machine",
        "get-machine order -n order",
        "create-instance -V 1",
        "apply-event o-1",
        "create-instance order -m order",
        "get-instance o-1 -i o-1",
        "diagram order --format png",
        "--timeout 0 ping",
        "load --in-flight 0 f",
        "delete-machine order",
        "delete-machine order 1 --all-versions",
        "import order",
        "import order f --from xml",
        "import order f --type total=money",
        "import order f --dry-run --resume done",
        "history o-1 --limit few",
        "bench --op apply --mix apply=1",
        "bench --mix apply=70,delete=5",
        "bench --keys random",
        "bench --rate 0",
        "bench --watches 10001",
        "bench --watch-kind some",
        "cluster",
        "cluster add",
        "cluster promote",
        "cluster remove two",
        "cluster demo --nodes 0",
        "cluster demo --nodes 10",
        "cluster demo --base-port 0",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "for {line}");
    }
}

#[test]
fn short_v_is_verbose_unless_the_command_has_a_version() {
    assert!(parse("-v ping").unwrap().global.verbose);
    assert!(parse("ping -v").unwrap().global.verbose);
    assert!(parse("ping --verbose").unwrap().global.verbose);
    let cli = parse("-v put-machine -n m -v 3 {}").unwrap();
    assert!(cli.global.verbose);
    let Some(CliCommand::PutMachine(put)) = cli.command else {
        panic!("not put-machine");
    };
    assert_eq!(put.version, Some(3));
    let cli = parse("get-machine -n m -v 3").unwrap();
    assert!(!cli.global.verbose);
    let cli = parse("get-machine m --verbose").unwrap();
    assert!(cli.global.verbose);
}

#[test]
fn get_machine_takes_its_arguments_either_way() {
    for line in [
        "get-machine m 3",
        "get-machine -n m -v 3",
        "get-machine -m m -V 3",
        "get-machine m -V 3",
    ] {
        let Some(CliCommand::GetMachine(get)) = parse(line).unwrap().command else {
            panic!("not get-machine");
        };
        assert_eq!((get.name(), get.version()), ("m", Some(3)));
    }
}

/// The same thing is spelled the same everywhere, also as in earlier versions.
#[test]
fn an_instance_and_an_event_are_named_by_their_place_or_by_options() {
    for line in [
        "apply-event o-1 PAY",
        "apply-event -i o-1 -e PAY",
        "apply-event -i o-1 PAY",
        "apply-event o-1 -e PAY",
        "apply-event --instance-id o-1 --event PAY",
    ] {
        let Some(CliCommand::ApplyEvent(apply)) = parse(line).unwrap().command else {
            panic!("not apply-event");
        };
        let named = apply.named.both().unwrap();
        assert_eq!(named, ("o-1".to_owned(), "PAY".to_owned()), "{line}");
    }
    for line in [
        "apply-event -i o-1",
        "apply-event -i o-1 o-2 PAY",
        "apply-event o-1 PAY -e SHIP",
    ] {
        let Some(CliCommand::ApplyEvent(apply)) = parse(line).unwrap().command else {
            panic!("not apply-event");
        };
        let error = apply.named.both().unwrap_err();
        assert!(error.to_string().ends_with("ID EVENT"), "{line}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn a_machine_is_named_by_its_place_or_by_an_option() {
    for line in [
        "put-machine order f",
        "put-machine -m order f",
        "put-machine -n order f",
        "put-machine order -V 1 f",
        "put-machine -V 1 order --dry-run f",
    ] {
        let Some(CliCommand::PutMachine(put)) = parse(line).unwrap().command else {
            panic!("not put-machine");
        };
        assert_eq!(put.both().unwrap(), (Some("order"), "f"), "{line}");
    }
    for line in ["put-machine -n a b c", "put-machine f -V 1 g h"] {
        let refused = match parse(line) {
            Err(error) => error.exit_code() == 2,
            Ok(cli) => {
                matches!(cli.command, Some(CliCommand::PutMachine(put)) if put.both().is_err())
            }
        };
        assert!(refused, "{line}");
    }
    for line in ["create-instance order", "create-instance --machine order"] {
        let Some(CliCommand::CreateInstance(create)) = parse(line).unwrap().command else {
            panic!("not create-instance");
        };
        assert_eq!(create.machine.name(), "order", "{line}");
    }
    for line in [
        "watch-all a,b",
        "watch-all --machines a,b",
        "watch-all -m a,b",
    ] {
        let Some(CliCommand::WatchAll(watch)) = parse(line).unwrap().command else {
            panic!("not watch-all");
        };
        assert_eq!(watch.machines(), ["a", "b"], "{line}");
    }
}

#[test]
fn lists_are_split_at_commas() {
    let cli = parse("-s a:1,b:2 watch-all --events PAY,SHIP").unwrap();
    assert_eq!(cli.global.server, ["a:1", "b:2"]);
    let Some(CliCommand::WatchAll(watch)) = cli.command else {
        panic!("not watch-all");
    };
    assert_eq!(watch.events, ["PAY", "SHIP"]);
}

#[test]
fn naming_a_certificate_asks_for_tls() {
    assert!(!parse("ping").unwrap().global.wants_tls());
    for option in ["--tls", "-k", "--ca-cert ca.pem", "--server-name db"] {
        let cli = parse(&format!("{option} ping")).unwrap();
        assert!(cli.global.wants_tls(), "for {option}");
    }
}

/// clap would hand the value of one to the other.
#[test]
fn no_argument_of_a_command_has_the_name_of_a_global_option() {
    fn look(command: &clap::Command, globals: &[String], clashes: &mut Vec<String>) {
        for sub in command.get_subcommands() {
            let own = sub
                .get_arguments()
                .filter(|argument| !argument.is_global_set());
            let own = own.map(|argument| argument.get_id().to_string());
            let taken = own.filter(|id| globals.contains(id));
            clashes.extend(taken.map(|id| format!("{} {id}", sub.get_name())));
            look(sub, globals, clashes);
        }
    }
    let command = Cli::command();
    let globals = command
        .get_arguments()
        .filter(|argument| argument.is_global_set());
    let globals: Vec<String> = globals
        .map(|argument| argument.get_id().to_string())
        .collect();
    assert!(globals.len() > 10);
    let mut clashes = Vec::new();
    look(&command, &globals, &mut clashes);
    // There -v is the version, so the global option has no short form.
    assert_eq!(clashes, ["put-machine verbose", "get-machine verbose"]);
}

/// Otherwise the program itself would warn of it.
#[test]
fn every_variable_that_an_option_reads_is_known() {
    fn read(command: &clap::Command, found: &mut Vec<String>) {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        found.extend(variables.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|sub| read(sub, found));
    }
    let mut found = Vec::new();
    read(&Cli::command(), &mut found);
    for name in OF_CLI {
        assert!(found.iter().any(|read| read == name), "{name}");
    }
    let warned = rstmdb_rcp::environment::warnings(found.into_iter());
    assert_eq!(warned, Vec::<String>::new());
}

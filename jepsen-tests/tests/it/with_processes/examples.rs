//! The examples of the client library as users run them: to their end, twice, and killed in between.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::binaries;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::process::program;

/// How long an example may take until its next line.
const LINE_TIMEOUT: Duration = Duration::from_secs(20);

fn example(name: &str, node: &Node, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries::example(name).unwrap());
    let server = node.addr().to_string();
    command.args(arguments).env("RSTMDB_SERVER", server);
    command
}

/// What `order_life` prints.
fn order_life(node: &Node, order: &str) -> String {
    let ended = program::run(&mut example("order_life", node, &[order])).unwrap();
    assert!(ended.status.success(), "{}", ended.everything());
    ended.out
}

/// An example that runs until it is killed, which dropping it does.
struct Endless {
    child: Child,
    lines: Receiver<String>,
}

impl Endless {
    fn start(name: &str, node: &Node, arguments: &[&str]) -> Self {
        let mut command = example(name, node, arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).find(Result::is_err)
        });
        Self { child, lines }
    }

    /// Its output up to the first line that ends like this, that line included.
    fn up_to(&self, end: &str) -> Vec<String> {
        let mut printed: Vec<String> = Vec::new();
        while printed.last().is_none_or(|line| !line.ends_with(end)) {
            match self.lines.recv_timeout(LINE_TIMEOUT) {
                Ok(line) => printed.push(line),
                Err(error) => panic!("no line ends with {end:?} ({error}): {printed:#?}"),
            }
        }
        printed
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_order_lives_once_however_often_its_example_runs() {
    let _turn = turns::light();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let first = order_life(&node, "order-1");
    for line in [
        "machine order, version 1; new: true",
        "order-1 created at offset ",
        "PAY: CREATED to PAID at offset ",
        "SHIP is refused: ",
        "SHIP: PAID to SHIPPED at offset ",
        "order-1 is SHIPPED: ",
    ] {
        assert!(first.contains(line), "no {line:?} in:\n{first}");
    }
    assert_eq!(first.matches("applied: true").count(), 3, "{first}");
    let second = order_life(&node, "order-1");
    assert_eq!(second.matches("applied: false").count(), 3, "{second}");
    assert_eq!(second.matches("applied: true").count(), 0, "{second}");
}

#[test]
fn a_watcher_that_is_killed_goes_on_where_it_was() {
    let _turn = turns::light();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    order_life(&node, "order-1");
    let position = node.folder().join("position.json");
    let seen = watch(&node, &position, "order-1 is SHIPPED by SHIP");
    assert_eq!(seen.len(), 3, "PAY, PACK and SHIP: {seen:?}");
    order_life(&node, "order-2");
    let seen = watch(&node, &position, "order-2 is SHIPPED by SHIP");
    let again = seen.iter().filter(|line| line.contains("order-1"));
    // The position is stored after an event is printed, and names this event.
    assert!(
        again.count() <= 2,
        "only the last events come again: {seen:?}"
    );
    let new = seen.iter().filter(|line| line.contains("order-2"));
    assert_eq!(new.count(), 3, "{seen:?}");
}

/// Runs `watch_resume` until it has printed a line that ends like this, and kills it.
fn watch(node: &Node, position: &Path, end: &str) -> Vec<String> {
    let position = position.to_str().unwrap();
    Endless::start("watch_resume", node, &[position]).up_to(end)
}

#[test]
fn workers_ship_each_paid_order_once_while_they_and_the_node_are_killed() {
    let _turn = turns::light();
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    order_life(&node, "order-1");
    pay(&node, "order-2");
    let worker = Endless::start("retrying_worker", &node, &[]);
    let printed = worker.up_to("order-2 is shipped");
    assert_eq!(printed[0], "order-1 is left alone: INVALID_TRANSITION");
    node.kill().unwrap();
    node.restart().unwrap();
    pay(&node, "order-3");
    worker.up_to("order-3 is shipped");
    drop(worker);
    let other = Endless::start("retrying_worker", &node, &[]);
    other.up_to("order-3 is shipped");
    for order in ["order-2", "order-3"] {
        let shipped = Cli::new(node.addr()).run(&["history", order]).unwrap();
        assert_eq!(
            shipped.out.matches(r#""event":"SHIP""#).count(),
            1,
            "{shipped:?}"
        );
    }
}

#[test]
fn of_workers_with_a_lock_the_next_goes_on_when_one_is_killed() {
    let _turn = turns::light();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    order_life(&node, "order-1");
    pay(&node, "order-2");
    let first = Endless::start("locked_worker", &node, &[]);
    let printed = first.up_to("order-2 is shipped");
    let second = Endless::start("locked_worker", &node, &[]);
    second.up_to("waiting for the lock");
    pay(&node, "order-3");
    first.up_to("order-3 is shipped");
    // It cannot release the lock, so that expires.
    drop(first);
    pay(&node, "order-4");
    let taken_over = second.up_to("order-4 is shipped");
    let token = |lines: &[String]| -> u64 {
        let said = "holding the lock with token ";
        let found = lines.iter().find_map(|line| line.strip_prefix(said));
        found.unwrap().parse().unwrap()
    };
    assert!(token(&printed) < token(&taken_over));
    assert!(!taken_over.iter().any(|line| line.contains("order-3")));
}

/// An order that is paid and not shipped.
fn pay(node: &Node, order: &str) {
    let cli = Cli::new(node.addr());
    let ctx = r#"{"total":42}"#;
    let create = [
        "create-instance",
        "-m",
        "order",
        "-V",
        "1",
        "-i",
        order,
        "-c",
        ctx,
    ];
    for command in [&create[..], &["apply-event", "-i", order, "-e", "PAY"]] {
        let done = cli.run(command).unwrap();
        assert_eq!(done.code, Some(0), "{command:?}: {done:?}");
    }
}

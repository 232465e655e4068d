//! The command line as people and scripts meet it: the README's tour as it is printed there, and the
//! exit codes.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::cli::{Cli, Finished};
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::consoles::{self, ConsoleStep};
use rstmdb_jepsen::load::machines::TestMachine;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::framed;
use rstmdb_jepsen::{binaries, ports};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long a command in the background may take to print what the document shows.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(10);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Runs the steps of a document: `rstmdb-cli` in a shell, the server and its end as the test's own node.
struct Tour {
    node: Node,
    /// A node of its own for the tour by `curl`, and where it serves HTTP.
    http: Option<(Node, String)>,
    background: Vec<Background>,
    last_code: Option<i32>,
}

/// A command that ends with `&`.
struct Background {
    step: ConsoleStep,
    child: Child,
    lines: Receiver<String>,
}

impl Tour {
    fn step(&mut self, step: ConsoleStep) {
        let command = step.command.trim();
        if command == "echo $?" {
            let code = self
                .last_code
                .map(|code| code.to_string())
                .unwrap_or_default();
            assert_eq!(step.output, [code], "README.md:{}", step.line);
        } else if let Some(command) = command.strip_suffix('&')
            && command.starts_with("rstmdb-cli ")
        {
            self.begin(command.trim().to_owned(), step);
        } else if command.starts_with("rstmdb-cli ") {
            self.run(&step);
        } else if command.starts_with("kill -9") || command.starts_with("pkill -9") {
            self.node.kill().unwrap();
        } else if command == "rstmdb" || command == "rstmdb &" {
            self.node.restart().unwrap();
        } else if command.starts_with("curl ") || command.starts_with("timeout 1 curl ") {
            self.curl(step);
        } else {
            panic!("README.md:{}: the tour cannot run {command:?}", step.line);
        }
    }

    fn shell(&self, command: &str) -> Command {
        let bin = binaries::dir().unwrap().display().to_string();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(repository())
            .env("PATH", path)
            .env("RSTMDB_SERVER", self.node.addr().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        shell
    }

    fn run(&mut self, step: &ConsoleStep) {
        let output = self.shell(&step.command).output().unwrap();
        self.last_code = output.status.code();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // The last message of a stream ends with an empty line, which a page does not show.
        let actual: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        assert!(
            consoles::matches(&step.output, &actual),
            "README.md:{}: {}\nshown:\n{}\nprinted:\n{}",
            step.line,
            step.command,
            step.output.join("\n"),
            actual.join("\n")
        );
    }

    fn curl(&mut self, mut step: ConsoleStep) {
        // `--json` came with 7.82.
        let knows_json = Command::new("curl")
            .args(["--json", "{}", "--version"])
            .output();
        if !knows_json.is_ok_and(|output| output.status.success()) {
            return rstmdb_jepsen::skipped("there is no curl that knows --json");
        }
        let (_, addr) = self.http.get_or_insert_with(|| {
            let addr = format!("127.0.0.1:{}", ports::free().unwrap());
            let config = NodeConfig::for_tests().with("http.bind_addr", &addr);
            (Node::start(&config).unwrap(), addr)
        });
        step.command = step.command.replace("localhost:7403", addr);
        self.run(&step);
    }

    fn begin(&mut self, command: String, step: ConsoleStep) {
        let mut child = self.shell(&format!("exec {command}")).spawn().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        self.background.push(Background { step, child, lines });
        // A watch must have begun before the events happen that it should show.
        thread::sleep(Duration::from_millis(500));
    }

    /// Ends what runs in the background, which must have printed what is shown.
    fn finish(self) {
        for mut background in self.background {
            let shown = &background.step.output;
            let mut printed = Vec::new();
            let begun = Instant::now();
            while printed.len() < shown.len() && begun.elapsed() < BACKGROUND_TIMEOUT {
                printed.extend(background.lines.recv_timeout(Duration::from_millis(50)));
            }
            kill_process(Pid::from_child(&background.child), Signal::INT).unwrap();
            let status = background.child.wait().unwrap();
            printed.extend(background.lines.iter());
            let printed: Vec<&str> = printed.iter().map(String::as_str).collect();
            let (line, command) = (background.step.line, &background.step.command);
            assert!(
                consoles::matches(shown, &printed),
                "README.md:{line}: {command}: {printed:#?}"
            );
            assert_eq!(
                status.code(),
                Some(0),
                "README.md:{line}: {command}: after Ctrl-C"
            );
        }
    }
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[test]
fn the_readmes_tour_works_as_printed() {
    let _turn = turns::alone();
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap_or_default();
    let steps = consoles::steps(&readme);
    if steps.is_empty() {
        rstmdb_jepsen::skipped("README.md has no console block");
        return;
    }
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let mut tour = Tour {
        node,
        http: None,
        background: Vec::new(),
        last_code: None,
    };
    let count = steps.len();
    for step in steps {
        tour.step(step);
    }
    tour.finish();
    println!("cli_tour: {count} steps of the README");
}

#[test]
fn an_order_is_paid_shipped_and_still_there_after_kill_9() {
    let _turn = turns::light();
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let definition = TestMachine::Order.definition().to_string();
    let put = cli
        .json(&["put-machine", "-n", "order", "-v", "1", &definition])
        .unwrap();
    assert_eq!(put["created"], true);
    let create = [
        "create-instance",
        "-m",
        "order",
        "-V",
        "1",
        "-i",
        "o-1",
        "-c",
        r#"{"total_cents":99}"#,
    ];
    assert_eq!(cli.json(&create).unwrap()["state"], "created");

    let mut watch = cli.spawn(&["watch-instance", "o-1"]).unwrap();
    let events = lines_of(watch.stdout.take().unwrap());
    thread::sleep(Duration::from_millis(500));
    let apply = |event, payload| cli.run(&["apply-event", "-i", "o-1", "-e", event, "-p", payload]);
    assert_eq!(apply("PAY", r#"{"paid_cents":50}"#).unwrap().code, Some(0));
    let refused = apply("SHIP", "{}").unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("GUARD_FAILED"), "{refused:?}");
    assert!(
        refused.err.contains("ctx.paid_cents >= ctx.total_cents"),
        "{refused:?}"
    );
    assert_eq!(refused.out, "");

    node.kill().unwrap();
    node.restart().unwrap();
    let found = cli.json(&["get-instance", "o-1"]).unwrap();
    assert_eq!(
        (&found["state"], &found["ctx"]["paid_cents"]),
        (&json!("paid"), &json!(50))
    );

    // Paid in full: back to where it is paid, and the guard passes. The watch has outlived the kill.
    for (event, payload) in [
        ("CANCEL", "{}"),
        ("REOPEN", "{}"),
        ("PAY", r#"{"paid_cents":99}"#),
        ("SHIP", "{}"),
    ] {
        assert_eq!(apply(event, payload).unwrap().code, Some(0), "{event}");
    }
    assert_eq!(
        cli.json(&["get-instance", "o-1"]).unwrap()["state"],
        "shipped"
    );
    let seen: Vec<Value> = (0..5)
        .map(|_| serde_json::from_str(&events.recv_timeout(BACKGROUND_TIMEOUT).unwrap()).unwrap())
        .collect();
    let names: Vec<&str> = seen
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    assert_eq!(names, ["PAY", "CANCEL", "REOPEN", "PAY", "SHIP"]);
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    assert_eq!(
        watch.wait().unwrap().code(),
        Some(0),
        "Ctrl-C ends a watch with 0"
    );
}

#[test]
fn exit_codes_say_what_happened() {
    let _turn = turns::light();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let ended = |done: Finished, code: i32, says: &str| {
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.err.contains(says), "no {says:?} in {done:?}");
        assert_eq!(
            done.out, "",
            "data on standard output of a command that failed"
        );
    };
    assert_eq!(cli.run(&["ping"]).unwrap().code, Some(0));
    ended(
        cli.run(&["get-instance", "nobody"]).unwrap(),
        1,
        "INSTANCE_NOT_FOUND",
    );
    ended(cli.run(&["no-such-command"]).unwrap(), 2, "no-such-command");
    ended(
        cli.run(&["put-machine", "-n", "m", "-v", "1", "{"])
            .unwrap(),
        2,
        "",
    );
    ended(
        cli.run(&["load", "/nonexistent"]).unwrap(),
        2,
        "/nonexistent",
    );

    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free().unwrap()));
    ended(Cli::new(nobody).run(&["ping"]).unwrap(), 3, "no connection");
    let mute = mute_server();
    let apply = ["--timeout", "300ms", "apply-event", "-i", "x", "-e", "E"];
    ended(Cli::new(mute).run(&apply).unwrap(), 4, "outcome is unknown");
}

/// A server that says HELLO and then takes requests without ever answering one.
fn mute_server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports::free().unwrap())).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap();
            let payload: Value = serde_json::from_slice(&request[18..count]).unwrap();
            let result = json!({"protocol_version": 1, "wire_mode": "binary_json"});
            let hello =
                json!({"type": "response", "id": payload["id"], "status": "ok", "result": result});
            std::io::Write::write_all(&mut stream, &framed(&hello.to_string())).unwrap();
            thread::spawn(move || while stream.read(&mut request).is_ok_and(|count| count > 0) {});
        }
    });
    address
}

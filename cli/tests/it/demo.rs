//! `cluster demo` with a server program that only sleeps: the processes, the files, the signals.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fake::{Answer, Fake};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with the program and a server beside it that writes down its environment and sleeps.
fn installed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_rstmdb-cli");
    let beside = dir.path().join("rstmdb-cli");
    if fs::hard_link(program, &beside).is_err() {
        fs::copy(program, &beside).unwrap();
    }
    let server = dir.path().join("rstmdb");
    fs::write(
        &server,
        "#!/bin/sh\nenv > part && mv part environment\nexec sleep 600\n",
    )
    .unwrap();
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Answers in the place of the only node, whose address stands in the demo's folder. The demo does not begin where
/// something listens already, so this begins after it.
fn answer_for(folder: impl Fn() -> Option<PathBuf>) -> Fake {
    let address = || -> Option<String> {
        let text = fs::read_to_string(folder()?.join("demo.json")).ok()?;
        let file: Value = serde_json::from_str(&text).ok()?;
        Some(file["nodes"][0]["rcp_addr"].as_str()?.to_owned())
    };
    wait_until(|| address().is_some());
    let answer = |_: &str, _: &Value| Answer::Ok("{\"items\":[]}".to_owned());
    Fake::start_at(&address().unwrap(), answer)
}

/// The folder of a demo that was not given one.
fn temporary(installed: &TempDir) -> Option<PathBuf> {
    let mut found = fs::read_dir(installed.path()).unwrap().flatten();
    let is_of_demo = |name: &str| name.starts_with("rstmdb-demo-");
    found
        .find(|entry| entry.file_name().to_str().is_some_and(is_of_demo))
        .map(|entry| entry.path())
}

struct Demo {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Demo {
    fn start(installed: &TempDir, dir: Option<&Path>) -> Demo {
        Demo::start_with(installed, dir, &[])
    }

    fn start_with(installed: &TempDir, dir: Option<&Path>, args: &[&str]) -> Demo {
        let mut command = Command::new(installed.path().join("rstmdb-cli"));
        command.args(["cluster", "demo", "--nodes", "1"]);
        match dir {
            Some(dir) => command.arg("--dir").arg(dir),
            None => &mut command,
        };
        command.args(args);
        let mut child = command
            .env("RSTMDB_NODE_ID", "7")
            .env("TMPDIR", installed.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Demo {
            out: BufReader::new(child.stdout.take().unwrap()),
            err: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// What it prints once there is a leader.
    fn facts(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The rest of standard error, once it has ended with this code.
    fn exited(mut self, code: i32) -> String {
        let status = self.child.wait().unwrap();
        let mut text = String::new();
        self.err.read_to_string(&mut text).unwrap();
        assert_eq!(status.code(), Some(code), "{text}");
        text
    }
}

/// A test that failed leaves nothing running.
impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(signal: &str, pid: u64) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn pid(facts: &Value) -> u64 {
    facts["nodes"][0]["pid"].as_u64().unwrap()
}

fn runs(pid: u64) -> bool {
    Path::new("/proc")
        .join(pid.to_string())
        .join("exe")
        .read_link()
        .is_ok()
}

#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never was so");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_demo_in_a_folder_is_kept_and_ends_its_nodes_when_it_is_told_to() {
    let installed = installed();
    let dir = installed.path().join("kept");
    let mut demo = Demo::start(&installed, Some(&dir));
    let fake = answer_for(|| Some(dir.clone()));
    let facts = demo.facts();
    assert_eq!(facts["server"], fake.address);
    assert_eq!(facts["nodes"][0]["node_id"], 1);
    assert!(PathBuf::from(facts["nodes"][0]["log"].as_str().unwrap()).is_file());
    assert!(runs(pid(&facts)));
    let environment = dir.join("node1/environment");
    wait_until(|| environment.exists());
    let environment = fs::read_to_string(environment).unwrap();
    assert!(!environment.contains("RSTMDB_"), "{environment}");
    kill("-TERM", u64::from(demo.child.id()));
    let said = demo.exited(0);
    assert!(said.contains("kept: "), "{said}");
    assert!(!runs(pid(&facts)));
    assert!(dir.join("node1/config.yaml").is_file());
}

#[test]
fn a_node_that_dies_is_told_of_and_the_temporary_folder_goes_at_the_end() {
    let installed = installed();
    let mut demo = Demo::start(&installed, None);
    let _fake = answer_for(|| temporary(&installed));
    let facts = demo.facts();
    let dir = PathBuf::from(facts["dir"].as_str().unwrap());
    assert!(dir.join("demo.json").is_file());
    kill("-KILL", pid(&facts));
    let mut line = String::new();
    demo.err.read_line(&mut line).unwrap();
    assert!(line.starts_with("node 1 has ended: signal: 9"), "{line}");
    kill("-INT", u64::from(demo.child.id()));
    demo.exited(0);
    assert!(!dir.exists());
}

#[test]
fn the_nodes_end_when_the_program_is_killed() {
    let installed = installed();
    let mut demo = Demo::start(&installed, None);
    let _fake = answer_for(|| temporary(&installed));
    let facts = demo.facts();
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    wait_until(|| !runs(pid(&facts)));
}

#[test]
fn when_every_node_ends_before_there_is_a_leader_their_words_are_shown() {
    let installed = installed();
    let refusing = "#!/bin/sh\necho 'cluster.peers: not like this' >&2\nexit 1\n";
    fs::write(installed.path().join("rstmdb"), refusing).unwrap();
    let said = Demo::start(&installed, None).exited(1);
    assert!(said.contains("node 1 has ended: exit status: 1"), "{said}");
    assert!(said.contains("cluster.peers: not like this"), "{said}");
    assert!(said.contains("all nodes have ended"), "{said}");
}

#[test]
fn a_server_that_listens_there_already_is_not_taken_for_the_demo() {
    let installed = installed();
    let dir = installed.path().join("kept");
    let foreign = Fake::start(|_, _| Answer::Ok("{\"items\":[]}".to_owned()));
    let port = foreign.address.rsplit(':').next().unwrap();
    let demo = Demo::start_with(&installed, Some(&dir), &["--base-port", port]);
    let said = demo.exited(1);
    assert!(
        said.starts_with(&format!("cannot use {}", foreign.address)),
        "{said}"
    );
    assert!(said.contains("choose another --base-port"), "{said}");
    // The next try may have another port.
    assert!(!dir.join("demo.json").exists());
    assert_eq!(foreign.requests(), []);
}

#[test]
fn without_a_server_program_it_says_how_to_build_one() {
    let installed = installed();
    fs::remove_file(installed.path().join("rstmdb")).unwrap();
    let output = Command::new(installed.path().join("rstmdb-cli"))
        .args(["cluster", "demo"])
        .env("PATH", "")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cargo build --release -p rstmdb"), "{said}");
}

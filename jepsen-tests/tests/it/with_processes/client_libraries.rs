//! The client libraries in other languages: their own tests, run by the language's own runner against real nodes.
//! Where the language is missing or too old, the test says so and passes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::binaries;
use rstmdb_jepsen::process::program::{self, ends_within};

/// The tests take a minute on an idle machine.
const TESTS_TIMEOUT: Duration = Duration::from_secs(400);

fn library(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("clients").join(name)
}

/// The folder of the programs. The tests run in another folder.
fn programs() -> PathBuf {
    binaries::dir().unwrap().canonicalize().unwrap()
}

/// Python with the packages that some of its tests need, where `.ci/tools` has installed them; else the system's.
fn python() -> PathBuf {
    let installed = programs().join("../tools/python");
    // Written last.
    if installed.join("pins").is_file() {
        installed.join("bin/python3")
    } else {
        PathBuf::from("python3")
    }
}

/// Whether this interpreter is there and says yes.
fn agrees(interpreter: &Path, arguments: &[&str]) -> bool {
    let asked = program::run(Command::new(interpreter).args(arguments));
    asked.is_ok_and(|ended| ended.status.success())
}

/// Runs the tests; their output is shown if one fails, and so are the reasons of those that are skipped.
fn passes(tests: &mut Command) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let file = File::create(&output).unwrap();
    let mut child = tests
        .env("RSTMDB_BIN_DIR", programs())
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let ended = ends_within(&mut child, TESTS_TIMEOUT).unwrap();
    if !ended {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let said = std::fs::read_to_string(&output).unwrap();
    assert!(ended && status.success(), "{status}:\n{said}");
    // As python's and node's runners say it.
    let is_skip = |line: &&str| line.contains("skipped '") || line.contains("# SKIP");
    for line in said.lines().filter(is_skip) {
        rstmdb_jepsen::skipped(line);
    }
}

#[test]
fn the_python_client_passes_its_tests() {
    let _turn = turns::heavy();
    let is_new_enough = "import sys; sys.exit(sys.version_info < (3, 9))";
    let python = python();
    if !agrees(&python, &["-c", is_new_enough]) {
        rstmdb_jepsen::skipped("python3 is missing or older than 3.9");
        return;
    }
    // -B: the tree stays as it is.
    let mut tests = Command::new(python);
    tests
        .args([
            "-B", "-m", "unittest", "discover", "-v", "-s", "tests", "-t", ".",
        ])
        .current_dir(library("python"));
    passes(&mut tests);
}

#[test]
fn the_node_client_passes_its_tests() {
    let _turn = turns::heavy();
    let is_new_enough = "process.exit(Number(process.versions.node.split('.')[0]) < 18 ? 1 : 0)";
    if !agrees(Path::new("node"), &["-e", is_new_enough]) {
        rstmdb_jepsen::skipped("node is missing or older than 18");
        return;
    }
    let folder = library("node");
    // Not every version takes a folder.
    let files = std::fs::read_dir(folder.join("test")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> = files
        .filter(|file| file.to_string_lossy().ends_with(".test.js"))
        .collect();
    assert!(!files.is_empty());
    let mut tests = Command::new("node");
    tests.arg("--test").args(files).current_dir(folder);
    passes(&mut tests);
}

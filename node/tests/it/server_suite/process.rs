//! The program itself: signals, exit codes, what stands on standard error.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::support::{Conn, PATIENCE};

/// What a whole shutdown may take.
const END_MAX: Duration = Duration::from_secs(10);

/// The program, running.
struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Program {
    fn start(temporary: &Path, arguments: &[&str], data: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rstmdb"));
        command
            .args(arguments)
            .env_remove("RUST_LOG")
            .env("TMPDIR", temporary)
            .env("RSTMDB_BIND", "127.0.0.1:0")
            .env("RSTMDB_METRICS_ENABLED", "false")
            .env("RSTMDB_HTTP_BIND", "none")
            .env("RSTMDB_REQUEST_TIMEOUT_MS", "60000")
            .env("RSTMDB_WAL_SEGMENT_SIZE_MB", "1")
            .env("RSTMDB_MIN_FREE_MB", "0")
            .stderr(Stdio::piped());
        if let Some(data) = data {
            command.env("RSTMDB_DATA", data);
        }
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Waits until clients are served.
    fn address(&mut self) -> SocketAddr {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "{seen}");
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = event["address"].as_str() {
                return address.parse().unwrap();
            }
            seen += &line;
        }
    }

    fn signal(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }

    fn ended_within(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < limit, "still there after {limit:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything on standard error up to the end of the process.
    fn last_words(mut self) -> (Option<i32>, String) {
        let status = self.ended_within(PATIENCE);
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        (status.code(), text)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The exit of a subcommand with this standard output.
fn ended_with(arguments: &[&str], out: impl Into<Stdio>) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rstmdb"))
        .args(arguments)
        .env_remove("RSTMDB_CONFIG")
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_reader_that_has_gone_is_none() {
    // A folder in which nothing is damaged: an empty log.
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("wal")).unwrap();
    let verify = ["verify", "--data", data.path().to_str().unwrap()];
    for arguments in [
        &verify[..],
        &["check-config"],
        &["version"],
        &["--version"],
        &["--help"],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let (code, said) = ended_with(arguments, full);
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(
            said.starts_with("rstmdb: cannot write the output: "),
            "{arguments:?}: {said}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, said) = ended_with(arguments, writer);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        assert!(!said.contains("output"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_folder_that_is_not_a_node_s_is_not_called_sound() {
    let folder = tempfile::tempdir().unwrap();
    let verify = ["verify", "--data", folder.path().to_str().unwrap()];
    let quiet = || std::fs::File::create("/dev/null").unwrap();
    assert_eq!(ended_with(&verify, quiet()).0, Some(0), "an empty one");
    for (file, hint) in [
        ("a.txt", "is the path right?"),
        ("manifest.json", "a backup"),
    ] {
        std::fs::write(folder.path().join(file), "{}").unwrap();
        let (code, said) = ended_with(&verify, quiet());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(hint), "{said}");
    }
}

#[test]
fn a_short_secret_is_reported_as_short_and_not_as_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "12345\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rstmdb"))
        .arg("check-config")
        .env_remove("RSTMDB_CONFIG")
        .env("RSTMDB_CLUSTER_SECRET_FILE", &secret)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = format!(
        "rstmdb: cluster.secret_file: {} cannot be used: the secret is too short: it has 5 bytes, and at least \
         16 bytes are needed",
        secret.display()
    );
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_variable_that_is_no_setting_is_warned_of() {
    let output = Command::new(env!("CARGO_BIN_EXE_rstmdb"))
        .arg("check-config")
        .env_remove("RSTMDB_CONFIG")
        .env("RSTMDB_DATA_DIR", "/data")
        .env("RSTMDB_TOKEN", "the command line's")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let expected =
        "warning: the variable RSTMDB_DATA_DIR has no effect; did you mean RSTMDB_DATA?\n";
    assert!(said.contains(expected), "{said}");
    assert!(!said.contains("RSTMDB_TOKEN"), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// This read waits for an offset that never comes.
async fn keep_busy(address: SocketAddr) -> Conn {
    let mut conn = Conn::open(address).await;
    let (_, id) = conn.order().await;
    let params = json!({ "instance_id": id, "min_wal_offset": 1_000_000 });
    conn.send("GET_INSTANCE", params).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    conn
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_cannot_hold_up_the_end_for_long() {
    let temporary = tempfile::tempdir().unwrap();
    let mut program = Program::start(temporary.path(), &["--dev"], None);
    let _conn = keep_busy(program.address()).await;
    assert_eq!(entries(temporary.path()).len(), 1);
    program.signal();
    assert_eq!(program.ended_within(END_MAX).code(), Some(0));
    assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_and_leaves_no_temporary_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let mut program = Program::start(temporary.path(), &["--dev"], None);
    let _conn = keep_busy(program.address()).await;
    program.signal();
    tokio::time::sleep(Duration::from_millis(300)).await;
    program.signal();
    let status = program.ended_within(Duration::from_secs(2));
    assert_eq!(status.code(), Some(1));
    assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_folder_is_refused_with_the_file_the_place_and_advice() {
    let data = tempfile::tempdir().unwrap();
    let mut program = Program::start(data.path(), &[], Some(data.path()));
    let mut conn = Conn::open(program.address()).await;
    conn.order().await;
    conn.ok("COMPACT", json!({ "force_snapshot": true })).await;
    drop(conn);
    program.signal();
    assert_eq!(program.ended_within(END_MAX).code(), Some(0));
    let snapshot = entries(&data.path().join("snapshots"))
        .into_iter()
        .find(|path| path.extension().is_some_and(|kind| kind == "snap"))
        .unwrap();
    let segment = data.path().join("wal/0000000000000001.wal");
    let inside_snapshot = std::fs::read(&snapshot).unwrap().len() / 2;
    // Behind the header, in the first records.
    for (file, place) in [(snapshot, inside_snapshot), (segment, 220)] {
        let sound = std::fs::read(&file).unwrap();
        let mut damaged = sound.clone();
        damaged[place] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        let program = Program::start(data.path(), &[], Some(data.path()));
        let (code, text) = program.last_words();
        let told = text
            .lines()
            .find(|line| line.starts_with("rstmdb: "))
            .unwrap_or_else(|| panic!("{text}"));
        assert_eq!(code, Some(1), "{text}");
        for part in [file.to_str().unwrap(), "damaged at offset ", "backup"] {
            assert!(told.contains(part), "{part} is missing in: {told}");
        }
        std::fs::write(&file, &sound).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_folder_without_its_identity_starts_only_as_the_one_node_it_was() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let mut program = Program::start(data.path(), &[], Some(data.path()));
    let mut conn = Conn::open(program.address()).await;
    let (_, instance) = conn.order().await;
    let cluster_id = conn.ok("INFO", json!({})).await["cluster_id"].clone();
    drop(conn);
    program.signal();
    assert_eq!(program.ended_within(END_MAX).code(), Some(0));
    let file = data.path().join("identity.json");
    std::fs::remove_file(&file).unwrap();
    let verified = || Program::start(data.path(), &["verify", "--data", path], None).last_words();

    let (code, text) = verified();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is damaged"), "{text}");
    let config = data.path().join("another.yaml");
    std::fs::write(&config, "cluster:\n  node_id: 2\n").unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let (code, text) = Program::start(data.path(), &arguments, Some(data.path())).last_words();
    assert_eq!(code, Some(1), "{text}");
    for part in ["identity.json is missing", "segment of the log", "rejoin"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    assert!(!text.contains("at offset"), "{text}");
    assert!(!file.exists(), "a refused start made another identity");

    let mut program = Program::start(data.path(), &[], Some(data.path()));
    let mut conn = Conn::open(program.address()).await;
    assert_eq!(conn.ok("INFO", json!({})).await["cluster_id"], cluster_id);
    conn.ok("GET_INSTANCE", json!({ "instance_id": instance }))
        .await;
    drop(conn);
    program.signal();
    assert_eq!(program.ended_within(END_MAX).code(), Some(0));
    let (code, text) = verified();
    assert_eq!(code, Some(0), "{text}");
}

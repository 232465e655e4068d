//! Starting and stopping: clean under load, and refused with a reason where the node must not start.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::audit::log::LogAudit;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::load::machines::TestMachine;
use rstmdb_jepsen::load::pipeline::{self, PipelinePlan};
use rstmdb_jepsen::load::pipelines::put_machines;
use rstmdb_jepsen::process::node::{Node, READY_TIMEOUT, SHUTDOWN_TIMEOUT, server_command};
use rstmdb_jepsen::process::program::{self, EndedProgram};
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::{ports, wal};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

fn run(command: &mut Command) -> EndedProgram {
    program::run(command).unwrap()
}

/// Checks that the process refuses to start, with all of these texts on standard error.
fn refuses(command: &mut Command, says: &[&str]) {
    let ended = run(command);
    assert_eq!(ended.as_refusal(says), Ok(()));
}

fn free_address() -> String {
    format!("{}:{}", Ipv4Addr::LOCALHOST, ports::free().unwrap())
}

fn put_and_create(connection: &mut RawConnection, ids: &[String]) {
    let definition = TestMachine::Counter.definition();
    let put = json!({"machine": "counter", "version": 1, "definition": definition});
    connection.call("PUT_MACHINE", &put).unwrap();
    for id in ids {
        let create = json!({"instance_id": id, "machine": "counter", "version": 1});
        connection.call("CREATE_INSTANCE", &create).unwrap();
    }
}

#[test]
fn sigterm_under_load_exits_0_and_loses_nothing_that_was_acknowledged() {
    let _turn = turns::light();
    let mut rng = Rng::new(rng::seed("start_stop"));
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    put_machines(&mut connection).unwrap();
    // A silent session must not hold up the end of the node.
    let idle = connection;
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4)
        .map(|connection| {
            // The shared instances do not exist: creations take effect, and the node refuses everything else.
            let named = |kind: &str| vec![format!("{kind}-1"), format!("{kind}-2")];
            let (addrs, window) = (vec![node.addr()], 32);
            let (counters, orders) = (named("counter"), named("order"));
            let plan = PipelinePlan {
                addrs,
                connection,
                window,
                counters,
                orders,
                known: Arc::default(),
            };
            let (rng, stop) = (rng.fork(), Arc::clone(&stop));
            thread::spawn(move || pipeline::run(&plan, rng, &stop))
        })
        .collect();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(rng.between(300, 900)));
        let (status, took) = node.stop().unwrap();
        assert!(status.success(), "{status}: {}", node.log_tail());
        println!("start_stop: stopped under load in {took:?}");
        node.restart().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut ledgers: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    for ledger in &mut ledgers {
        // The node refuses reads of missing instances, and this load takes a refusal for a fault.
        ledger
            .violations
            .retain(|violation| !violation.contains("INSTANCE_NOT_FOUND"));
    }
    drop(idle);
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let mut checker = LogAudit::new(&ledgers);
    wal::visit(&mut connection, 0, wal::PAGE_RECORDS, |record| {
        checker.record(&record)
    })
    .unwrap();
    assert_eq!(checker.finish().violations, [""; 0]);
}

#[test]
fn sigterm_does_not_wait_for_a_watcher_that_reads_nothing() {
    let _turn = turns::light();
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    put_and_create(&mut connection, &["x".to_owned()]);
    let mut watcher = RawConnection::connect(node.addr()).unwrap();
    watcher.call("WATCH_ALL", &json!({})).unwrap();
    // Far more than the buffers between node and watcher hold, so the node is in the middle of writing to the watcher.
    let note = "n".repeat(100_000);
    for n in 0..100 {
        let payload = json!({"n": n, "note": note});
        let apply = json!({"instance_id": "x", "event": "SET", "payload": payload});
        connection.call("APPLY_EVENT", &apply).unwrap();
    }
    let (status, took) = node.stop().unwrap();
    assert!(status.success(), "{status}: {}", node.log_tail());
    assert!(took < SHUTDOWN_TIMEOUT, "{took:?}");
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let _turn = turns::light();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let mut second = node.command().unwrap();
    second
        .env("RSTMDB_BIND", free_address())
        .env("RSTMDB_METRICS_BIND", free_address());
    let folder = node.data_dir().display().to_string();
    refuses(&mut second, &["in use", &folder]);
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    put_and_create(&mut connection, &["x".to_owned()]);
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let _turn = turns::light();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports::free().unwrap())).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (key, variable, other) in [
        ("network.bind_addr", "RSTMDB_BIND", "RSTMDB_METRICS_BIND"),
        ("metrics.bind_addr", "RSTMDB_METRICS_BIND", "RSTMDB_BIND"),
        ("http.bind_addr", "RSTMDB_HTTP_BIND", "RSTMDB_BIND"),
    ] {
        let node = Node::prepare(&NodeConfig::for_tests()).unwrap();
        let mut command = node.command().unwrap();
        command.env(variable, &address).env(other, free_address());
        refuses(&mut command, &[key, &address, "in use"]);
    }
}

#[test]
fn a_configuration_that_is_wrong_stops_the_start_with_key_value_and_what_would_be_right() {
    let _turn = turns::light();
    for (key, value, says) in [
        (
            "storage.wal_segment_size",
            "64",
            &["storage.wal_segment_size", "wal_segment_size_mb"][..],
        ),
        ("no_such_section.key", "1", &["no_such_section"]),
        (
            "network.max_connections",
            "many",
            &["network.max_connections", "many", "whole number"],
        ),
        (
            "storage.fsync_policy",
            "sometimes",
            &["storage.fsync_policy", "every_write"],
        ),
        (
            "auth.secrets_file",
            "/nonexistent/secrets",
            &["auth.secrets_file", "/nonexistent/secrets"],
        ),
    ] {
        let node = Node::prepare(&NodeConfig::for_tests().with(key, value)).unwrap();
        refuses(&mut node.command().unwrap(), says);
        refuses(node.command().unwrap().arg("check-config"), says);
        assert!(
            !node.data_dir().exists(),
            "{key}: something was made before it was refused"
        );
    }
    let mut missing = server_command().unwrap();
    missing.args(["--config", "/nonexistent/config.yaml"]);
    refuses(&mut missing, &["/nonexistent/config.yaml"]);
}

#[test]
fn check_config_shows_what_is_in_force_and_starts_nothing() {
    let _turn = turns::light();
    let node = Node::prepare(&NodeConfig::for_tests()).unwrap();
    let mut command = node.command().unwrap();
    let ended = run(command
        .arg("check-config")
        .env("RSTMDB_MAX_CONNECTIONS", "77"));
    assert!(ended.status.success(), "{}", ended.everything());
    for text in [
        "storage.wal_segment_size_mb",
        "RSTMDB_MAX_CONNECTIONS",
        "77",
        "default",
    ] {
        assert!(ended.out.contains(text), "no {text:?} in: {}", ended.out);
    }
    assert!(!node.data_dir().exists());
}

#[test]
fn dev_leaves_nothing_behind() {
    let _turn = turns::light();
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut node = server_command()
        .unwrap()
        .arg("--dev")
        .env("TMPDIR", folder.path())
        .env("RSTMDB_BIND", &address)
        .env("RSTMDB_METRICS_BIND", free_address())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut connection = connect_when_ready(&address);
    put_and_create(&mut connection, &["x".to_owned()]);
    assert!(
        !entries(folder.path()).is_empty(),
        "the data folder is somewhere else"
    );
    kill_process(Pid::from_child(&node), Signal::TERM).unwrap();
    assert!(program::ends_within(&mut node, SHUTDOWN_TIMEOUT).unwrap());
    let output = node.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(
        log.contains("--dev"),
        "it does not say that nothing is kept: {log}"
    );
    assert_eq!(entries(folder.path()), [] as [PathBuf; 0]);
}

fn connect_when_ready(address: &str) -> RawConnection {
    let begun = Instant::now();
    loop {
        match RawConnection::connect(address.parse().unwrap()) {
            Ok(connection) => return connection,
            Err(error) => assert!(begun.elapsed() < READY_TIMEOUT, "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn a_flipped_byte_below_a_mark_is_refused_with_file_and_offset_and_verify_names_it() {
    let _turn = turns::light();
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let ids: Vec<String> = (0..200).map(|n| format!("x-{n}")).collect();
    put_and_create(&mut connection, &ids);
    assert!(node.stop().unwrap().0.success());
    verify(&node, None);

    let file = entries(&node.data_dir().join("wal")).remove(0);
    let intact = std::fs::read(&file).unwrap();
    let written = intact.iter().rposition(|byte| *byte != 0).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    for at in [6, written / 4, written / 2, written * 3 / 4] {
        let mut damaged = intact.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&file, &damaged).unwrap();
        refuses(&mut node.command().unwrap(), &[&name, "offset"]);
        verify(&node, Some(&name));
        assert!(
            std::fs::read(&file).unwrap() == damaged,
            "a refused start changed the file"
        );
    }
    std::fs::write(&file, &intact).unwrap();
    verify(&node, None);
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let listed = connection
        .call("LIST_INSTANCES", &json!({"limit": 1}))
        .unwrap();
    assert_eq!(listed["total"], ids.len());
}

/// `rstmdb verify` says that all is well, or names this file with the place.
fn verify(node: &Node, damaged: Option<&str>) {
    let mut command = server_command().unwrap();
    let ended = run(command.arg("verify").arg("--data").arg(node.data_dir()));
    assert_eq!(
        ended.status.success(),
        damaged.is_none(),
        "{}",
        ended.everything()
    );
    if let Some(file) = damaged {
        let names_it = |line: &str| line.contains(file) && line.contains("offset");
        assert!(
            ended.everything().lines().any(names_it),
            "{}",
            ended.everything()
        );
    }
}

#[test]
fn a_log_cut_off_in_its_last_batch_is_cut_and_the_rest_served() {
    let _turn = turns::light();
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    put_and_create(&mut connection, &["x".to_owned(), "y".to_owned()]);
    node.kill().unwrap();
    let file = entries(&node.data_dir().join("wal")).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // As if only half of the last write had reached the disk.
    bytes[written - 2..=written].fill(0);
    std::fs::write(&file, &bytes).unwrap();
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    connection
        .call("GET_INSTANCE", &json!({"instance_id": "x"}))
        .unwrap();
}

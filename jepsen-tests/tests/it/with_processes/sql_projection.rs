//! The projection into SQL of `docs/sql-projection.md`, against PostgreSQL. Its program and the node are killed again
//! and again. In the end the tables agree with the log.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rstmdb_jepsen::binaries;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::storage::WalRead;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::turns;

/// How often the program is killed.
const KILLS: u32 = 8;
/// How long it may take until the tables have everything.
const PATIENCE: Duration = Duration::from_secs(60);
/// The last instance that is created.
const LAST: &str = "the-last";

/// A cluster of PostgreSQL in a temporary folder, reached by a socket there. Dropping it ends it.
struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    is_root: bool,
}

impl Postgres {
    /// Starts one; why not, where there is none.
    fn start() -> Result<Self, String> {
        let programs = installed().ok_or("PostgreSQL's server is not installed")?;
        if Command::new("psql").arg("--version").output().is_err() {
            return Err("psql is not installed".to_owned());
        }
        let folder = tempfile::Builder::new().prefix("pg-").tempdir_in("/tmp");
        let postgres = Self {
            folder: folder.map_err(|error| error.to_string())?,
            programs,
            is_root: rustix::process::geteuid().is_root(),
        };
        if postgres.is_root {
            // PostgreSQL refuses to run as root, and Debian's package makes this user.
            let owner = Command::new("chown")
                .arg("postgres")
                .arg(postgres.folder.path())
                .status();
            if !owner.is_ok_and(|status| status.success()) {
                return Err("there is no user postgres to run PostgreSQL as".to_owned());
            }
        }
        let dir = postgres.folder.path().display().to_string();
        let data = format!("{dir}/data");
        let options = format!("-k {dir} -c listen_addresses= -c fsync=off");
        postgres.run(
            "initdb",
            &["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync"],
        )?;
        let log = format!("{dir}/log");
        let start = ["-D", &data, "-w", "-o", &options, "-l", &log, "start"];
        postgres.run("pg_ctl", &start)?;
        Ok(postgres)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let program = self.programs.join(program);
        let mut command = match self.is_root {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(&program);
                command
            }
            false => Command::new(&program),
        };
        command
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null());
        // What it starts keeps its output open.
        let output = self.folder.path().join("output");
        let file = fs::File::create(&output).map_err(|error| error.to_string())?;
        let other = file.try_clone().map_err(|error| error.to_string())?;
        let status = command.stdout(file).stderr(other).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            status => Err(format!(
                "{}: {status:?}: {}",
                program.display(),
                fs::read_to_string(&output).unwrap_or_default()
            )),
        }
    }

    /// The variables by which psql finds it.
    fn variables(&self) -> [(&'static str, String); 3] {
        let host = self.folder.path().display().to_string();
        [
            ("PGHOST", host),
            ("PGUSER", "postgres".to_owned()),
            ("PGDATABASE", "postgres".to_owned()),
        ]
    }

    /// The rows of a query, each one JSON value.
    fn rows(&self, query: &str) -> Vec<Value> {
        let output = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-c", query])
            .envs(self.variables())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.folder.path().join("data").display().to_string();
        let _ = self.run("pg_ctl", &["-D", &data, "-m", "immediate", "stop"]);
    }
}

/// The newest version among Debian's packages and in the path.
fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok();
    let mut found: Vec<PathBuf> = versions
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .find(|dir| dir.join("initdb").exists() && dir.join("pg_ctl").exists())
    })
}

/// Runs the program, with its standard error in a file.
fn project(node: &Node, postgres: &Postgres) -> Child {
    let errors = node.folder().join("projection.errors");
    let errors = fs::File::options().append(true).create(true).open(errors);
    Command::new(binaries::example("sql_projection").unwrap())
        .env("RSTMDB_SERVER", node.addr().to_string())
        .envs(postgres.variables())
        .stdin(Stdio::null())
        .stderr(errors.unwrap())
        .spawn()
        .unwrap()
}

fn kill(mut program: Child) {
    let _ = program.kill();
    let _ = program.wait();
}

/// Creates, changes and deletes instances, alone and in atomic batches, until it is told to end. A write whose node was
/// killed may have taken effect or not: the log says.
async fn write(addr: String, seed: u64, ends: Arc<AtomicBool>) {
    let mut rng = Rng::new(seed);
    let client = Client::connect(ClientOptions {
        addrs: vec![addr],
        ..ClientOptions::default()
    });
    let client = client.await.unwrap();
    let definition = json!({ "states": ["a", "b"], "initial": "a", "transitions": [
        { "from": "a", "event": "GO", "to": "b" }, { "from": "b", "event": "GO", "to": "a" } ] });
    let machine = json!({ "machine": "m", "version": 1, "definition": definition });
    call(&client, op::PUT_MACHINE, &machine).await;
    let mut n = 0_u64;
    while !ends.load(Ordering::Relaxed) {
        let mut ops = Vec::new();
        for _ in 0..rng.between(1, 6) {
            n += 1;
            let id = format!("o'{}", rng.below(40));
            ops.push(match rng.below(10) {
                0..4 => json!({ "op": "CREATE_INSTANCE", "params":
                    { "instance_id": id, "machine": "m", "version": 1, "initial_ctx": { "n": n, "text": "it's \\ \"1\"\u{7}" } } }),
                4..9 => json!({ "op": "APPLY_EVENT", "params":
                    { "instance_id": id, "event": "GO", "payload": { "n": n, "big": 12_345_678_901_234_567_890_u64 } } }),
                _ => json!({ "op": "DELETE_INSTANCE", "params": { "instance_id": id } }),
            });
        }
        let mode = if rng.percent(50) {
            "atomic"
        } else {
            "best_effort"
        };
        let batch = json!({ "mode": mode, "ops": ops });
        call(&client, op::BATCH, &batch).await;
        tokio::time::sleep(Duration::from_millis(rng.below(4))).await;
    }
    let last = json!({ "instance_id": LAST, "machine": "m", "version": 1 });
    while !call(&client, op::CREATE_INSTANCE, &last).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn call(client: &Client, op: &str, params: &Value) -> bool {
    client
        .call_raw(op, &to_raw_value(params).unwrap())
        .await
        .is_ok()
}

/// What the tables must hold: the live instances by id, and every event in its order.
async fn of_log(addr: String) -> (BTreeMap<String, Value>, Vec<Value>) {
    let client = Client::connect(ClientOptions {
        addrs: vec![addr],
        ..ClientOptions::default()
    });
    let client = client.await.unwrap();
    let (mut live, mut events) = (BTreeMap::new(), Vec::new());
    let (mut from, mut last, mut nth) = (1, 0, 0);
    loop {
        let wanted = WalRead {
            from_offset: from,
            limit: Some(1000),
            ..WalRead::default()
        };
        let page = client.wal_read(&wanted).await.unwrap();
        for record in &page.result.records {
            let entry: Value = serde_json::from_str(record.entry.get()).unwrap();
            let (kind, offset) = (entry["type"].as_str().unwrap(), record.offset);
            let id = entry["instance_id"].as_str().unwrap_or_default().to_owned();
            let kind = match kind {
                "create_instance" => {
                    let row = json!({ "state": entry["initial_state"], "ctx": entry["initial_ctx"], "at": offset });
                    live.insert(id.clone(), row);
                    "created"
                }
                "apply_event" => {
                    let row =
                        json!({ "state": entry["to_state"], "ctx": entry["ctx"], "at": offset });
                    live.insert(id.clone(), row);
                    "event"
                }
                "delete_instance" => {
                    live.remove(&id);
                    "deleted"
                }
                _ => continue,
            };
            nth = if offset == last { nth + 1 } else { 1 };
            last = offset;
            events.push(json!({ "at": offset, "n": nth, "kind": kind, "id": id }));
        }
        if page.result.next_offset == from {
            return (live, events);
        }
        from = page.result.next_offset;
    }
}

#[test]
fn the_tables_end_equal_to_the_log_however_often_the_program_and_the_node_are_killed() {
    let _turn = turns::light();
    let postgres = match Postgres::start() {
        Ok(postgres) => postgres,
        Err(reason) => {
            rstmdb_jepsen::skipped(reason);
            return;
        }
    };
    let seed = rng::seed("sql_projection");
    let mut rng = Rng::new(seed);
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let (ends, addr) = (Arc::new(AtomicBool::new(false)), node.addr().to_string());
    let (told, to) = (ends.clone(), addr.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let writing = runtime.spawn(write(to, seed, told));
    for n in 0..KILLS {
        let program = project(&node, &postgres);
        thread::sleep(Duration::from_millis(rng.between(100, 900)));
        if n % 3 == 2 {
            node.kill().unwrap();
            node.restart().unwrap();
            thread::sleep(Duration::from_millis(rng.between(0, 300)));
        }
        kill(program);
    }
    ends.store(true, Ordering::Relaxed);
    runtime.block_on(writing).unwrap();
    let program = project(&node, &postgres);
    let (live, events) = runtime.block_on(of_log(addr));
    let begun = Instant::now();
    let is_there = format!("SELECT to_json(id) FROM instance WHERE id = '{LAST}'");
    while postgres.rows(&is_there).is_empty() {
        let errors = fs::read_to_string(node.folder().join("projection.errors"));
        assert!(begun.elapsed() < PATIENCE, "{errors:?}");
        thread::sleep(Duration::from_millis(100));
    }
    kill(program);
    assert!(events.len() > 200, "{} events", events.len());
    let deleted = events.iter().filter(|event| event["kind"] == "deleted");
    assert!(deleted.count() > 3);
    let rows = postgres.rows(
        "SELECT json_build_object('at', wal_offset, 'n', n, 'kind', kind, 'id', instance_id) \
         FROM event ORDER BY wal_offset, n",
    );
    assert_eq!(rows, events);
    let rows = postgres.rows(
        "SELECT json_build_object('id', id, 'row', json_build_object('state', state, 'ctx', ctx, 'at', wal_offset)) \
         FROM instance",
    );
    let rows: BTreeMap<String, Value> = rows
        .into_iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["row"].clone()))
        .collect();
    assert_eq!(rows, live);
}

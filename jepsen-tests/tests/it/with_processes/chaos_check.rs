//! The chaos checkers on a real cluster. Each checker finds the answers to clients valid, the nodes' folders and
//! WAL_READ say the same, and a false answer put into the history is found.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use crate::turns;
use rstmdb_jepsen::chaos::check::truth::Truth;
use rstmdb_jepsen::chaos::check::{self, CheckVerdict};
use rstmdb_jepsen::chaos::clients::client;
use rstmdb_jepsen::chaos::history::{HistoryEntry, Recorder, RequestOutcome, Workload};
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::load::machines::TestMachine;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::{Error, wal};
use rstmdb_raft_store::Keyring;
use serde_json::{Value, json};

const REQUESTS: u64 = 250;
const SHARED: u64 = 3;
const ACCOUNTS: u64 = 4;

/// A client that sends requests of every workload and records the answers.
struct Client<'a> {
    number: u32,
    node: u64,
    addr: SocketAddr,
    connection: Option<RawConnection>,
    recorder: &'a Recorder,
    rng: Rng,
    /// The highest offset seen at all, and for each register.
    seen: u64,
    registers: [u64; SHARED as usize],
    items: u64,
    tags: u64,
}

fn prepare(connection: &mut RawConnection) {
    let mut call = |op: &str, params: Value| connection.call(op, &params).unwrap();
    for (machine, state, event) in [
        ("register", "on", "SET"),
        ("account", "open", "SET"),
        ("item", "in", "TOUCH"),
    ] {
        let definition = json!({"states": [state], "initial": state,
            "transitions": [{"from": state, "event": event, "to": state}]});
        let params = json!({"machine": machine, "version": 1, "definition": definition});
        call("PUT_MACHINE", params);
    }
    for machine in TestMachine::ALL {
        let definition = machine.definition();
        let params = json!({"machine": machine.name(), "version": 1, "definition": definition});
        call("PUT_MACHINE", params);
    }
    let mut create = |id: String, machine: &str, ctx: Value| {
        let params = json!({"instance_id": id, "machine": machine, "version": 1,
            "initial_ctx": ctx});
        call("CREATE_INSTANCE", params)
    };
    for n in 0..SHARED {
        create(format!("reg-{n}"), "register", json!({"v": 0}));
        create(format!("order-{n}"), "order", json!({"total_cents": 5}));
        create(format!("once-{n}"), "counter", json!({}));
    }
    for n in 0..ACCOUNTS {
        create(
            format!("acct-{n}"),
            "account",
            json!({"cents": check::CENTS_EACH}),
        );
    }
}

impl Client<'_> {
    fn ask(&mut self, workload: Workload, op: &str, params: Value) -> RequestOutcome {
        let begun = self.recorder.now();
        if self.connection.is_none() {
            self.connection = RawConnection::connect(self.addr).ok();
        }
        let answer = match &mut self.connection {
            Some(connection) => connection.call(op, &params),
            None => Err(Error::Closed),
        };
        let outcome = match answer {
            Ok(result) => RequestOutcome::Ok(result),
            Err(Error::Refused { body, .. }) => client::refusal(*body),
            Err(error) => {
                self.connection = None;
                RequestOutcome::Unknown {
                    why: error.to_string(),
                }
            }
        };
        if let RequestOutcome::Ok(result) = &outcome {
            for field in ["wal_offset", "last_wal_offset"] {
                self.seen = self.seen.max(result[field].as_u64().unwrap_or(0));
            }
        }
        self.recorder.take(HistoryEntry {
            workload,
            client: self.number,
            pipeline: 0,
            actor: String::new(),
            node: self.node,
            begun,
            ended: self.recorder.now(),
            op: op.to_owned(),
            params,
            outcome: outcome.clone(),
        });
        outcome
    }

    fn tag(&mut self) -> String {
        self.tags += 1;
        format!("c{}-{}", self.number, self.tags)
    }

    fn step(&mut self) {
        match self.rng.below(7) {
            0 => self.register(),
            1 => self.order(),
            2 => self.once(),
            3 => self.bank(),
            4 => self.set(),
            5 => {
                let id = format!("reg-{}", self.rng.below(SHARED));
                let params = json!({"instance_id": id, "consistency": "local",
                    "min_wal_offset": self.seen});
                self.ask(Workload::Monotonic, "GET_INSTANCE", params);
            }
            _ => {
                let id = format!("reg-{}", self.rng.below(SHARED));
                let params = json!({"instance_id": id, "consistency": "lease"});
                self.ask(Workload::Lease, "GET_INSTANCE", params);
            }
        }
    }

    fn register(&mut self) {
        let n = self.rng.below(SHARED);
        let id = format!("reg-{n}");
        let known = &mut self.registers[n as usize];
        if self.rng.percent(40) {
            let params = json!({"instance_id": id});
            let outcome = self.ask(Workload::Register, "GET_INSTANCE", params);
            if let RequestOutcome::Ok(result) = outcome {
                self.registers[n as usize] = result["last_wal_offset"].as_u64().unwrap();
            }
            return;
        }
        let expected = (*known > 0 && self.rng.percent(50)).then_some(*known);
        let tag = self.tag();
        let value = u64::from(self.number) * 1_000_000 + self.tags;
        let mut params = json!({"instance_id": id, "event": "SET", "payload": {"v": value},
            "event_id": tag});
        if let Some(expected) = expected {
            params["expected_wal_offset"] = json!(expected);
        }
        self.ask(Workload::Register, "APPLY_EVENT", params);
    }

    fn order(&mut self) {
        let id = format!("order-{}", self.rng.below(SHARED));
        if self.rng.percent(30) {
            let params = json!({"instance_id": id});
            self.ask(Workload::Machine, "GET_INSTANCE", params);
            return;
        }
        let event = *self.rng.pick(&TestMachine::ORDER_EVENTS);
        let tag = self.tag();
        let payload = match event {
            "PAY" => json!({"paid_cents": self.rng.below(10)}),
            _ => json!({"by": tag}),
        };
        let params = json!({"instance_id": id, "event": event, "payload": payload,
            "event_id": tag});
        self.ask(Workload::Machine, "APPLY_EVENT", params);
    }

    fn once(&mut self) {
        let id = format!("once-{}", self.rng.below(SHARED));
        let tag = self.tag();
        let params = json!({"instance_id": id, "event": "SET", "payload": {"n": tag},
            "event_id": tag, "idempotency_key": tag});
        // Sends the request again even after an answer, as a client does when an answer is lost.
        for _ in 0..2 {
            self.ask(Workload::Once, "APPLY_EVENT", params.clone());
        }
    }

    fn bank(&mut self) {
        let ids: Vec<String> = (0..ACCOUNTS).map(|n| format!("acct-{n}")).collect();
        let reads = ids
            .iter()
            .map(|id| json!({"op": "GET_INSTANCE", "params": {"instance_id": id}}));
        let params = json!({"mode": "atomic", "ops": reads.collect::<Vec<_>>()});
        let RequestOutcome::Ok(result) = self.ask(Workload::Bank, "BATCH", params) else {
            return;
        };
        let from = self.rng.index(ids.len());
        let to = (from + 1 + self.rng.index(ids.len() - 1)) % ids.len();
        let tag = self.tag();
        let part = |n: usize, at: usize, change: i64| {
            let account = &result["results"][at]["result"];
            let cents = account["ctx"]["cents"].as_i64().unwrap() + change;
            json!({"op": "APPLY_EVENT", "params": {"instance_id": ids[at], "event": "SET",
                "payload": {"cents": cents}, "event_id": format!("{tag}.{n}"),
                "expected_wal_offset": account["last_wal_offset"]}})
        };
        let ops = [part(0, from, -7), part(1, to, 7)];
        let params = json!({"mode": "atomic", "ops": ops});
        self.ask(Workload::Bank, "BATCH", params);
    }

    fn set(&mut self) {
        let number = self.number;
        match self.rng.below(4) {
            0 | 1 => {
                self.items += 1;
                let id = format!("item-{number}-{}", self.items);
                let params = json!({"instance_id": id, "machine": "item", "version": 1,
                    "initial_ctx": {}});
                self.ask(Workload::Set, "CREATE_INSTANCE", params);
            }
            2 => {
                let id = format!("item-{number}-{}", self.rng.below(self.items + 1));
                let op = *self.rng.pick(&["DELETE_INSTANCE", "GET_INSTANCE"]);
                self.ask(Workload::Set, op, json!({"instance_id": id}));
            }
            _ => {
                let params = json!({"machine": "item", "limit": 1000});
                self.ask(Workload::Set, "LIST_INSTANCES", params);
            }
        }
    }
}

/// A history of three clients, each at a node of its own, and a cluster that has no faults but one node
/// that is killed and comes back.
fn load(cluster: &mut Cluster, seed: u64) -> Vec<HistoryEntry> {
    let recorder = Recorder::default();
    let addrs: Vec<(u64, SocketAddr)> = cluster
        .ids()
        .into_iter()
        .map(|id| (id, cluster.addr(id).unwrap()))
        .collect();
    thread::scope(|scope| {
        for (number, (node, addr)) in addrs.into_iter().enumerate() {
            let mut client = Client {
                number: number as u32,
                node,
                addr,
                connection: None,
                recorder: &recorder,
                rng: Rng::new(seed.wrapping_add(node)),
                seen: 0,
                registers: [0; SHARED as usize],
                items: 0,
                tags: 0,
            };
            scope.spawn(move || (0..REQUESTS).for_each(|_| client.step()));
        }
        while recorder.done() < REQUESTS as usize {
            thread::sleep(std::time::Duration::from_millis(5));
        }
        let leader = cluster.leader().unwrap();
        cluster.kill(leader).unwrap();
        cluster.restart(leader).unwrap();
    });
    recorder.finish()
}

#[test]
fn the_history_of_a_real_cluster_is_valid_and_a_lie_is_found() {
    let _turn = turns::heavy();
    let seed = rng::seed("chaos_check");
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    prepare(&mut cluster.connect(1).unwrap());
    let mut entries = load(&mut cluster, seed);
    let converged = cluster.wait_converged().unwrap();
    println!("chaos_check: {} requests, {converged:?}", entries.len());
    let digest = cluster.info(1).unwrap()["state_digest"].clone();
    let records = wal::read_all(&mut cluster.connect(2).unwrap()).unwrap();
    for id in cluster.ids() {
        assert!(cluster.stop(id).unwrap().0.success());
    }
    let folders: Vec<(u64, PathBuf)> = cluster
        .ids()
        .into_iter()
        .map(|id| (id, cluster.node(id).unwrap().data_dir()))
        .collect();
    let truth = Truth::from_folders(&folders, &Keyring::default()).unwrap();
    assert_eq!(digest.as_str(), Some(truth.digest.as_str()));
    let told = Truth::from_wal_read(&records).unwrap();
    assert_eq!(truth.difference(&told), None);

    let results = check::check(&entries, &truth);
    for result in &results {
        println!("{result}");
        assert_eq!(result.verdict, CheckVerdict::Valid, "{result}");
    }
    assert_eq!(results.len(), 14, "one for each checker and workload");

    // A read at the end of the run that shows the register as it was at the beginning.
    let first = truth.of_instance("reg-0").next().unwrap();
    let last = entries.iter().map(|entry| entry.ended).max().unwrap();
    entries.push(HistoryEntry {
        workload: Workload::Register,
        client: 99,
        pipeline: 0,
        actor: String::new(),
        node: 1,
        begun: last + 10,
        ended: last + 20,
        op: "GET_INSTANCE".to_owned(),
        params: json!({"instance_id": "reg-0"}),
        outcome: RequestOutcome::Ok(json!({"state": first.to, "ctx": first.ctx,
            "last_wal_offset": first.offset})),
    });
    let results = check::check(&entries, &truth);
    let wrong = results.iter().filter(|it| !it.violations().is_empty());
    let wrong: Vec<&str> = wrong.map(|it| it.checker.as_str()).collect();
    assert_eq!(wrong, ["order", "search"]);
}

//! Three nodes in namespaces of a network of the system's own: one that drops large packets, and a slow one.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::binaries;
use rstmdb_jepsen::harness::skipped::or_skipped;
use rstmdb_jepsen::process::node::server_command;
use tempfile::TempDir;

const NODES: usize = 3;
const MACHINE: &str =
    r#"{"states":["ON"],"initial":"ON","transitions":[{"from":"ON","event":"GO","to":"ON"}]}"#;

/// Hosts around a switch. Dropping it removes them.
struct Net {
    name: String,
}

impl Net {
    fn new() -> Result<Self, String> {
        let net = Self {
            name: format!("rstmdb{}", std::process::id()),
        };
        let switch = net.switch();
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for host in 1..=NODES {
            let space = net.host(host);
            ip(&format!("netns add {space}"))?;
            ip(&format!(
                "link add e0 netns {space} type veth peer name p{host} netns {switch}"
            ))?;
            ip(&format!("-n {switch} link set p{host} master br0 up"))?;
            ip(&format!("-n {space} addr add {}/24 dev e0", addr(host)))?;
            // Data leaves in packets of the size that a wire would have.
            ip(&format!("-n {space} link set e0 gso_max_segs 1 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Ok(net)
    }

    fn switch(&self) -> String {
        format!("{}s", self.name)
    }

    fn host(&self, host: usize) -> String {
        format!("{}h{host}", self.name)
    }

    /// The largest packet that the switch passes. It drops larger ones without an error.
    fn set_packet_max(&self, bytes: usize) {
        for host in 1..=NODES {
            let switch = self.switch();
            ip(&format!("-n {switch} link set p{host} mtu {bytes}")).unwrap();
        }
    }

    fn set_rate(&self, rate: &str) {
        for host in 1..=NODES {
            let space = self.host(host);
            let limit = format!("rate {rate} burst 32kb latency 400ms");
            let args = format!("-n {space} qdisc add dev e0 root tbf {limit}");
            run("tc", &args).unwrap();
        }
    }

    fn inside(&self, host: usize, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.host(host)]);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let hosts = (1..=NODES).map(|host| self.host(host));
        for space in hosts.chain([self.switch()]) {
            // What was never made cannot be removed.
            let _ = ip(&format!("netns del {space}"));
        }
    }
}

fn addr(host: usize) -> String {
    format!("198.18.7.{host}")
}

fn ip(args: &str) -> Result<(), String> {
    run("ip", args)
}

fn run(tool: &str, args: &str) -> Result<(), String> {
    let done = Command::new(tool).args(args.split(' ')).output();
    let done = done.map_err(|error| format!("{tool}: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{tool} {args}: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        )),
    }
}

/// The nodes, each in its namespace. Dropping it kills them.
struct Nodes {
    net: Net,
    folder: TempDir,
    running: Vec<Child>,
}

impl Nodes {
    fn start(net: Net) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peers: Vec<_> = (1..=NODES)
            .map(|host| format!("{host}={0}:7402/{0}:7401", addr(host)))
            .collect();
        let mut running = Vec::new();
        for host in 1..=NODES {
            let mut command = net.inside(host, &server_command().unwrap());
            let log = std::fs::File::create(folder.path().join(format!("{host}.log"))).unwrap();
            command
                .env("RSTMDB_NODE_ID", host.to_string())
                .env("RSTMDB_BIND", format!("{}:7401", addr(host)))
                .env("RSTMDB_PEER_BIND", format!("{}:7402", addr(host)))
                .env("RSTMDB_PEERS", peers.join(","))
                .env("RSTMDB_CLUSTER_INSECURE", "true")
                .env("RSTMDB_DATA", folder.path().join(host.to_string()))
                .stdout(Stdio::null())
                .stderr(log);
            running.push(command.spawn().unwrap());
        }
        Self {
            net,
            folder,
            running,
        }
    }

    /// What the command line answers in a node's namespace.
    fn cli(&self, host: usize, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(binaries::cli().unwrap());
        command
            .args(["-s", &format!("{}:7401", addr(host))])
            .args(args);
        let done = self.net.inside(host, &command).output().unwrap();
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }

    /// Writes a payload of so many bytes.
    fn write(&self, host: usize, bytes: usize) -> Result<String, String> {
        let file: PathBuf = self.folder.path().join("batch.json");
        let payload = "0123456789abcdef".repeat(bytes / 16);
        let event = format!(
            r#"[{{"op":"APPLY_EVENT","params":{{"instance_id":"i","event":"GO","payload":{{"p":"{payload}"}}}}}}]"#
        );
        std::fs::write(&file, event).unwrap();
        self.cli(host, &["batch", "--atomic", file.to_str().unwrap()])
    }

    /// Who leads, as the first node said last.
    fn leader(&self) -> Option<usize> {
        let log = self.log(1);
        let (_, last) = log.rsplit_once(r#""leader":"#)?;
        let digits: String = last.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    fn log(&self, host: usize) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{host}.log"))).unwrap()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in &mut self.running {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            (1..=NODES).for_each(|host| eprintln!("node {host}:\n{}", self.log(host)));
        }
    }
}

#[test]
fn entries_get_through_a_network_without_large_packets_and_a_slow_one() {
    let _turn = turns::alone();
    let Some(net) = or_skipped(Net::new()) else {
        return;
    };
    let nodes = Nodes::start(net);
    let deadline = Instant::now() + Duration::from_secs(20);
    let put = ["put-machine", "-n", "m", "-v", "1", MACHINE];
    while nodes.cli(1, &put).is_err() {
        assert!(Instant::now() < deadline, "no leader in time");
        std::thread::sleep(Duration::from_millis(50));
    }
    nodes
        .cli(1, &["create-instance", "-m", "m", "-V", "1", "-i", "i"])
        .unwrap();
    let leader = loop {
        match nodes.leader() {
            Some(leader) => break leader,
            None => assert!(Instant::now() < deadline, "node 1 knows no leader"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };

    nodes.net.set_packet_max(1000);
    nodes.write(leader, 3000).unwrap();
    let said = "do not arrive although it answers heartbeats";
    assert!((1..=NODES).any(|host| nodes.log(host).contains(said)));
    // The first write that a follower forwards is lost with its connection. The next connection uses small packets.
    let follower = 1 + leader % NODES;
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(refused) = nodes.write(follower, 3000) {
        assert!(Instant::now() < deadline, "not forwarded: {refused}");
    }
    nodes.net.set_packet_max(1500);

    // The entry takes over three seconds to reach both followers, and the silence timeout is two seconds.
    nodes.net.set_rate("8mbit");
    let began = Instant::now();
    nodes.write(leader, 800_000).unwrap();
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "the network is not slow"
    );
}

//! What traces cost: events a second, and the node's processor time for each, in turns on one machine. Of a node without
//! traces, of one that samples one request in a hundred, and of one built before a change, if its binary is named.
//! No collector listens, so the spans are dropped.
//!
//! `cargo build --release -p rstmdb -p rstmdb-cli -p rstmdb-jepsen --bins --examples`, then
//! `RSTMDB_BIN_DIR=target/release target/release/examples/trace_cost ROUNDS SECONDS OTHER_BINARY`

use std::process::Command;

use rstmdb_jepsen::Error;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;

/// Each kind of node is measured this often, unless the first argument says otherwise.
const ROUNDS: usize = 5;
/// Seconds of load for each measurement, unless the second argument says otherwise.
const SECONDS: &str = "4";
/// Nothing listens on the port for tcpmux.
const NO_COLLECTOR: &str = "http://127.0.0.1:1";

struct Cost {
    events_per_second: f64,
    processor_us: f64,
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().and_then(|text| text.parse().ok());
    let seconds = arguments.next().unwrap_or_else(|| SECONDS.to_owned());
    let other = arguments.next();
    let mut kinds = vec![
        ("off", tool(None, false), Vec::new()),
        ("sample 0.01", tool(None, true), Vec::new()),
    ];
    if let Some(other) = &other {
        kinds.push(("other binary", tool(Some(other), false), Vec::new()));
    }
    println!("{:>14} {:>10} {:>20}", "", "events/s", "processor us/event");
    for _ in 0..rounds.unwrap_or(ROUNDS) {
        for (name, tool, costs) in &mut kinds {
            let cost = measure(tool, &seconds)?;
            println!(
                "{name:>14} {:>10.0} {:>20.2}",
                cost.events_per_second, cost.processor_us
            );
            costs.push(cost);
        }
    }
    let (_, _, off) = &kinds[0];
    for (name, _, costs) in &kinds[1..] {
        let ratio = |of: fn(&Cost) -> f64| median(off, of) / median(costs, of);
        println!(
            "medians, off against {name}: {:.3} of the events/s, {:.3} of the processor time",
            ratio(|cost| cost.events_per_second),
            ratio(|cost| cost.processor_us)
        );
    }
    Ok(())
}

/// Runs the node, or another binary with the node's arguments. The line of the shell takes the binary's place.
fn tool(binary: Option<&String>, traces: bool) -> Vec<String> {
    let mut line = vec!["env".to_owned()];
    if traces {
        line.push(format!("OTEL_EXPORTER_OTLP_ENDPOINT={NO_COLLECTOR}"));
    }
    if let Some(binary) = binary {
        let run_instead = "shift; exec \"$0\" \"$@\"";
        line.extend(["sh", "-c", run_instead, binary].map(str::to_owned));
    }
    line
}

fn measure(tool: &[String], seconds: &str) -> Result<Cost, Error> {
    let mut node =
        Node::prepare(&NodeConfig::for_tests().with("storage.wal_segment_size_mb", "64"))?;
    let mut under = Command::new(&tool[0]);
    under.args(&tool[1..]);
    node.launch_under(under)?;
    node.wait_ready()?;
    let cli = Cli::new(node.addr());
    let load = [
        "bench",
        "--op",
        "apply",
        "--connections",
        "64",
        "--in-flight",
        "16",
        "--duration",
        seconds,
    ];
    let before = node.cpu_time()?;
    let report = cli.json(&load)?;
    let used = node.cpu_time()?.saturating_sub(before);
    let ops = report["ops"].as_f64().unwrap_or_default();
    Ok(Cost {
        events_per_second: report["ops_per_second"].as_f64().unwrap_or_default(),
        processor_us: used.as_secs_f64() * 1e6 / ops,
    })
}

fn median(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

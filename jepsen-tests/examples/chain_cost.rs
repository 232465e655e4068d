//! What the chain costs: events a second, and the node's processor time for each, of a node that keeps the chain and of
//! one that acts as an older program does and keeps none, in turns on one machine.
//!
//! `cargo build --release -p rstmdb -p rstmdb-cli -p rstmdb-jepsen --bins --examples --features rstmdb-jepsen/planted-bugs`,
//! then `target/release/examples/chain_cost ROUNDS SECONDS`

use std::process::Command;
use std::time::Duration;

use rstmdb::planted::LEVEL_VARIABLE;
use rstmdb_jepsen::Error;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::process::node::Node;

/// Each kind of node is measured this often, unless the first argument says otherwise.
const ROUNDS: usize = 5;
/// Seconds of load for each measurement, unless the second argument says otherwise.
const SECONDS: &str = "4";
/// The feature level before the chain.
const WITHOUT_LEVEL: u64 = 1;

const RAISED_WITHIN: Duration = Duration::from_secs(10);

struct Cost {
    events_per_second: f64,
    processor_us: f64,
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().and_then(|text| text.parse().ok());
    let seconds = arguments.next().unwrap_or_else(|| SECONDS.to_owned());
    println!("{:>14} {:>10} {:>20}", "", "events/s", "processor us/event");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..rounds.unwrap_or(ROUNDS) {
        for (name, level, costs) in [
            ("without chain", Some(WITHOUT_LEVEL), &mut without),
            ("with chain", None, &mut with),
        ] {
            let cost = measure(level, &seconds)?;
            println!(
                "{name:>14} {:>10.0} {:>20.2}",
                cost.events_per_second, cost.processor_us
            );
            costs.push(cost);
        }
    }
    let ratio = |of: fn(&Cost) -> f64| median(&with, of) / median(&without, of);
    println!(
        "medians, with the chain against without: {:.3} of the events/s, {:.3} of the processor time",
        ratio(|cost| cost.events_per_second),
        ratio(|cost| cost.processor_us)
    );
    Ok(())
}

fn measure(level: Option<u64>, seconds: &str) -> Result<Cost, Error> {
    let mut node =
        Node::prepare(&NodeConfig::for_tests().with("storage.wal_segment_size_mb", "64"))?;
    let mut under = Command::new("env");
    if let Some(level) = level {
        under.arg(format!("{LEVEL_VARIABLE}={level}"));
    }
    node.launch_under(under)?;
    node.wait_ready()?;
    let cli = Cli::new(node.addr());
    // A new cluster begins at the first level and raises it by itself.
    within(RAISED_WITHIN, || {
        let info = cli.json(&["info"]).map_err(|error| error.to_string())?;
        match (info["feature_level"] == WITHOUT_LEVEL) == level.is_some() {
            true => Ok(()),
            false => Err(format!(
                "feature level {}: is the server built with --features planted-bugs?",
                info["feature_level"]
            )),
        }
    })?;
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
        processor_us: micros(used) / ops,
    })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

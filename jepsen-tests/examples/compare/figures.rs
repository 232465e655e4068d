//! What a load has shown, and the ratio of two.

use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rstmdb_jepsen::Error;
use rstmdb_jepsen::process::cli::Cli;
use serde_json::Value;

use super::Load;

/// Throughput and the median latency.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub per_second: f64,
    pub p50_us: f64,
}

/// Runs `rstmdb-cli bench` against each address at the same time, with an equal share of the connections.
pub fn bench(addrs: &[SocketAddr], load: Load, time: Duration) -> Result<Figures, Error> {
    let of_each = (load.connections / addrs.len()).max(1).to_string();
    let (in_flight, time) = (load.in_flight.to_string(), format!("{}s", time.as_secs()));
    let args = [
        "bench",
        "--op",
        load.op,
        "--connections",
        &of_each,
        "--in-flight",
        &in_flight,
    ];
    let args: Vec<&str> = args.into_iter().chain(["--duration", &time]).collect();
    let used = addrs.len().min(load.connections);
    let all = thread::scope(|scope| {
        let benches = addrs[..used].iter().map(|addr| {
            let args = &args;
            scope.spawn(move || Cli::new(*addr).json(args))
        });
        let benches: Vec<_> = benches.collect();
        let ended = benches.into_iter().map(|bench| {
            let panicked = |_| Error::Protocol("a bench panicked".to_owned());
            bench.join().map_err(panicked)?
        });
        ended.collect::<Result<Vec<Value>, Error>>()
    })?;
    let number = |report: &Value, path: &str| {
        let found = report.pointer(path).and_then(Value::as_f64);
        found.ok_or_else(|| Error::Protocol(format!("no {path} in {report}")))
    };
    let mut sum = Figures {
        per_second: 0.0,
        p50_us: 0.0,
    };
    for report in &all {
        sum.per_second += number(report, "/ops_per_second")?;
        sum.p50_us += number(report, "/latency_us/p50")? / all.len() as f64;
    }
    Ok(sum)
}

/// The same load against nodes and against another server, in turns.
pub struct Comparison {
    pub other: &'static str,
    pub nodes: u64,
    pub load: Load,
    pub turns: Vec<(Figures, Figures)>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load {
            op,
            connections,
            in_flight,
        } = self.load;
        let one = connections * in_flight == 1;
        let measure = |figures: &Figures| match one {
            true => figures.p50_us,
            false => figures.per_second,
        };
        let (what, unit) = if one {
            ("p50", "µs")
        } else {
            ("throughput", "/s")
        };
        write!(
            f,
            "{op} {connections} × {in_flight}, nodes: {}: {what} ",
            self.nodes
        )?;
        for (ours, theirs) in &self.turns {
            write!(f, "{:.0}:{:.0} ", measure(ours), measure(theirs))?;
        }
        let mut ratios: Vec<f64> = self
            .turns
            .iter()
            .map(|(ours, theirs)| measure(ours) / measure(theirs))
            .collect();
        ratios.sort_by(f64::total_cmp);
        let middle = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
        write!(f, "{unit}; {middle:.2} of {}", self.other)
    }
}

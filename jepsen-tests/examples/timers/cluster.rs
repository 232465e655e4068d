//! A million timers that are due at the same moment.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::latencies::Latencies;
use rstmdb_jepsen::wal::{self, PAGE_RECORDS};
use rstmdb_jepsen::{Error, admin};

use super::arm;
use super::clients::Clients;

/// How long the idle cluster is looked at, and how long clients write before timers are due.
const IDLE: Duration = Duration::from_secs(10);
/// Instances that are surely created in a second.
const CREATED_PER_SECOND: u64 = 15_000;
/// Timers that surely fire in a second, also while leaders are killed.
const FIRED_PER_SECOND: u64 = 500;
const POLL: Duration = Duration::from_millis(200);
/// How long a leader leads before it is killed.
const LEADS: Duration = Duration::from_secs(2);

pub fn run(timers: u64, kills: u64) -> Result<(), Error> {
    println!("{timers} timers due at the same moment, three nodes; {kills} kills of the leader");
    let config = NodeConfig::default().with("storage.min_free_mb", "16");
    let mut cluster = Cluster::start(3, &config)?;
    let leader = cluster.leader()?;
    let mut connection = cluster.connect(leader)?;
    arm::define(&mut connection)?;

    let lead = Duration::from_secs(timers / CREATED_PER_SECOND) + 4 * IDLE;
    let (due, due_ms) = (Instant::now() + lead, unix_ms()? + lead.as_millis() as u64);
    let began = Instant::now();
    arm::create(&mut connection, "deadline", timers, due_ms)?;
    let took = began.elapsed().as_secs_f64();
    println!(
        "armed one by one, durably: {took:.1} s, {:.0}/s",
        timers as f64 / took
    );
    arm::report_idle(&mut connection, IDLE)?;

    let clients = Clients::start(&mut connection, &cluster.addrs_from(leader))?;
    let from = arm::last_applied(&mut connection)?;
    let idle_from = Instant::now() + IDLE / 10;
    let left = due.saturating_duration_since(Instant::now());
    if left < IDLE {
        return Err(Error::Protocol(
            "arming took so long that the timers are due too early".to_owned(),
        ));
    }
    std::thread::sleep(left);
    let fired_in = wait_fired(&mut cluster, due, timers, kills)?;
    let end = Instant::now();
    let noticed = clients.stop()?;
    println!(
        "all fired {:.1} s after they were due: {:.0}/s",
        fired_in.as_secs_f64(),
        timers as f64 / fired_in.as_secs_f64()
    );
    let idle = noticed.between(idle_from, due - Duration::from_secs(1));
    let busy = noticed.between(due, due + fired_in);
    report("before timers were due", idle);
    report("while timers fired", busy);
    let ratio = busy.p99.as_secs_f64() / idle.p99.as_secs_f64();
    println!("p99 of clients while timers fired: {ratio:.1} times that before");
    println!("done after {:.0?}", end - began);
    check(&cluster, from, timers, due_ms)
}

fn unix_ms() -> Result<u64, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.map_err(|error| Error::Protocol(error.to_string()))?;
    u64::try_from(since.as_millis()).map_err(|error| Error::Protocol(error.to_string()))
}

fn report(when: &str, latencies: Latencies) {
    println!(
        "clients {when}: {} writes, p50 {:.1?}, p99 {:.1?}, slowest {:.1?}",
        latencies.count, latencies.p50, latencies.p99, latencies.max
    );
}

/// Waits until no timer is armed, and kills the leader so often meanwhile. Returns how long it took from `due` on.
fn wait_fired(
    cluster: &mut Cluster,
    due: Instant,
    timers: u64,
    kills: u64,
) -> Result<Duration, Error> {
    let most = Duration::from_secs(timers / FIRED_PER_SECOND + 60 + 20 * kills);
    let mut left = kills;
    let mut next_kill = Instant::now() + LEADS;
    loop {
        let armed: Option<f64> = cluster
            .running()
            .into_iter()
            .filter_map(|id| armed(cluster, id).ok())
            .reduce(f64::max);
        if armed == Some(0.0) {
            println!("{} of {kills} kills were done", kills - left);
            return Ok(due.elapsed());
        }
        if due.elapsed() > most {
            return Err(Error::NotInTime {
                reason: format!("{armed:?} timers are armed"),
                timeout: most,
            });
        }
        if left > 0 && Instant::now() >= next_kill {
            let leader = cluster.leader()?;
            cluster.kill(leader)?;
            cluster.restart(leader)?;
            left -= 1;
            next_kill = Instant::now() + LEADS;
        }
        std::thread::sleep(POLL);
    }
}

fn armed(cluster: &Cluster, id: u64) -> Result<f64, Error> {
    let addr = cluster.node(id)?.admin_addr();
    admin::metric(addr, "rstmdb_timers_armed").map_err(Error::io("the metrics"))
}

/// Reads the whole log: each timer has fired once, and none early.
fn check(cluster: &Cluster, from: u64, timers: u64, due_ms: u64) -> Result<(), Error> {
    cluster.wait_converged()?;
    let leader = cluster.leader()?;
    let mut fired = vec![0_u8; timers as usize];
    let (mut early, mut latest_ms) = (0, 0);
    wal::visit(
        &mut cluster.connect(leader)?,
        from,
        PAGE_RECORDS,
        |record| {
            let number = arm::number("deadline", record.text("instance_id"));
            let fired = number.and_then(|number| fired.get_mut(number as usize));
            let (Some(fired), false) = (fired, record.entry["timer"].is_null()) else {
                return;
            };
            *fired = fired.saturating_add(1);
            let time_ms = record.entry["time_ms"].as_u64().unwrap_or_default();
            early += u64::from(time_ms < due_ms);
            latest_ms = latest_ms.max(time_ms.saturating_sub(due_ms));
        },
    )?;
    let count = |wanted: fn(u8) -> bool| fired.iter().filter(|count| wanted(**count)).count();
    let (lost, again) = (count(|it| it == 0), count(|it| it > 1));
    println!(
        "in the log: {} fired once, {again} more than once, {lost} never, {early} early; the last one {latest_ms} ms late",
        count(|it| it == 1)
    );
    match (lost, again, early) {
        (0, 0, 0) => Ok(()),
        _ => Err(Error::Protocol(
            "timers did not fire as they must".to_owned(),
        )),
    }
}

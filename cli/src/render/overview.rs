//! What `summary` found, for programs and on one screen.

use std::time::Duration;

use rstmdb_rcp::message::cluster::ClusterStatusResult;
use rstmdb_rcp::text::counted;
use serde::Serialize;

use super::output::{Paint, printable};
use super::status;
use super::table::TextTable;
use crate::Error;

/// States that a row has before the rest of them is only counted.
const STATES_MAX: usize = 8;
/// Machines that a screen has at least, however small it is.
const MACHINES_MIN: usize = 5;
/// Lines of a summary that are no machines, without what needs attention.
const OTHER_LINES: usize = 10;

/// All of it. Later versions may add fields.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// The server that answers.
    pub server: ServerFacts,
    /// As CLUSTER_STATUS tells it.
    pub cluster: Option<ClusterStatusResult<'static>>,
    /// By name.
    pub machines: Vec<MachineCounts>,
    /// Machines that are not among these, because there are too many.
    pub machines_left_out: usize,
    /// The log of the server that answers.
    pub log: Option<LogExtent>,
    /// Timers.
    pub timers: Option<TimerCounts>,
    /// Locks.
    pub locks: Option<LockCounts>,
    /// For people, one thing each.
    pub attention: Vec<String>,
}

/// The server that answers.
#[derive(Debug, Default, Serialize)]
pub struct ServerFacts {
    /// Where it was reached.
    pub address: String,
    /// Of its program.
    pub version: String,
    /// Its id.
    pub node_id: Option<u64>,
    /// leader, follower, learner or candidate.
    pub role: Option<String>,
    /// Since it started.
    pub uptime_secs: Option<u64>,
    /// Open client connections.
    pub connections: Option<u64>,
}

/// A machine and its instances.
#[derive(Debug, Default, Serialize)]
pub struct MachineCounts {
    /// Its name.
    pub machine: String,
    /// Ascending.
    pub versions: Vec<u32>,
    /// Of all versions.
    pub instances: u64,
    /// The states that have instances; the one with the most comes first.
    pub states: Vec<StateCount>,
}

/// A state and its instances.
#[derive(Debug, Default, Serialize)]
pub struct StateCount {
    /// Its name.
    pub state: String,
    /// Of all versions.
    pub count: u64,
}

/// The log that a server has.
#[derive(Debug, Default, Serialize)]
pub struct LogExtent {
    /// The first offset that can be read.
    pub earliest_offset: Option<u64>,
    /// The last one.
    pub latest_offset: u64,
    /// Entries.
    pub entries: u64,
    /// Files.
    pub segments: u64,
    /// Their size.
    pub bytes: u64,
}

/// Timers.
#[derive(Debug, Default, Serialize)]
pub struct TimerCounts {
    /// Of all machines.
    pub armed: u64,
    /// Of these, how many are overdue; counted up to 100,000.
    pub overdue: u64,
    /// How many do not fire because too many of their instance have fired; counted up to 1,000.
    pub suspended: u64,
    /// When the first one is due, Unix milliseconds.
    pub next_due_at: Option<u64>,
}

/// Locks.
#[derive(Debug, Default, Serialize)]
pub struct LockCounts {
    /// Counted up to 1,000.
    pub held: u64,
    /// Owners that wait for these.
    pub waiting: u64,
    /// Whether there are more.
    pub more: bool,
}

impl Summary {
    /// One answer. An error becomes one of the things that need attention: the rest is shown all the same.
    pub fn part<T>(&mut self, what: &str, found: Result<T, Error>) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                self.attention
                    .push(format!("{what} cannot be shown: {error}"));
                None
            }
        }
    }

    /// Finds what needs attention.
    pub fn look(&mut self) {
        if let Some(cluster) = &self.cluster {
            self.attention.extend(status::problems(cluster));
        }
        let Some(timers) = &self.timers else { return };
        let paused = self
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.automation.as_ref())
            .is_some_and(|automation| automation.automation == "paused");
        if timers.overdue > 0 && !paused {
            let overdue = counted(timers.overdue, "timer is", "timers are");
            self.attention.push(format!(
                "{overdue} overdue: `rstmdb-cli timers list` shows them first"
            ));
        }
        if timers.suspended > 0 {
            let suspended = counted(timers.suspended, "timer does", "timers do");
            self.attention.push(format!(
                "{suspended} not fire, because too many of the same instance have fired within a minute: \
                 `rstmdb-cli timers list --suspended` shows them, `rstmdb-cli timers resume ID` lets them fire"
            ));
        }
    }
}

/// The summary for people, in so many rows if that is possible.
pub fn render(summary: &Summary, rows: usize, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(cluster) = &summary.cluster {
        text.push_str(&format!("{}\n", status::headline(cluster)));
    }
    text.push_str(&format!("{}\n\n", printable(&server(&summary.server))));
    let room = rows.saturating_sub(OTHER_LINES + summary.attention.len());
    text.push_str(&machines(summary, room.max(MACHINES_MIN), paint));
    text.push('\n');
    let parts = [
        ("log", summary.log.as_ref().map(log)),
        (
            "timers",
            summary.timers.as_ref().map(|it| timers(it, paint)),
        ),
        ("locks", summary.locks.as_ref().map(locks)),
    ];
    for (name, what) in parts {
        if let Some(what) = what {
            text.push_str(&format!("{}  {what}\n", paint.bold(&format!("{name:6}"))));
        }
    }
    if summary.attention.is_empty() {
        text.push_str(&format!("{}\n", paint.highlight("nothing needs attention")));
    }
    for problem in &summary.attention {
        text.push_str(&format!("{}\n", paint.alarm(&printable(problem))));
    }
    text
}

fn server(server: &ServerFacts) -> String {
    let mut text = server.address.clone();
    if let Some(id) = server.node_id {
        text.push_str(&format!(": node {id}"));
    }
    if let Some(role) = &server.role {
        text.push_str(&format!(", {role}"));
    }
    text.push_str(&format!(", version {}", server.version));
    if let Some(secs) = server.uptime_secs {
        let up = jiff::SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX));
        text.push_str(&format!(", up {up:#}"));
    }
    if let Some(connections) = server.connections {
        let connections = counted(connections, "connection", "connections");
        text.push_str(&format!(", {connections}"));
    }
    text
}

fn machines(summary: &Summary, rows: usize, paint: Paint) -> String {
    let mut by_size: Vec<&MachineCounts> = summary.machines.iter().collect();
    by_size.sort_by_key(|machine| std::cmp::Reverse(machine.instances));
    let mut table = TextTable::new(["machine", "versions", "instances", "states"])
        .keeping_whole(&["instances"]);
    for machine in by_size.iter().take(rows) {
        let versions = machine.versions.iter().map(u32::to_string);
        let versions: Vec<String> = versions.collect();
        table.push([
            machine.machine.clone(),
            versions.join(", "),
            machine.instances.to_string(),
            states(&machine.states, paint.wide),
        ]);
    }
    if table.is_empty() {
        return format!("{}\n", paint.dim("no machines"));
    }
    let mut text = table.render(paint);
    let more: Vec<&&MachineCounts> = by_size.iter().skip(rows).collect();
    if !more.is_empty() {
        let instances: u64 = more.iter().map(|machine| machine.instances).sum();
        let line = format!(
            "{} with {}: -o wide shows them",
            counted(more.len() as u64, "more machine", "more machines"),
            counted(instances, "instance", "instances")
        );
        text.push_str(&format!("{}\n", paint.dim(&line)));
    }
    if summary.machines_left_out > 0 {
        let line = format!(
            "{} more machines were not counted",
            summary.machines_left_out
        );
        text.push_str(&format!("{}\n", paint.dim(&line)));
    }
    text
}

fn states(states: &[StateCount], all: bool) -> String {
    let shown = if all { states.len() } else { STATES_MAX };
    let each = states.iter().take(shown);
    let mut parts: Vec<String> = each
        .map(|it| format!("{} {}", it.state, it.count))
        .collect();
    if states.len() > shown {
        parts.push(format!("{} more", states.len() - shown));
    }
    parts.join(", ")
}

fn log(log: &LogExtent) -> String {
    let size = size(log.bytes);
    let from = match log.earliest_offset {
        Some(earliest) => format!("offsets {earliest} to {}", log.latest_offset),
        None => format!("up to offset {}", log.latest_offset),
    };
    let segments = counted(log.segments, "segment", "segments");
    format!("{from}, {size} in {segments}")
}

/// With one digit behind the point, so that it is never far from what it is.
fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1024 => return counted(bytes, "byte", "bytes"),
        _ if bytes < 1 << 20 => (1 << 10, "KiB"),
        _ if bytes < 1 << 30 => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    };
    // Cut, not rounded: 1023.99 KiB are not 1024 KiB.
    let tenths = u128::from(bytes) * 10 / unit;
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        tenth => format!("{}.{tenth} {name}", tenths / 10),
    }
}

fn timers(timers: &TimerCounts, paint: Paint) -> String {
    let mut text = format!("{} armed, {} overdue", timers.armed, timers.overdue);
    if timers.suspended > 0 {
        text.push_str(&format!(", {} suspended", timers.suspended));
    }
    if let Some(due) = timers.next_due_at.filter(|_| timers.overdue == 0) {
        let now = u64::try_from(paint.now_ms()).unwrap_or(0);
        let left = Duration::from_secs(due.saturating_sub(now) / 1000);
        let left = jiff::SignedDuration::try_from(left).unwrap_or_default();
        text.push_str(&format!(", the next in {left:#}"));
    }
    text
}

fn locks(locks: &LockCounts) -> String {
    let more = if locks.more { " and more" } else { "" };
    let waiting = counted(locks.waiting, "owner waits", "owners wait");
    format!("{} held{more}, {waiting}", locks.held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let machine = |name: &str, instances, states: &[(&str, u64)]| MachineCounts {
            machine: name.to_owned(),
            versions: vec![1, 2],
            instances,
            states: states
                .iter()
                .map(|(state, count)| StateCount {
                    state: (*state).to_owned(),
                    count: *count,
                })
                .collect(),
        };
        Summary {
            server: ServerFacts {
                address: "db1:7401".to_owned(),
                version: "0.1.0".to_owned(),
                node_id: Some(1),
                role: Some("leader".to_owned()),
                uptime_secs: Some(7260),
                connections: Some(3),
            },
            machines: vec![
                machine("bill", 3, &[("open", 3)]),
                machine("order", 12, &[("PAID", 10), ("CART", 2)]),
            ],
            log: Some(LogExtent {
                earliest_offset: Some(1),
                latest_offset: 1234,
                entries: 1234,
                segments: 1,
                bytes: 5 << 20,
            }),
            timers: Some(TimerCounts {
                armed: 2,
                ..TimerCounts::default()
            }),
            locks: Some(LockCounts {
                held: 1,
                waiting: 2,
                more: false,
            }),
            ..Summary::default()
        }
    }

    #[test]
    fn a_summary_is_one_screen_with_the_largest_machine_first() {
        let expected = "\
db1:7401: node 1, leader, version 0.1.0, up 2h 1m, 3 connections

machine  versions  instances  states
order    1, 2      12         PAID 10, CART 2
bill     1, 2      3          open 3

log     offsets 1 to 1234, 5 MiB in 1 segment
timers  2 armed, 0 overdue
locks   1 held, 2 owners wait
nothing needs attention
";
        assert_eq!(render(&summary(), 24, Paint::PLAIN), expected);
    }

    #[test]
    fn a_size_is_not_rounded_up() {
        for (bytes, said) in [
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1025, "1 KiB"),
            (1600, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            ((5 << 20) + (900 << 10), "5.8 MiB"),
            (3 << 30, "3 GiB"),
        ] {
            assert_eq!(size(bytes), said);
        }
    }

    #[test]
    fn on_a_small_screen_the_smaller_machines_are_counted_only() {
        let mut summary = summary();
        for n in 0..40 {
            summary.machines.push(MachineCounts {
                machine: format!("m{n}"),
                instances: 1,
                ..MachineCounts::default()
            });
        }
        let text = render(&summary, 24, Paint::PLAIN);
        assert!(text.lines().count() <= 24, "{text}");
        assert!(
            text.contains("\n28 more machines with 28 instances"),
            "{text}"
        );
        assert!(render(&summary, usize::MAX, Paint::PLAIN).contains("m39"));
    }

    #[test]
    fn what_needs_attention_is_said() {
        let mut summary = summary();
        summary.timers = Some(TimerCounts {
            armed: 9,
            overdue: 1,
            suspended: 2,
            next_due_at: None,
        });
        let no: Option<()> = summary.part("locks", Err(Error::Failed("no".to_owned())));
        assert_eq!(no, None);
        summary.look();
        let text = render(&summary, 24, Paint::PLAIN);
        for line in [
            "\n1 timer is overdue: ",
            "\n2 timers do not fire, ",
            "\nlocks cannot be shown: no\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("nothing needs attention"), "{text}");
    }
}

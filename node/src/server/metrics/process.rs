//! What the system says about this process, under the names that all programs use for it. From `/proc`: where that is
//! not, there are no such metrics.

use std::fs;

use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::families;

/// The process as it was found at the start.
pub(super) struct ProcessMetrics {
    /// When it began, in seconds since 1970.
    start_secs: Option<f64>,
}

/// Fields of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// After the start of the system.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may have spaces and parentheses itself.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbered from 1, as in the manual page of proc: the first behind the name is 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }

    fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }
}

impl ProcessMetrics {
    pub(super) fn new() -> Self {
        let booted = || {
            let text = fs::read_to_string("/proc/stat").ok()?;
            let mut lines = text.lines();
            let booted = lines.find_map(|line| line.strip_prefix("btime "))?;
            booted.trim().parse::<u64>().ok()
        };
        let start_secs = Stat::now()
            .zip(booted())
            .map(|(stat, booted)| number(booted) + secs(stat.start_ticks));
        Self { start_secs }
    }

    /// All of them, by name.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let mut found = Vec::new();
        let mut add = |name, help, value: Option<f64>| {
            found.extend(value.map(|value| gauge(name, help, value)));
        };
        let stat = Stat::now();
        let of_stat = |read: fn(&Stat) -> u64| stat.as_ref().map(|stat| number(read(stat)));
        let open = fs::read_dir("/proc/self/fd").ok();
        add(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            getrlimit(Resource::Nofile).current.map(number),
        );
        add(
            "process_open_fds",
            "Number of open file descriptors.",
            open.map(|open| number(open.count() as u64)),
        );
        add(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            of_stat(|stat| stat.resident_pages * page_size() as u64),
        );
        add(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            self.start_secs,
        );
        add(
            "process_threads",
            "Number of OS threads in the process.",
            of_stat(|stat| stat.threads),
        );
        add(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            of_stat(|stat| stat.virtual_bytes),
        );
        found.extend(stat.map(|stat| {
            let mut metric = Metric::default();
            let mut counter = Counter::default();
            counter.set_value(secs(stat.cpu_ticks));
            metric.set_counter(counter);
            families::family(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
                MetricType::COUNTER,
                vec![metric],
            )
        }));
        found
    }
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    families::family(name, help, MetricType::GAUGE, vec![metric])
}

fn secs(ticks: u64) -> f64 {
    number(ticks) / number(clock_ticks_per_second())
}

/// Exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let text = "7 (a) b) (c) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 12 0 123456 1048576 300 18446744073709551615 1";
        let expected = Stat {
            cpu_ticks: 300,
            threads: 12,
            start_ticks: 123_456,
            virtual_bytes: 1_048_576,
            resident_pages: 300,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        for text in ["", "7 (a) S 1", "7 a S"] {
            assert_eq!(Stat::parse(text), None, "{text}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_all_seven_and_they_are_plausible() {
        let metrics = ProcessMetrics::new();
        let families = metrics.families();
        assert_eq!(families.len(), 7);
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name);
            family.unwrap().get_metric()[0].get_gauge().get_value()
        };
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let age = now.as_secs_f64() - value("process_start_time_seconds");
        // The time of boot has whole seconds.
        assert!((-2.0..86_400.0).contains(&age), "{age}");
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_open_fds") < value("process_max_fds"));
        assert!(value("process_threads") >= 1.0);
    }
}

//! What a server counts: /metrics of its admin HTTP, in Prometheus' text format.

use std::collections::BTreeMap;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer.
const BYTES_MAX: u64 = 8 << 20;
/// Requests that wait for something to happen: how long they take says nothing about the server.
const WAITING: [&str; 2] = ["LOCK_ACQUIRE", "CLOCK_ADVANCE"];

/// The counters that matter here.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Scrape {
    /// Requests answered.
    pub(super) requests: f64,
    /// Requests that took at most so many seconds, as a number's bits: it is positive, so they have its order.
    pub(super) within: BTreeMap<u64, f64>,
    /// Syncs of the log.
    pub(super) syncs: f64,
    /// How long all of them took, in seconds.
    pub(super) sync_secs: f64,
}

impl Scrape {
    /// What has been counted since another scrape; none if the server has started anew.
    pub(super) fn since(&self, before: &Scrape) -> Option<Scrape> {
        let within = self.within.iter().map(|(le, count)| {
            let earlier = before.within.get(le).copied().unwrap_or(0.0);
            (*le, count - earlier)
        });
        let since = Scrape {
            requests: self.requests - before.requests,
            within: within.collect(),
            syncs: self.syncs - before.syncs,
            sync_secs: self.sync_secs - before.sync_secs,
        };
        (since.requests >= 0.0 && since.syncs >= 0.0).then_some(since)
    }

    /// The bound, in seconds, below which this part of the requests lies; none if there were none.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.within.values().copied().fold(0.0, f64::max);
        if all <= 0.0 {
            return None;
        }
        let bound = self.within.iter().find(|(_, count)| **count >= all * part);
        bound.map(|(le, _)| f64::from_bits(*le))
    }
}

/// Reads the counters of the server whose admin HTTP listens there.
pub(super) async fn scrape(addr: &str) -> io::Result<Scrape> {
    let addr = addr.trim_start_matches("http://");
    let addr = addr.split('/').next().unwrap_or(addr);
    let mut stream = TcpStream::connect(addr).await?;
    // HTTP/1.0: the answer is not cut into chunks, and ends with the connection.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(BYTES_MAX).read_to_string(&mut answer).await?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("no answer of HTTP"))?;
    let status = head.split(' ').nth(1);
    match status {
        Some("200") => Ok(read(body)),
        _ => Err(io::Error::other("no metrics there")),
    }
}

fn read(text: &str) -> Scrape {
    let mut scrape = Scrape::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let Ok(value) = value.parse::<f64>() else {
            continue;
        };
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        match name {
            "rstmdb_requests_total" => scrape.requests += value,
            "rstmdb_request_duration_seconds_bucket" => {
                let waits = label(labels, "op").is_some_and(|op| WAITING.contains(&op));
                let le = label(labels, "le").and_then(|le| le.parse::<f64>().ok());
                if let Some(le) = le.filter(|le| *le > 0.0 && !waits) {
                    *scrape.within.entry(le.to_bits()).or_default() += value;
                }
            }
            "rstmdb_wal_fsyncs_total" => scrape.syncs = value,
            "rstmdb_wal_fsync_duration_seconds_sum" => scrape.sync_secs = value,
            _ => {}
        }
    }
    scrape
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let of = |part: &'a str| part.trim_end_matches('}').split_once('=');
    let mut pairs = labels.split(',').filter_map(of);
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    Some(value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = r#"# HELP rstmdb_requests_total Requests answered.
# TYPE rstmdb_requests_total counter
rstmdb_requests_total{op="GET_INSTANCE"} 90
rstmdb_requests_total{op="LOCK_ACQUIRE"} 10
rstmdb_request_duration_seconds_bucket{op="GET_INSTANCE",le="0.001"} 80
rstmdb_request_duration_seconds_bucket{op="GET_INSTANCE",le="0.01"} 89
rstmdb_request_duration_seconds_bucket{op="GET_INSTANCE",le="+Inf"} 90
rstmdb_request_duration_seconds_bucket{op="LOCK_ACQUIRE",le="+Inf"} 10
rstmdb_wal_fsyncs_total 7
rstmdb_wal_fsync_duration_seconds_sum 0.5
"#;

    #[test]
    fn requests_and_their_latency_are_read_without_those_that_wait() {
        let scrape = read(TEXT);
        assert_eq!(
            (scrape.requests, scrape.syncs, scrape.sync_secs),
            (100.0, 7.0, 0.5)
        );
        assert_eq!(scrape.quantile(0.5), Some(0.001));
        assert_eq!(scrape.quantile(0.95), Some(0.01));
        assert_eq!(scrape.quantile(1.0), Some(f64::INFINITY));
    }

    #[test]
    fn only_what_came_between_counts_and_a_restart_is_noticed() {
        let before = read(TEXT);
        let now = read(&TEXT.replace(" 89\n", " 99\n").replace(" 90\n", " 100\n"));
        let since = now.since(&before).unwrap();
        assert_eq!(since.requests, 10.0);
        assert_eq!(since.quantile(0.5), Some(0.01));
        assert_eq!(before.since(&now), None);
        assert_eq!(before.since(&before).unwrap().quantile(0.5), None);
    }
}

//! The audit log: a line of JSON for each write, each change of the node, and each refusal.
//!
//! A session hands a line over and goes on; one thread writes. If the thread cannot keep up, or the disk fails, lines
//! are lost rather than requests held up: a full disk of logs must not stop the database. Each loss is counted, logged
//! and, as soon as a line can be written again, noted in the file itself.

mod file;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::server::config::AuditConfig;
use crate::server::metrics::Metrics;
use file::RotatedFile;

/// Lines that may wait to be written.
const QUEUE_LINES: usize = 8192;
/// Lines that are written at once.
const WRITTEN_AT_ONCE: usize = 512;
/// At the end of the node, the lines that wait may take this long.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between log lines that say that the audit log loses lines.
const SAY_INTERVAL: Duration = Duration::from_secs(10);

/// What the log says of one operation.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AuditRecord<'a> {
    /// The client's name; empty without authentication.
    pub(crate) name: &'a str,
    /// Where it comes from.
    pub(crate) address: IpAddr,
    /// `rcp` or `http`.
    pub(crate) protocol: &'static str,
    /// The operation.
    pub(crate) op: &'a str,
    /// The machine, if the request or its refusal names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<&'a str>,
    /// The instance or the lock, if the request names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<&'a str>,
    /// `ok`, the code of the error, or `UNKNOWN` if the client has gone before the answer.
    pub(crate) outcome: &'a str,
    /// The request's id.
    pub(crate) request_id: &'a str,
    /// For an operation of a batch: its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<usize>,
    /// For a wrong token: how many have come from this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrong_tokens: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    #[serde(flatten)]
    record: &'a AuditRecord<'a>,
}

#[derive(Serialize)]
struct LostLine<'a> {
    time: &'a str,
    lost: u64,
}

/// The audit log of a node. It ends, with what waits, when it is dropped.
pub(crate) struct AuditLog {
    /// None where the log is off.
    queue: Option<SyncSender<String>>,
    losses: Arc<Losses>,
    ended: Mutex<Option<Receiver<()>>>,
}

/// Lines that are lost.
struct Losses {
    metrics: Arc<Metrics>,
    /// Since the file last said so.
    untold: AtomicU64,
    said: Mutex<Option<Instant>>,
}

impl AuditLog {
    /// Opens the file, where one is configured.
    ///
    /// # Errors
    /// When it cannot be opened for writing.
    pub(crate) fn open(config: &AuditConfig, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let losses = Arc::new(Losses {
            metrics,
            untold: AtomicU64::new(0),
            said: Mutex::new(None),
        });
        let Some(path) = &config.file else {
            return Ok(Self {
                queue: None,
                losses,
                ended: Mutex::new(None),
            });
        };
        let file = RotatedFile::open(path, config.bytes_max, config.keep)?;
        let (queue, lines) = sync_channel(QUEUE_LINES);
        let (end, ended) = sync_channel(0);
        let writer = Writer {
            file,
            lines,
            losses: losses.clone(),
        };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || {
                writer.run();
                drop(end);
            })?;
        tracing::info!(path = %Path::display(path), "writing the audit log");
        Ok(Self {
            queue: Some(queue),
            losses,
            ended: Mutex::new(Some(ended)),
        })
    }

    /// Whether anything is written.
    pub(crate) fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Hands a record over to be written.
    pub(crate) fn write(&self, record: &AuditRecord<'_>) {
        let Some(queue) = &self.queue else {
            return;
        };
        let time = now();
        let line = Line {
            time: &time,
            record,
        };
        let sent = serde_json::to_string(&line).map(|text| queue.try_send(text + "\n"));
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(TrySendError::Full(_))) => self.losses.count(1, &"the disk does not keep up"),
            Ok(Err(TrySendError::Disconnected(_))) => self.losses.count(1, &"its thread has ended"),
            Err(error) => self.losses.count(1, &error),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.lock().take();
        if let Some(Err(RecvTimeoutError::Timeout)) = ended.map(|it| it.recv_timeout(END_TIMEOUT)) {
            tracing::error!("the last lines of the audit log were not written in time");
        }
    }
}

impl Losses {
    fn count(&self, lines: u64, why: &dyn std::fmt::Display) {
        self.metrics.audit_lost(lines);
        self.untold.fetch_add(lines, Ordering::Relaxed);
        let mut said = self.said.lock();
        if said.is_none_or(|said| said.elapsed() >= SAY_INTERVAL) {
            *said = Some(Instant::now());
            tracing::error!(reason = %why, "the audit log loses lines: see rstmdb_audit_records_lost_total");
        }
    }
}

struct Writer {
    file: RotatedFile,
    lines: Receiver<String>,
    losses: Arc<Losses>,
}

impl Writer {
    /// Until the log is dropped.
    fn run(mut self) {
        while let Ok(first) = self.lines.recv() {
            let more = self.lines.try_iter().take(WRITTEN_AT_ONCE - 1);
            let lines: Vec<String> = std::iter::once(first).chain(more).collect();
            self.write(&lines);
        }
    }

    fn write(&mut self, lines: &[String]) {
        let untold = self.losses.untold.swap(0, Ordering::Relaxed);
        let mut text = match untold {
            0 => String::new(),
            lost => lost_line(lost),
        };
        text.extend(lines.iter().map(String::as_str));
        match self.file.append(text.as_bytes()) {
            Ok(()) => self.losses.metrics.audit_written(lines.len() as u64),
            Err(error) => {
                self.losses.untold.fetch_add(untold, Ordering::Relaxed);
                self.losses.count(lines.len() as u64, &error);
            }
        }
    }
}

fn lost_line(lost: u64) -> String {
    let time = now();
    let line = LostLine { time: &time, lost };
    serde_json::to_string(&line).map_or_else(|_| String::new(), |text| text + "\n")
}

fn now() -> String {
    Timestamp::now().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn log(path: PathBuf, bytes_max: u64, keep: usize) -> (AuditLog, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new().unwrap());
        let config = AuditConfig {
            file: Some(path),
            bytes_max,
            keep,
        };
        let log = AuditLog::open(&config, metrics.clone()).unwrap();
        (log, metrics)
    }

    fn record<'a>(instance: &'a str, outcome: &'a str) -> AuditRecord<'a> {
        AuditRecord {
            name: "shop",
            address: [127, 0, 0, 1].into(),
            protocol: "rcp",
            op: "APPLY_EVENT",
            machine: None,
            instance: Some(instance),
            outcome,
            request_id: "1",
            index: None,
            wrong_tokens: None,
        }
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[test]
    fn each_record_is_a_line_for_its_owner_alone_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let (log, _metrics) = log(path.clone(), 1 << 20, 2);
        let nasty = "a\nb\u{1b}[31m\"}{\u{2028}";
        log.write(&record(nasty, "ok"));
        drop(log);
        let written = lines(&path);
        assert_eq!(written.len(), 1);
        assert_eq!(written[0]["instance"], nasty);
        assert_eq!(written[0]["outcome"], "ok");
        assert!(written[0]["time"].as_str().unwrap().ends_with('Z'));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_full_is_rotated_and_only_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        for n in 0..6 {
            // A log for each line, so that no two lines are written at once.
            let (log, _metrics) = log(path.clone(), 200, 2);
            log.write(&record(&format!("i{n}"), "ok"));
        }
        let last = |name: &str| lines(&dir.path().join(name)).pop().unwrap()["instance"].clone();
        assert_eq!(last("audit.jsonl"), "i5");
        assert_eq!(last("audit.jsonl.1"), "i4");
        assert_eq!(last("audit.jsonl.2"), "i3");
        assert!(!dir.path().join("audit.jsonl.3").exists());
    }

    #[test]
    fn what_a_failing_disk_loses_is_counted_and_noted_once_it_works_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("logs");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        let (log, metrics) = log(path.clone(), 1, 1);
        let wait = |until: &dyn Fn() -> bool| {
            for _ in 0..500 {
                if until() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("it has not come");
        };
        log.write(&record("first", "ok"));
        wait(&|| metrics.audit_counts() == (1, 0));
        std::fs::remove_dir_all(&folder).unwrap();
        log.write(&record("lost", "ok"));
        wait(&|| metrics.audit_counts() == (1, 1));
        std::fs::create_dir(&folder).unwrap();
        log.write(&record("third", "ok"));
        drop(log);
        let written = lines(&path);
        assert_eq!(written[0]["lost"], 1);
        assert_eq!(written[1]["instance"], "third");
    }

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let log = AuditLog::open(&AuditConfig::default(), metrics).unwrap();
        assert!(!log.is_on());
        log.write(&record("a", "ok"));
    }
}

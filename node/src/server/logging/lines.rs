//! Lines on their way to standard error. A separate thread writes them, so that no other thread waits when standard
//! error is full or slow. A line is dropped and counted if it does not fit into the queue, or if it cannot be written
//! because the reader is gone.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Bytes of lines that wait at most.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Pause before a retry when standard error takes nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A bounded queue of log lines, which a thread of its own writes to standard error. There is one: the process has one standard error.
pub(super) struct LogLines {
    queue: Mutex<LineQueue>,
    changed: Condvar,
    dropped: AtomicU64,
}

struct LineQueue {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Whether the thread writes a line that is no longer in the queue.
    writing: bool,
    /// Whether there is a thread that writes.
    started: bool,
}

static LINES: LogLines = LogLines {
    queue: Mutex::new(LineQueue {
        lines: VecDeque::new(),
        bytes: 0,
        writing: false,
        started: false,
    }),
    changed: Condvar::new(),
    dropped: AtomicU64::new(0),
};

/// What one log line is written to.
pub(super) struct LineWriter;

impl io::Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LogLines::push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogLines {
    /// For the subscriber, which writes each line in one call.
    pub(super) fn writer() -> LineWriter {
        LineWriter
    }

    /// Starts the thread. Without it each thread writes its own lines.
    pub(super) fn start() {
        let thread = std::thread::Builder::new().name("log".to_owned());
        let started = thread.spawn(|| LINES.run()).is_ok();
        LINES.queue.lock().started = started;
    }

    pub(super) fn push(line: &[u8]) {
        let mut queue = LINES.queue.lock();
        if !queue.started {
            drop(queue);
            if write(line).is_err() {
                LINES.drop_one();
            }
            return;
        }
        if queue.bytes + line.len() > QUEUE_BYTES_MAX {
            LINES.drop_one();
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.into());
        drop(queue);
        LINES.changed.notify_all();
    }

    /// Waits until everything was written or dropped, or the time is up.
    pub(super) fn flush(timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut queue = LINES.queue.lock();
        while queue.started && (queue.writing || !queue.lines.is_empty()) {
            if LINES.changed.wait_until(&mut queue, until).timed_out() {
                return;
            }
        }
    }

    pub(super) fn dropped() -> u64 {
        LINES.dropped.load(Ordering::Relaxed)
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn run(&self) {
        let mut told = 0;
        loop {
            let line = self.next();
            let written = write(&line);
            self.queue.lock().writing = false;
            self.changed.notify_all();
            match written {
                Err(_) => self.drop_one(),
                Ok(()) => {
                    let dropped = self.dropped.load(Ordering::Relaxed);
                    if dropped > told {
                        let lines = dropped - told;
                        told = dropped;
                        tracing::warn!(
                            lines,
                            "log lines were dropped: standard error accepted none"
                        );
                    }
                }
            }
        }
    }

    fn next(&self) -> Box<[u8]> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                queue.writing = true;
                return line;
            }
            self.changed.wait(&mut queue);
        }
    }
}

/// Writes past the standard library's lock of standard error: a thread that panics or prints would wait for it.
fn write(mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match rustix::io::write(io::stderr(), line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            // Another program at the same terminal has made it non-blocking.
            Err(rustix::io::Errno::AGAIN) => std::thread::sleep(RETRY_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

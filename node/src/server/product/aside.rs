//! Threads for work that uses the processor for long and that other work must not wait for.
//!
//! They have a lower priority than all other threads of the node. Without it, two decisions that take milliseconds hold
//! both processors of a small machine, and the requests of all other clients wait until the scheduler takes turns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, mpsc};
use std::{io, thread};

use parking_lot::Mutex;

/// More would only keep more states alive: the proposer prepares as many commands at a time.
const THREADS: usize = 2;
/// Added to the thread's niceness: about a tenth of the processor time that a busy thread of normal priority gets.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// Runs a job on one of the threads, in the order of the calls.
///
/// # Errors
/// When no such thread could be started.
pub(super) fn run(job: Job) -> io::Result<()> {
    static JOBS: LazyLock<mpsc::Sender<Job>> = LazyLock::new(start);
    JOBS.send(job)
        .map_err(|_| io::Error::other("no thread for costly commands could be started"))
}

fn start() -> mpsc::Sender<Job> {
    let (to, from) = mpsc::channel();
    let from = Arc::new(Mutex::new(from));
    for _ in 0..THREADS {
        let from = from.clone();
        let thread = thread::Builder::new().name("rstmdb-aside".to_owned());
        if let Err(error) = thread.spawn(move || work(&from)) {
            tracing::error!(%error, "a thread for costly commands could not be started");
        }
    }
    to
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    // On Linux this is the niceness of the calling thread alone. Elsewhere it would be that of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "a thread for costly commands keeps the priority of the others");
    }
    loop {
        let job = jobs.lock().recv();
        // The sender lives as long as the process.
        let Ok(job) = job else { return };
        // The panic has been printed. It reaches the one that asked because the job's result is missing.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ask<W: Send + 'static>(work: impl FnOnce() -> W + Send + 'static) -> mpsc::Receiver<W> {
        let (done, result) = mpsc::channel();
        run(Box::new(move || drop(done.send(work())))).unwrap();
        result
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_that_is_set_aside_yields_to_the_rest_of_the_process() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let aside = ask(nice).recv().unwrap();
        assert_eq!(aside, (before + NICENESS).min(19));
        assert_eq!(nice(), before);
    }

    #[test]
    fn a_panic_costs_one_job_and_no_thread() {
        for _ in 0..2 * THREADS {
            let lost = ask(|| -> u32 { panic!("a job of a test") });
            assert!(lost.recv().is_err());
        }
        assert_eq!(ask(|| 7).recv(), Ok(7));
    }
}

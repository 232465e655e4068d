#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::*;
use crate::chaos::nodes::links::Links;
use crate::chaos::nodes::processes::Processes;

/// Two nodes that answer nothing.
struct Silent;

impl Nodes for Silent {
    fn ids(&self) -> Vec<u64> {
        vec![1, 2]
    }
    fn addr(&self, _id: u64) -> Result<SocketAddr, Error> {
        Err(Error::Closed)
    }
    fn kill(&mut self, _id: u64) -> Result<(), Error> {
        Ok(())
    }
    fn stop(&mut self, _id: u64) -> Result<(), Error> {
        Ok(())
    }
    fn start(&mut self, _id: u64) -> Result<(), Error> {
        Ok(())
    }
    fn pause(&mut self, _id: u64) -> Result<(), Error> {
        Ok(())
    }
    fn resume(&mut self, _id: u64) -> Result<(), Error> {
        Ok(())
    }
    fn isolate(&mut self, _id: u64) -> Result<(), Error> {
        Ok(())
    }
    fn rejoin(&mut self, _id: u64) -> Result<(), Error> {
        Ok(())
    }
    fn has_ended(&mut self, _id: u64) -> Result<bool, Error> {
        Ok(false)
    }
    fn log(&self, _id: u64) -> Result<String, Error> {
        Err(Error::Closed)
    }
    fn data(&self, _id: u64, _into: &Path) -> Result<PathBuf, Error> {
        Err(Error::Closed)
    }
    fn links(&self) -> Option<&Links> {
        None
    }
    fn processes(&mut self) -> Option<&mut Processes> {
        None
    }
}

/// A part that does this much at once, and ends with the fault; the flag says that it has.
fn part(burden: &mut Burden, does: u64) -> Arc<AtomicBool> {
    let has_ended = Arc::<AtomicBool>::default();
    let ended = Arc::clone(&has_ended);
    let work = move |hand: &Hand| {
        hand.add(does);
        while !hand.is_over() {
            std::thread::sleep(POLL);
        }
        ended.store(true, Ordering::Relaxed);
    };
    burden.add("parts", 10, work).unwrap();
    has_ended
}

/// Ends a fault, as often as that has to be tried.
fn heal(begun: &mut BegunFault) {
    while !(begun.healing)(&mut Silent).unwrap() {
        std::thread::sleep(POLL);
    }
}

#[test]
fn a_fault_that_did_too_little_has_not_come_about_and_leaves_no_thread() {
    let findings = FaultFindings::default();
    let mut burden = Burden::on(vec![1]);
    burden.felt_within = Duration::ZERO;
    let ended = [part(&mut burden, 10), part(&mut burden, 9)];
    assert!(burden.begin("too little", &findings).is_none());
    assert!(ended.iter().all(|ended| ended.load(Ordering::Relaxed)));
    // One without any part has done nothing either.
    let mut empty = Burden::on(vec![1]);
    empty.felt_within = Duration::ZERO;
    assert!(empty.begin("nothing", &findings).is_none());
    assert!(findings.lock().is_empty());
}

#[test]
fn a_fault_says_what_it_did_and_ends_with_its_threads() {
    let findings = FaultFindings::default();
    let mut burden = Burden::on(Vec::new());
    let ended = part(&mut burden, 12);
    let mut begun = burden.begin("enough", &findings).unwrap();
    assert_eq!(begun.what, "enough; parts: 12");
    assert!(!ended.load(Ordering::Relaxed));
    heal(&mut begun);
    assert!(ended.load(Ordering::Relaxed));
    assert!(findings.lock().is_empty());
}

#[test]
fn a_node_that_does_not_answer_afterwards_is_found_unless_it_has_left() {
    for (struck, found) in [(2, true), (3, false)] {
        let findings = FaultFindings::default();
        let mut burden = Burden::on(vec![struck]);
        burden.answers_within = Duration::ZERO;
        part(&mut burden, 10);
        heal(&mut burden.begin("enough", &findings).unwrap());
        let said = findings.lock().join("\n");
        assert_eq!(said.contains("nodes [2] did not answer"), found, "{said}");
    }
}

#[test]
fn a_fault_that_is_dropped_ends() {
    let mut burden = Burden::on(Vec::new());
    let ended = part(&mut burden, 10);
    drop(burden);
    let begun = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(POLL);
    }
}

#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};

use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use tokio::sync::mpsc::channel;

use super::super::reader::parse;
use super::*;

/// Answers after a varying number of turns; notes the order of sending and answering.
#[derive(Default)]
struct FakeSink {
    refuse: Vec<u64>,
    without_leader: Vec<u64>,
    lose: Vec<u64>,
    log: RefCell<Vec<(u64, &'static str)>>,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
}

impl Sink for FakeSink {
    async fn send(&self, line: &LoadLine) -> Result<LoadEffect, Error> {
        self.log.borrow_mut().push((line.number, "sent"));
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight
            .set(self.most_in_flight.get().max(self.in_flight.get()));
        // Later lines are often answered before earlier ones.
        for _ in 0..(line.number * 7919) % 13 {
            tokio::task::yield_now().await;
        }
        self.in_flight.set(self.in_flight.get() - 1);
        self.log.borrow_mut().push((line.number, "answered"));
        if self.refuse.contains(&line.number) {
            let body = ErrorBody::new(Code::GuardFailed, "no");
            return Err(Error::Refused(Box::new(body)));
        }
        if self.without_leader.contains(&line.number) {
            let body = ErrorBody::new(Code::NoLeader, "no (tried for 5000 ms)");
            return Err(Error::Refused(Box::new(body)));
        }
        if self.lose.contains(&line.number) {
            return Err(Error::Timeout("unknown".to_owned()));
        }
        Ok(LoadEffect::Applied)
    }
}

impl FakeSink {
    fn place(&self, number: u64, what: &'static str) -> Option<usize> {
        self.log
            .borrow()
            .iter()
            .position(|entry| *entry == (number, what))
    }

    fn was_sent(&self, number: u64) -> bool {
        self.place(number, "sent").is_some()
    }
}

#[derive(Default)]
struct Counts {
    ended: u64,
    failed: u64,
    unreadable: u64,
}

impl Observer for Counts {
    fn ended(&mut self, _: &LoadLine, outcome: &Result<LoadEffect, Error>) {
        self.ended += 1;
        self.failed += u64::from(outcome.is_err());
    }

    fn unreadable(&mut self, _: &Error) {
        self.unreadable += 1;
    }
}

fn apply(id: &str) -> String {
    format!("{{\"op\":\"APPLY_EVENT\",\"params\":{{\"instance_id\":\"{id}\"}}}}")
}

const BARRIER: &str = r#"{"op":"PUT_MACHINE","params":{}}"#;

const LIMITS: LoadLimits = LoadLimits {
    in_flight: 8,
    waiting: 32,
    continue_on_error: false,
};

async fn load(
    sink: &FakeSink,
    limits: LoadLimits,
    texts: &[String],
) -> (Result<(), Error>, Counts) {
    let (sender, mut lines) = channel(texts.len().max(1));
    for (number, text) in (1..).zip(texts) {
        let line = parse(number, 0, text).map_err(|error| error.at_line(number));
        sender.send(line).await.unwrap();
    }
    drop(sender);
    let mut counts = Counts::default();
    let outcome = run(&mut lines, sink, limits, &mut counts).await;
    (outcome, counts)
}

#[tokio::test]
async fn operations_of_one_instance_are_sent_one_after_the_other() {
    let sink = FakeSink::default();
    let texts: Vec<String> = (0..300)
        .map(|n| apply(&format!("i{}", n * n % 17)))
        .collect();
    let (outcome, counts) = load(&sink, LIMITS, &texts).await;
    outcome.unwrap();
    assert_eq!(counts.ended, 300);
    for later in 0..300_usize {
        let earlier = (0..later).rev().find(|&n| texts[n] == texts[later]);
        if let Some(earlier) = earlier {
            assert!(
                sink.place(earlier as u64 + 1, "answered") < sink.place(later as u64 + 1, "sent"),
                "line {} overtook line {}",
                later + 1,
                earlier + 1
            );
        }
    }
}

#[tokio::test]
async fn different_instances_are_in_flight_together_up_to_the_limit() {
    let sink = FakeSink::default();
    let texts: Vec<String> = (0..200).map(|n| apply(&format!("i{n}"))).collect();
    load(&sink, LIMITS, &texts).await.0.unwrap();
    assert_eq!(sink.most_in_flight.get(), LIMITS.in_flight);
}

#[tokio::test]
async fn a_barrier_waits_for_all_before_it_and_holds_up_all_after_it() {
    let sink = FakeSink::default();
    let mut texts: Vec<String> = (0..60).map(|n| apply(&format!("i{}", n % 9))).collect();
    texts[0] = BARRIER.to_owned();
    texts[30] = BARRIER.to_owned();
    texts[31] = BARRIER.to_owned();
    load(&sink, LIMITS, &texts).await.0.unwrap();
    for barrier in [1, 31, 32] {
        let sent = sink.place(barrier, "sent").unwrap();
        assert_eq!(
            sent,
            2 * (barrier as usize - 1),
            "all before have been answered"
        );
        assert_eq!(
            sink.place(barrier, "answered"),
            Some(sent + 1),
            "and none is sent meanwhile"
        );
    }
}

#[tokio::test]
async fn the_first_error_stops_the_load_and_names_its_line() {
    let sink = FakeSink {
        refuse: vec![40],
        ..FakeSink::default()
    };
    let mut texts: Vec<String> = (0..200).map(|n| apply(&format!("i{n}"))).collect();
    texts[40] = texts[39].clone();
    let (outcome, counts) = load(&sink, LIMITS, &texts).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.to_string(), "line 40: GUARD_FAILED: no");
    assert_eq!(error.exit_code(), 1);
    assert_eq!(sink.in_flight.get(), 0, "what was in flight is waited for");
    assert!(!sink.was_sent(41), "the next of the instance is not sent");
    assert!(counts.ended < 60);
}

#[tokio::test]
async fn with_continue_on_error_the_rest_is_sent_all_the_same() {
    let sink = FakeSink {
        refuse: vec![2, 5],
        ..FakeSink::default()
    };
    let mut texts: Vec<String> = (0..30).map(|n| apply(&format!("i{}", n % 3))).collect();
    texts[9] = "nonsense".to_owned();
    let limits = LoadLimits {
        continue_on_error: true,
        ..LIMITS
    };
    let (outcome, counts) = load(&sink, limits, &texts).await;
    outcome.unwrap();
    assert_eq!((counts.ended, counts.failed, counts.unreadable), (29, 2, 1));
}

#[tokio::test]
async fn an_unknown_outcome_stops_even_a_load_that_continues_on_errors() {
    let sink = FakeSink {
        lose: vec![3],
        ..FakeSink::default()
    };
    let texts: Vec<String> = (0..100).map(|_| apply("one")).collect();
    let limits = LoadLimits {
        continue_on_error: true,
        ..LIMITS
    };
    let error = load(&sink, limits, &texts).await.0.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().starts_with("line 3: "), "{error}");
    assert!(!sink.was_sent(4));
}

#[tokio::test]
async fn a_cluster_without_a_leader_stops_even_a_load_that_continues_on_errors() {
    let sink = FakeSink {
        without_leader: vec![3],
        ..FakeSink::default()
    };
    let texts: Vec<String> = (0..100).map(|_| apply("one")).collect();
    let limits = LoadLimits {
        continue_on_error: true,
        ..LIMITS
    };
    let error = load(&sink, limits, &texts).await.0.unwrap_err();
    assert!(
        error.to_string().starts_with("line 3: NO_LEADER"),
        "{error}"
    );
    assert!(!sink.was_sent(4));
}

#[tokio::test]
async fn an_unreadable_line_stops_the_load_with_its_number() {
    let sink = FakeSink::default();
    let texts = [apply("a"), "nonsense".to_owned(), apply("b")];
    let error = load(&sink, LIMITS, &texts).await.0.unwrap_err();
    assert!(error.to_string().starts_with("line 2: "), "{error}");
    assert_eq!(error.exit_code(), 2);
    assert!(!sink.was_sent(3));
}

#[tokio::test]
async fn an_empty_file_loads_nothing() {
    let (outcome, counts) = load(&FakeSink::default(), LIMITS, &[]).await;
    outcome.unwrap();
    assert_eq!(counts.ended, 0);
}

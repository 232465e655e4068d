#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::replica::{RequestTrace, Stage};

/// Traces whose collector is not there.
fn traces(sample: f64) -> Arc<Traces> {
    let config = TracingConfig {
        otlp_endpoint: Some("http://127.0.0.1:1".to_owned()),
        sample,
    };
    Traces::start(&config, 7).unwrap().unwrap()
}

fn begin(traces: &Arc<Traces>, parent: Option<&TraceParent>) -> Option<Arc<Record>> {
    traces.begin("PING", parent, Instant::now(), Subject::default)
}

#[tokio::test]
async fn nothing_is_started_without_a_collector() {
    let config = TracingConfig {
        otlp_endpoint: None,
        sample: 1.0,
    };
    assert!(Traces::start(&config, 1).unwrap().is_none());
}

#[tokio::test]
async fn about_the_share_of_requests_is_sampled_and_the_caller_overrules_it() {
    for (sample, least, most) in [(0.0, 0, 0), (0.25, 2_200, 2_800), (1.0, 10_000, 10_000)] {
        let traces = traces(sample);
        let sampled = (0..10_000).filter(|_| traces.draw()).count();
        assert!((least..=most).contains(&sampled), "{sample}: {sampled}");
        let sampled = TraceParent::sampled([1; 16], [2; 8]);
        let record = begin(&traces, Some(&sampled)).unwrap();
        assert_eq!(record.trace_id(), hex::encode([1; 16]));
        assert!(
            record
                .traceparent()
                .starts_with(&format!("00-{}-", hex::encode([1; 16])))
        );
        let unsampled = TraceParent {
            flags: 0,
            ..sampled
        };
        assert!(begin(&traces, Some(&unsampled)).is_none());
    }
}

#[tokio::test]
async fn spans_for_which_the_queue_has_no_room_are_dropped_and_counted() {
    let traces = traces(1.0);
    // This test has one thread, so the task that sends does not run meanwhile.
    for _ in 0..3_000 {
        let record = begin(&traces, None).unwrap();
        record.reached(Stage::Waiting);
        record.reached(Stage::Fresh);
    }
    assert_eq!(traces.dropped(), (3_000 - 2_048) * 3);
    let began = Instant::now();
    traces.end().await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(traces.sent(), 0);
}

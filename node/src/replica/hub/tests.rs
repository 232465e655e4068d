#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use futures_util::FutureExt;
use rstmdb_engine::fact::{ApplyEvent, Body, Entry};

use super::{Hub, RECENT_ENTRIES_MAX, RecentPage, WatchFilter};

fn event(instance: &str, machine: &str, to_state: &str) -> Arc<Entry> {
    let fact = Body::ApplyEvent(ApplyEvent {
        instance_id: instance.into(),
        machine: machine.into(),
        from_state: "A".into(),
        to_state: to_state.into(),
        event: "GO".into(),
        ..ApplyEvent::default()
    });
    Arc::new(Entry {
        facts: vec![fact.into()],
        ..Entry::default()
    })
}

fn dispatch(hub: &Hub, offset: u64, entry: Arc<Entry>) {
    hub.dispatch(vec![(offset, entry, 100)], offset);
}

fn of_instance(id: &str) -> WatchFilter {
    WatchFilter {
        instance: Some(id.into()),
        ..WatchFilter::default()
    }
}

#[test]
fn an_idle_watch_wakes_at_the_first_event_that_matches_the_whole_filter() {
    let hub = Hub::new(0);
    let slot = hub.register(WatchFilter {
        machines: vec!["order".into()],
        to_states: vec!["PAID".into()],
        ..WatchFilter::default()
    });
    assert!(hub.go_idle(&slot, 1));
    dispatch(&hub, 1, event("x", "order", "SHIPPED"));
    dispatch(&hub, 2, event("x", "device", "PAID"));
    assert!(slot.woken().now_or_never().is_none());
    dispatch(&hub, 3, event("x", "order", "PAID"));
    dispatch(&hub, 4, event("x", "order", "PAID"));
    assert_eq!(slot.woken().now_or_never(), Some(3));
}

#[test]
fn a_watch_cannot_go_idle_before_it_has_read_to_the_head() {
    let hub = Hub::new(0);
    let slot = hub.register(of_instance("x"));
    dispatch(&hub, 5, event("x", "order", "PAID"));
    assert!(!hub.go_idle(&slot, 5));
    assert!(hub.go_idle(&slot, 6));
}

#[test]
fn a_watch_of_the_future_sleeps_through_earlier_events() {
    let hub = Hub::new(0);
    let slot = hub.register(of_instance("x"));
    assert!(hub.go_idle(&slot, 10));
    dispatch(&hub, 9, event("x", "order", "PAID"));
    assert!(slot.woken().now_or_never().is_none());
    dispatch(&hub, 10, event("x", "order", "PAID"));
    assert_eq!(slot.woken().now_or_never(), Some(10));
}

#[test]
fn a_new_state_wakes_idle_watches_where_they_stand() {
    let hub = Hub::new(0);
    let now = hub.register(of_instance("x"));
    let later = hub.register(of_instance("x"));
    assert!(hub.go_idle(&now, 1));
    assert!(hub.go_idle(&later, 500));
    hub.reset(100);
    assert_eq!(now.woken().now_or_never(), Some(1));
    assert!(later.woken().now_or_never().is_none());
}

#[test]
fn the_ring_covers_gaps_and_says_what_it_no_longer_has() {
    let hub = Hub::new(0);
    dispatch(&hub, 3, event("x", "order", "PAID"));
    hub.dispatch(Vec::new(), 7);
    let RecentPage::Entries { entries, next } = hub.recent(1, 10) else {
        panic!("the ring holds everything so far");
    };
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].0, next), (3, 8));
    assert!(matches!(hub.recent(8, 10), RecentPage::AtHead));
    for offset in 8..8 + RECENT_ENTRIES_MAX as u64 {
        dispatch(&hub, offset, event("x", "order", "PAID"));
    }
    assert!(matches!(hub.recent(3, 10), RecentPage::Older { .. }));
    let RecentPage::Entries { next, .. } = hub.recent(4, 10) else {
        panic!("what follows the dropped entry is still there");
    };
    assert_eq!(next, 18);
}

#[test]
fn a_dropped_watch_leaves_nothing_behind() {
    let hub = Hub::new(0);
    for filter in [
        of_instance("x"),
        WatchFilter::default(),
        WatchFilter {
            machines: vec!["a".into(), "b".into(), "a".into()],
            ..WatchFilter::default()
        },
    ] {
        let slot = hub.register(filter);
        hub.unregister(&slot);
        assert_eq!(Arc::strong_count(&slot), 1);
    }
    assert_eq!(hub.watches(), 0);
}

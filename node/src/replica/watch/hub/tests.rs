#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use futures_util::FutureExt;
use rstmdb_engine::fact::{ApplyEvent, Body, Entry};

use super::ring::{ENTRIES_MAX, Ring};
use super::watches::PORTION;
use super::{Effective, Hub, RecentPage, WatchFilter, WatchSlot};

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

fn append(hub: &Hub, offset: u64, entry: Arc<Entry>) {
    let item = Effective {
        offset,
        entry,
        bytes: 100,
    };
    hub.dispatch(vec![item], offset);
}

fn dispatch(hub: &Hub, offset: u64, entry: Arc<Entry>) {
    append(hub, offset, entry);
    while hub.examine() {}
}

fn woken(slot: &WatchSlot) -> Option<u64> {
    slot.woken().now_or_never()
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
    let filter = WatchFilter {
        machines: ["order"].into_iter().collect(),
        to_states: ["PAID"].into_iter().collect(),
        ..WatchFilter::default()
    };
    let slot = hub.register(filter, 1);
    assert!(hub.go_idle(&slot, 1));
    dispatch(&hub, 1, event("x", "order", "SHIPPED"));
    dispatch(&hub, 2, event("x", "device", "PAID"));
    assert!(woken(&slot).is_none());
    dispatch(&hub, 3, event("x", "order", "PAID"));
    dispatch(&hub, 4, event("x", "order", "PAID"));
    assert_eq!(woken(&slot), Some(3));
}

#[test]
fn a_watch_cannot_go_idle_before_it_has_read_to_the_head() {
    let hub = Hub::new(0);
    let slot = hub.register(of_instance("x"), 1);
    dispatch(&hub, 5, event("x", "order", "PAID"));
    assert!(!hub.go_idle(&slot, 5));
    assert!(hub.go_idle(&slot, 6));
}

#[test]
fn a_watch_of_the_future_sleeps_through_earlier_events() {
    let hub = Hub::new(0);
    let slot = hub.register(of_instance("x"), 1);
    assert!(hub.go_idle(&slot, 10));
    dispatch(&hub, 9, event("x", "order", "PAID"));
    assert!(woken(&slot).is_none());
    dispatch(&hub, 10, event("x", "order", "PAID"));
    assert_eq!(woken(&slot), Some(10));
}

#[test]
fn a_new_state_wakes_idle_watches_where_they_stand() {
    let hub = Hub::new(0);
    let now = hub.register(of_instance("x"), 1);
    let later = hub.register(of_instance("x"), 1);
    assert!(hub.go_idle(&now, 1));
    assert!(hub.go_idle(&later, 500));
    hub.reset(100);
    while hub.examine() {}
    assert_eq!(woken(&now), Some(1));
    assert!(woken(&later).is_none());
}

#[test]
fn the_ring_covers_gaps_and_says_what_it_no_longer_has() {
    let hub = Hub::new(0);
    let _watch = hub.register(WatchFilter::default(), 1);
    dispatch(&hub, 3, event("x", "order", "PAID"));
    hub.dispatch(Vec::new(), 7);
    let RecentPage::Entries { entries, next } = hub.recent(1, 10) else {
        panic!("the ring holds everything so far");
    };
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].0, next), (3, 8));
    assert!(matches!(hub.recent(8, 10), RecentPage::AtHead));
    for offset in 8..8 + ENTRIES_MAX as u64 {
        dispatch(&hub, offset, event("x", "order", "PAID"));
    }
    assert_eq!(hub.check_invariants(), Ok(7 + ENTRIES_MAX as u64));
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
            machines: ["a", "b", "a"].into_iter().collect(),
            ..WatchFilter::default()
        },
    ] {
        let slot = hub.register(filter, 1);
        hub.unregister(&slot);
        assert_eq!(Arc::strong_count(&slot), 1);
        assert_eq!(hub.check_invariants(), Ok(0));
    }
    assert_eq!(hub.watches(), 0);
}

#[test]
fn without_a_watch_nothing_is_kept_and_nothing_is_missed_once_there_is_one() {
    let hub = Hub::new(0);
    let entry = event("x", "order", "PAID");
    dispatch(&hub, 1, entry.clone());
    assert_eq!(Arc::strong_count(&entry), 1);
    assert!(matches!(hub.recent(1, 10), RecentPage::Older { head: 1 }));
    let slot = hub.register(of_instance("x"), 2);
    append(&hub, 2, entry.clone());
    assert_eq!(Arc::strong_count(&entry), 2);
    // The watch has read to a head that was not examined yet.
    assert!(hub.go_idle(&slot, 2));
    while hub.examine() {}
    assert_eq!(woken(&slot), Some(2));
}

#[test]
fn a_watch_goes_idle_only_behind_what_is_being_examined() {
    let hub = Hub::new(0);
    let slot = hub.register(of_instance("x"), 1);
    append(&hub, 1, event("x", "order", "PAID"));
    // Not examined: the watch will be found idle.
    assert!(hub.go_idle(&slot, 1));
    while hub.examine() {}
    assert_eq!(woken(&slot), Some(1));
    assert!(!hub.go_idle(&slot, 1));
    assert!(hub.go_idle(&slot, 2));
}

#[test]
fn every_watch_of_many_is_woken_in_the_order_of_registration() {
    let hub = Hub::new(0);
    let count = 2 * PORTION + 3;
    let slots: Vec<_> = (0..count)
        .map(|n| {
            let machine = if n % 3 == 0 { "order" } else { "device" };
            let filter = WatchFilter {
                machines: [machine, "both"].into_iter().collect(),
                ..WatchFilter::default()
            };
            hub.register(filter, 1)
        })
        .collect();
    for slot in &slots {
        assert!(hub.go_idle(slot, 1));
    }
    dispatch(&hub, 1, event("x", "order", "PAID"));
    dispatch(&hub, 2, event("x", "both", "PAID"));
    assert_eq!(hub.check_invariants(), Ok(2));
    for (n, slot) in slots.iter().enumerate() {
        assert_eq!(woken(slot), Some(if n % 3 == 0 { 1 } else { 2 }));
    }
}

#[test]
fn progress_is_what_was_read_and_for_an_idle_watch_what_was_examined() {
    let hub = Hub::new(0);
    let slot = hub.register(of_instance("x"), 1);
    assert_eq!(hub.looked_at(&slot), 0);
    append(&hub, 1, event("y", "order", "PAID"));
    assert_eq!(hub.looked_at(&slot), 0);
    slot.reached(2);
    assert_eq!(hub.looked_at(&slot), 1);
    assert!(hub.go_idle(&slot, 2));
    dispatch(&hub, 7, event("y", "order", "PAID"));
    assert_eq!(hub.looked_at(&slot), 7);
    append(&hub, 8, event("y", "order", "PAID"));
    assert_eq!(hub.looked_at(&slot), 7, "not examined yet");
    dispatch(&hub, 9, event("x", "order", "PAID"));
    dispatch(&hub, 10, event("y", "order", "PAID"));
    assert_eq!(hub.looked_at(&slot), 8, "what woke it was not handed over");
    slot.reached(10);
    assert_eq!(hub.looked_at(&slot), 9);
}

#[test]
fn a_name_that_is_given_often_counts_once() {
    let filter = WatchFilter {
        machines: vec!["m"; 1000].into_iter().collect(),
        events: ["b", "a", "b"].into_iter().collect(),
        ..WatchFilter::default()
    };
    assert_eq!(filter.names().collect::<Vec<_>>(), ["m", "a", "b"]);
}

#[test]
fn a_count_that_is_not_of_the_watches_is_seen() {
    let hub = Hub::new(0);
    let slot = hub.register(of_instance("x"), 1);
    assert_eq!(hub.check_invariants(), Ok(0));
    hub.watches.lock().remove(&slot);
    assert!(hub.check_invariants().is_err());
}

#[test]
fn a_watch_that_woke_for_what_was_not_examined_is_seen() {
    let hub = Hub::new(0);
    let slot = hub.register(of_instance("x"), 1);
    assert!(hub.go_idle(&slot, 1));
    slot.wake(5);
    assert!(hub.check_invariants().is_err());
}

#[test]
fn entries_that_do_not_ascend_are_seen() {
    let item = |offset| Effective {
        offset,
        entry: event("x", "order", "PAID"),
        bytes: 1,
    };
    for (offsets, is_right) in [([4, 6], true), ([6, 4], false), ([4, 8], false)] {
        let mut ring = Ring::new(3);
        ring.push(&mut offsets.map(item).into(), 7);
        assert_eq!(ring.check(true).is_ok(), is_right, "{offsets:?}");
    }
}

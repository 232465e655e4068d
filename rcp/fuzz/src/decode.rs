//! Any bytes, in either wire mode, through everything that looks at what a peer sends.

use rstmdb_rcp::message::asking::AllowedEvents;
use rstmdb_rcp::message::batch::Batch;
use rstmdb_rcp::message::instance::timers::{TimerList, TimerSet};
use rstmdb_rcp::message::instance::{ApplyEvent, CreateInstance, ListInstances};
use rstmdb_rcp::message::locks::{LockAcquire, LockGet, LockList, LockRelease, LockRenew};
use rstmdb_rcp::message::machine::{DeleteMachine, PutMachine};
use rstmdb_rcp::message::storage::ancestors::Ancestors;
use rstmdb_rcp::message::storage::audit::AuditRead;
use rstmdb_rcp::message::storage::automation::Automation;
use rstmdb_rcp::message::storage::clock::ClockAdvance;
use rstmdb_rcp::message::storage::{FlushAll, WalRead};
use rstmdb_rcp::message::watch::{Event, Progress, WatchAll, WatchEnd, WatchInstance};
use rstmdb_rcp::message::{Incoming, Params, RequestHead};

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    super::each_payload(data, look_into);
}

fn look_into(payload: &[u8]) {
    match Incoming::parse(payload) {
        Ok(Incoming::Event) => drop(serde_json::from_slice::<Event<'_>>(payload)),
        Ok(Incoming::Progress) => drop(serde_json::from_slice::<Progress<'_>>(payload)),
        Ok(Incoming::End) => drop(serde_json::from_slice::<WatchEnd<'_>>(payload)),
        Ok(Incoming::Response { .. } | Incoming::Unknown) | Err(_) => {}
    }
    let Ok(head) = RequestHead::parse(payload) else {
        return;
    };
    let _ = ApplyEvent::read(head.params);
    let _ = CreateInstance::read(head.params);
    let _ = ListInstances::read(head.params);
    let _ = PutMachine::read(head.params);
    let _ = DeleteMachine::read(head.params);
    let _ = AllowedEvents::read(head.params);
    let _ = WatchAll::read(head.params);
    let _ = WatchInstance::read(head.params);
    let _ = Batch::read(head.params);
    let _ = Ancestors::read(head.params);
    let _ = FlushAll::read(head.params);
    let _ = WalRead::read(head.params);
    let _ = AuditRead::read(head.params);
    let _ = Automation::read(head.params);
    let _ = ClockAdvance::read(head.params);
    let _ = TimerSet::read(head.params);
    let _ = TimerList::read(head.params);
    let _ = LockAcquire::read(head.params);
    let _ = LockRenew::read(head.params);
    let _ = LockRelease::read(head.params);
    let _ = LockGet::read(head.params);
    let _ = LockList::read(head.params);
}

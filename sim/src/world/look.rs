//! The invariants of every node at every moment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rstmdb::replica::{Error, Replica};
use rstmdb_engine::State;
use rstmdb_engine::chain::Chain;
use rstmdb_raft_store::{self as raft_store, MemFs, Store};

use super::{Site, Up, World, right_ms};
use crate::Sim;
use crate::check::chain::ChainViolation;
use crate::runtime::tasks;
use crate::trace;

impl Site {
    /// Whether its process works, without a fault that keeps a node from electing or being elected.
    fn is_fine(&self) -> bool {
        let has_power = !self.disk.has_lost_power();
        let is_wrong = self.troubled || self.damaged || self.full;
        self.process.is_some() && self.ends == 0 && has_power && !is_wrong
    }
}

impl World {
    /// Checks the invariants on every node.
    pub fn observe_all(&self) {
        let ids: Vec<u64> = self.sites.lock().keys().copied().collect();
        for id in ids {
            self.observe(id);
        }
        self.look_for_leader();
    }

    /// Checks the bookkeeping of a node that runs: its state's, its replica's and its store's. Files that were damaged
    /// may contradict each other from the moment the store is opened.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn check(&self, id: u64) -> Result<(), ChainViolation> {
        let sites = self.sites.lock();
        let runs = |site: &&Site| !site.disk.has_lost_power();
        let Some((site, up)) = sites
            .get(&id)
            .filter(runs)
            .and_then(|site| Some((site, site.process.as_ref()?)))
        else {
            return Ok(());
        };
        let of_node = |broken: &dyn std::fmt::Display| format!("node {id}: {broken}");
        let state = up.replica.with_state(State::check_invariants);
        state.map_err(|broken| ("a state is consistent", of_node(&broken)))?;
        let replica = up.replica.check_invariants();
        replica.map_err(|broken| ("a replica is consistent", of_node(&broken)))?;
        // A store whose disk failed or is damaged need not keep its invariants.
        if site.damaged || up.store.failed().is_some() {
            return Ok(());
        }
        let store = catch_unwind(AssertUnwindSafe(|| up.store.check_invariants()));
        store.map_err(|_| ("a store is consistent", of_node(&tasks::panicked())))
    }

    /// When a majority was last seen to have acknowledged a leader.
    pub fn led(&self) -> Option<Duration> {
        self.majority.lock().led()
    }

    /// Checks that a connected majority has a leader, if the settings allow the check.
    fn look_for_leader(&self) {
        let now = trace::now();
        let voters: Vec<u64> = (1..=self.settings.nodes).collect();
        let mut majority = self.majority.lock();
        for id in &voters {
            let is_fine = self.sites.lock().get(id).is_some_and(Site::is_fine);
            majority.note(*id, is_fine && !tasks::is_frozen(*id), now);
        }
        if !self.settings.promises_leader {
            return;
        }
        let whole_since = |from, to| self.network.ways.whole_since(from, to);
        if let Some(talking) = majority.without_leader(&voters, now, whole_since) {
            let seen = format!(
                "{talking:?} can talk, and the last one was acknowledged at {:?}",
                majority.led()
            );
            trace::violated("a majority that can talk has a leader within 5 s", seen);
        }
    }

    pub(super) fn observe(&self, id: u64) {
        let mut sites = self.sites.lock();
        let Some(site) = sites.get_mut(&id) else {
            return;
        };
        let troubled = site.troubled || site.damaged || site.disk.has_lost_power();
        if let Some(up) = &mut site.process {
            let seen = self.look(id, up, troubled);
            if let Err((invariant, seen)) = seen {
                trace::violated(invariant, seen);
            }
        }
    }

    fn look(&self, id: u64, up: &mut Up, troubled: bool) -> Result<(), ChainViolation> {
        self.look_at_raft(id, up, troubled)?;
        let look = |state: &State| {
            let head = state.chain().map(Chain::head);
            (state.last_applied(), state.digest(), head)
        };
        let (applied, digest, head) = up.replica.with_state(look);
        if applied < up.seen {
            let seen = format!("node {id}: {applied} behind {}", up.seen);
            return Err(("what is applied stays applied", seen));
        }
        if applied == up.seen {
            return Ok(());
        }
        let status = up.replica.status();
        if status.diverged {
            return Err(("no state diverges", format!("node {id}")));
        }
        let taken = up.replica.counters().snapshots_taken.load();
        if status.snapshot_offset > up.snapshot.0 && taken == up.snapshot.1 {
            trace::note(id, "snapshot received", [status.snapshot_offset, 0]);
        }
        up.snapshot = (status.snapshot_offset, taken);
        let mut chain = self.chain.lock();
        let mut from = up.store.earliest_index().max(up.seen + 1).max(1);
        let mut read = entries(&up.store, from, applied);
        let is_compacted = matches!(read, Err(raft_store::Error::Compacted { .. }));
        let is_damaged = read.is_err() && !is_compacted && troubled;
        if is_damaged {
            // Check at least the entries that no other node has shown yet. The rest is checked when the log is
            // healed.
            from = from.max(chain.end() + 1);
            read = entries(&up.store, from, applied);
        }
        match read {
            Ok(entries) if from <= chain.end() + 1 => chain.applied(id, &entries)?,
            // The node begins behind a snapshot, and no node has shown the entries in between.
            Ok(_) => {}
            Err(_) if is_damaged => {}
            // Behind a snapshot, while the log below it is not purged yet.
            Err(raft_store::Error::Compacted { .. }) => no_failure(id, &up.replica, from)?,
            Err(error) => return Err(("the log can be read", format!("node {id}: {error}"))),
        }
        if is_damaged {
            return Ok(());
        }
        up.seen = applied;
        let ahead_ms = i64::try_from(chain.time_ms()).unwrap_or(i64::MAX) - right_ms();
        if i128::from(ahead_ms) > self.settings.log_ahead_max.as_millis() as i128 {
            let seen = format!("node {id}: {ahead_ms} ms ahead at {applied}");
            return Err(("the log's time does not run ahead", seen));
        }
        chain.digest(id, applied, digest)?;
        chain.head(id, applied, head)
    }

    fn look_at_raft(&self, id: u64, up: &mut Up, troubled: bool) -> Result<(), ChainViolation> {
        use openraft::async_runtime::watch::WatchReceiver;
        let metrics = up.replica.raft().metrics();
        let metrics = metrics.borrow_watched();
        if let Err(fatal) = &metrics.running_state
            && !troubled
        {
            return Err(("a node goes on", format!("node {id}: {fatal}")));
        }
        let term = metrics.current_term;
        let committed = metrics.local_committed.map_or(0, |id| id.index);
        if term < up.term || committed < up.committed {
            let seen = format!("node {id}: term {term}, committed {committed}");
            return Err(("terms and commits do not go back", seen));
        }
        if term > up.term {
            trace::note(id, "term", [term, committed]);
        }
        (up.term, up.committed) = (term, committed);
        if metrics.state == openraft::ServerState::Leader {
            let mut leaders = self.leaders.lock();
            if !leaders.contains_key(&term) {
                trace::note(id, "leads", [term, committed]);
            }
            let leader = *leaders.entry(term).or_insert(id);
            if leader != id {
                let seen = format!("nodes {leader} and {id} lead in term {term}");
                return Err(("one leader a term", seen));
            }
            let acknowledged = metrics.last_quorum_acked.map(|at| *at);
            if acknowledged > up.acknowledged {
                up.acknowledged = acknowledged;
                self.majority.lock().acknowledged(trace::now());
            }
        }
        Ok(())
    }
}

/// What a node's log has from one offset to another, both included.
fn entries(
    store: &Store<MemFs>,
    from: u64,
    to: u64,
) -> Result<Vec<raft_store::Entry>, raft_store::Error> {
    let count = usize::try_from((to + 1).saturating_sub(from)).unwrap_or_default();
    match count {
        0 => Ok(Vec::new()),
        _ => store.read(from, count, usize::MAX),
    }
}

/// A missing entry that may arrive later as history is not a disk failure.
fn no_failure(id: u64, replica: &Replica<Sim>, offset: u64) -> Result<(), ChainViolation> {
    match replica.log_read(offset, 1) {
        Err(error @ Error::Storage { .. }) => Err((
            "what lies below a snapshot is compacted",
            format!("node {id}: {error}"),
        )),
        _ => Ok(()),
    }
}

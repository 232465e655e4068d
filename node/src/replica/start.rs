//! Starts a replica: recovery, forming the cluster, the parts of every room, the background tasks.

mod forming;
mod tasks;

use std::sync::Arc;

use openraft::Raft;
use openraft::network::{NetSnapshot, RaftNetworkFactory};
use openraft::type_config::TypeConfigExt;
use rstmdb_engine::State;
use rstmdb_raft_store::{ArchivedName, SnapshotHandle, Store};
use tokio::sync::{Mutex, Notify, mpsc, watch};

use super::apply::state_machine::StateMachine;
use super::cluster::leading;
use super::cluster::membership::MembershipChanges;
use super::cluster::observer::{self, ObserverParts};
use super::cluster::quorum::{self, Quorum};
use super::cluster::raising;
use super::cluster::stall::{self, Replication};
use super::cluster::status::ClusterStanding;
use super::cluster::succession::{self, Succession};
use super::parts::applied::Applied;
use super::parts::backfilled_log::BackfilledLog;
use super::parts::counters::Counters;
use super::parts::gate::Gate;
use super::parts::log_page::LogReader;
use super::parts::log_page::archived::ArchivedLog;
use super::parts::options::tuning::Tuned;
use super::parts::options::{Formation, Options};
use super::peers::calls::Peers;
use super::peers::heard::Heard;
use super::peers::neighbours::Neighbours;
use super::read::linearizable::{Reads, Rounds};
use super::read::look_up::Queries;
use super::types::{Host, Types};
use super::upkeep::archiving::{self, Archiving, READERS};
use super::upkeep::backfill::{self, Backfill};
use super::upkeep::compaction::{self, Compaction};
use super::upkeep::disk_space::{self, DiskSpace};
use super::upkeep::divergence::{self, StateComparison};
use super::upkeep::ending::Ending;
use super::upkeep::healing::{self, Healing};
use super::upkeep::timers::{self, TimersTask};
use super::watch::cursor::WatchSource;
use super::watch::hub::{self, Hub};
use super::write::clock::clocks::Clocks;
use super::write::clock::leader_clock::{self, LeaderClock};
use super::write::dispatch::Dispatcher;
use super::write::forwarder::Forwarder;
use super::write::proposer::{Proposer, WritePipeline};
use super::write::queue::Queue;
use super::write::request::Request;
use super::write::submit::Inbox;

pub use forming::StartError;

use forming::{form, formed_with, raft_config, recovery};
use tasks::{Tasks, detach};

/// What the handles of one replica share. When the last of them is dropped, the background tasks end.
pub(crate) struct Parts<T: Types> {
    pub options: Arc<Options>,
    pub tuned: Arc<Tuned>,
    pub counters: Arc<Counters>,
    pub log: Arc<LogReader<T::Fs>>,
    pub neighbours: Arc<Neighbours<T>>,
    pub inbox: Inbox<T>,
    pub reads: Reads<T>,
    pub queries: Queries,
    pub watches: Arc<WatchSource<T>>,
    pub clock: Arc<LeaderClock<T>>,
    pub standing: Arc<ClusterStanding<T>>,
    pub membership: Arc<MembershipChanges<T>>,
    pub compaction: Arc<Compaction<T>>,
    pub disk: Arc<DiskSpace<T>>,
    pub backfill: Arc<Backfill<T>>,
    pub timers: Arc<TimersTask<T>>,
    pub ending: Ending<T>,
    tasks: Tasks,
}

/// Recovers a replica from `store`, forms a cluster where the store is new, and starts its tasks.
pub(crate) async fn start<T: Types, N>(
    store: Store<T::Fs>,
    options: Options,
    host: Arc<dyn Host>,
    network: N,
    peers: Arc<dyn Peers>,
) -> Result<Parts<T>, StartError>
where
    N: RaftNetworkFactory<T>,
    N::Network: NetSnapshot<T, SnapshotData = SnapshotHandle<T::Fs>>,
{
    let config = Arc::new(raft_config(&options)?);
    if options.formation == Formation::Alone {
        options.levels.begin_at(options.levels.understands());
    }
    let archive = options.archive.as_ref();
    let (archived, wanted) = archive
        .map(|archive| ArchivedLog::new(archive.cache_bytes))
        .unzip();
    if archive.is_some() {
        store.remove_archived_copies().map_err(recovery)?;
    }
    let log = Arc::new(LogReader {
        store,
        applied: Arc::new(Applied::new(
            State::new().understanding(options.levels.understands()),
        )),
        host,
        archived: archived.map(Arc::new),
    });
    let hub = Arc::new(Hub::new(0));
    let counters = Arc::new(Counters::default());
    let backfilled = Arc::new(BackfilledLog::new());
    let machine = StateMachine::new(
        log.applied.clone(),
        hub.clone(),
        backfilled.clone(),
        log.store.clone(),
        log.host.clone(),
        counters.clone(),
        options.levels.clone(),
    );
    let log_store = log.store.log_store::<T>().telling(log.applied.flushes());
    let raft = Raft::new(options.node_id, config, network, log_store, machine)
        .await
        .map_err(recovery)?;
    form(&raft, &options).await?;
    let found = RecoveredReplica {
        raft,
        log,
        hub,
        counters,
        backfilled,
        peers,
        tuned: Arc::new(Tuned::new(&options)),
        options: Arc::new(options),
        wanted,
    };
    Ok(found.start())
}

/// What a replica has recovered, and what the rooms are made of.
struct RecoveredReplica<T: Types> {
    raft: Raft<T, StateMachine<T>>,
    log: Arc<LogReader<T::Fs>>,
    hub: Arc<Hub>,
    counters: Arc<Counters>,
    backfilled: Arc<BackfilledLog>,
    peers: Arc<dyn Peers>,
    options: Arc<Options>,
    tuned: Arc<Tuned>,
    /// The files of the archive that are asked for.
    wanted: Option<mpsc::UnboundedReceiver<ArchivedName>>,
}

impl<T: Types> RecoveredReplica<T> {
    fn start(mut self) -> Parts<T> {
        let gate = Arc::new(Gate::default());
        let wanted = self.wanted.take();
        let (raft, log) = (&self.raft, &self.log);
        let compaction = Arc::new(Compaction::new(
            raft.clone(),
            log.clone(),
            self.backfilled.clone(),
            self.tuned.clone(),
        ));
        let (reads, rounds) = Reads::new(raft, log, &self.peers, &gate, &self.tuned);
        let (requests, queue) = mpsc::unbounded_channel();
        let inbox = Inbox {
            requests,
            origins: Arc::default(),
            gate: gate.clone(),
            tuned: self.tuned.clone(),
            asked: Arc::default(),
        };
        let membership = self.membership(&gate, inbox.clone());
        let (neighbours, standing) = (membership.neighbours.clone(), membership.standing.clone());
        let timers = TimersTask::new(&standing, log, inbox.clone(), self.counters.clone());
        let stop = Arc::new(Notify::new());
        let mut parts = Parts {
            inbox,
            queries: self.queries(&gate),
            watches: Arc::new(self.watches(&gate)),
            disk: Arc::new(DiskSpace {
                store: log.store.clone(),
                host: log.host.clone(),
                neighbours: neighbours.clone(),
                membership: membership.clone(),
                tuned: self.tuned.clone(),
            }),
            backfill: Arc::new(self.backfill(&neighbours)),
            timers: Arc::new(timers),
            ending: Ending {
                raft: raft.clone(),
                store: log.store.clone(),
                gate: gate.clone(),
                stop: stop.clone(),
            },
            tasks: Tasks::new(gate, stop),
            options: self.options,
            tuned: self.tuned,
            counters: self.counters,
            log: self.log,
            neighbours,
            reads,
            clock: standing.clock.clone(),
            standing,
            membership,
            compaction,
        };
        // A process that ended before it had fetched all history continues here.
        parts.backfill.begin();
        parts.spawn_tasks(rounds, queue);
        parts.spawn_archiving(wanted);
        parts
    }

    fn queries(&self, gate: &Arc<Gate>) -> Queries {
        Queries {
            applied: self.log.applied.clone(),
            gate: gate.clone(),
            host: self.log.host.clone(),
            listing: Mutex::default(),
        }
    }

    fn watches(&self, gate: &Arc<Gate>) -> WatchSource<T> {
        WatchSource {
            hub: self.hub.clone(),
            log: self.log.clone(),
            backfilled: self.backfilled.clone(),
            gate: gate.clone(),
        }
    }

    fn backfill(&self, neighbours: &Arc<Neighbours<T>>) -> Backfill<T> {
        Backfill {
            neighbours: neighbours.clone(),
            log: self.log.clone(),
            backfilled: self.backfilled.clone(),
            tuned: self.tuned.clone(),
        }
    }

    /// This node in its cluster.
    fn membership(&self, gate: &Arc<Gate>, inbox: Inbox<T>) -> Arc<MembershipChanges<T>> {
        let (log, options) = (&self.log, &self.options);
        let neighbours = Arc::new(Neighbours {
            raft: self.raft.clone(),
            heard: Arc::new(Heard::new(self.peers.clone())),
            peers: self.peers.clone(),
            gate: gate.clone(),
            silent_for_max: options.election_timeout.1 * 2,
            appends_ended: watch::Sender::new(0),
        });
        let clock = Arc::new(LeaderClock {
            clocks: Arc::new(Clocks::new(
                log.host.clone(),
                options.clock_skew_max,
                self.counters.clone(),
            )),
            neighbours: neighbours.clone(),
            applied: log.applied.clone(),
            election_timeout_max: options.election_timeout.1,
        });
        let standing = Arc::new(ClusterStanding {
            neighbours: neighbours.clone(),
            log: log.clone(),
            clock,
            options: options.clone(),
            started: T::now(),
        });
        Arc::new(MembershipChanges {
            standing,
            neighbours,
            tuned: self.tuned.clone(),
            options: options.clone(),
            changing: Mutex::default(),
            inbox,
        })
    }
}

impl<T: Types> Parts<T> {
    fn spawn_tasks(&mut self, rounds: [Rounds<T>; 2], queue: mpsc::UnboundedReceiver<Request<T>>) {
        for round in rounds {
            detach::<T>(round.run());
        }
        detach::<T>(self.dispatcher(queue).run());
        let (options, counters) = (self.options.clone(), self.counters.clone());
        let (neighbours, hub) = (self.neighbours.clone(), self.watches.hub.clone());
        let tasks = &mut self.tasks;
        tasks.spawn::<T, _, _>(neighbours.clone(), leading::run);
        tasks.spawn::<T, _, _>(self.clock.clone(), leader_clock::run);
        tasks.spawn::<T, _, _>(self.membership.clone(), raising::run);
        let quorum = Quorum {
            neighbours: neighbours.clone(),
            counters: counters.clone(),
            options: options.clone(),
        };
        tasks.spawn::<T, _, _>(Arc::new(quorum), quorum::run);
        let succession = Succession {
            neighbours: neighbours.clone(),
            counters: counters.clone(),
        };
        tasks.spawn::<T, _, _>(Arc::new(succession), succession::run);
        // The state machine also holds the hub. So this task ends with a value that only this replica holds.
        tasks.spawn::<T, _, _>(Arc::new(()), |pace| hub::run(pace, hub.clone()));
        tasks.spawn::<T, _, _>(self.disk.clone(), disk_space::run);
        tasks.spawn::<T, _, _>(self.compaction.clone(), compaction::run);
        let replication = Replication {
            neighbours: neighbours.clone(),
            counters: counters.clone(),
            stall_timeout: options.stall_timeout,
            election_timeout_max: options.election_timeout.1,
        };
        tasks.spawn::<T, _, _>(Arc::new(replication), stall::run);
        let observed = ObserverParts {
            standing: self.standing.clone(),
            hub: hub.clone(),
            counters: counters.clone(),
        };
        tasks.spawn::<T, _, _>(Arc::new(observed), observer::run);
        let healing = Healing {
            log: self.log.clone(),
            compaction: self.compaction.clone(),
            neighbours,
            counters: counters.clone(),
        };
        tasks.spawn::<T, _, _>(Arc::new(healing), healing::run);
        tasks.spawn::<T, _, _>(self.backfill.clone(), backfill::run);
        tasks.spawn::<T, _, _>(self.timers.clone(), timers::run);
        let comparison = StateComparison {
            standing: self.standing.clone(),
            membership: self.membership.clone(),
            hub: hub.clone(),
            counters,
        };
        tasks.spawn::<T, _, _>(Arc::new(comparison), divergence::run);
    }

    fn spawn_archiving(&mut self, wanted: Option<mpsc::UnboundedReceiver<ArchivedName>>) {
        let (Some(options), Some(wanted)) = (&self.options.archive, wanted) else {
            return;
        };
        let Some(archived) = self.log.archived.clone() else {
            return;
        };
        let archiving = Arc::new(Archiving::<T> {
            options: options.clone(),
            node_id: self.options.node_id,
            log: self.log.clone(),
            archived,
            tuned: self.tuned.clone(),
            counters: self.counters.clone(),
            progress: Default::default(),
        });
        self.tasks
            .spawn::<T, _, _>(archiving.clone(), archiving::run);
        let wanted = Arc::new(Mutex::new(wanted));
        for _ in 0..READERS {
            let wanted = wanted.clone();
            let fetch = |pace| archiving::fetch(pace, wanted);
            self.tasks.spawn::<T, _, _>(archiving.clone(), fetch);
        }
    }

    fn dispatcher(&self, queue: mpsc::UnboundedReceiver<Request<T>>) -> Dispatcher<T> {
        let raft = &self.neighbours.raft;
        let proposer = Proposer {
            raft: raft.clone(),
            applied: self.log.applied.clone(),
            log: self.log.clone(),
            reads: self.reads.clone(),
            clocks: self.clock.clocks.clone(),
            gate: self.neighbours.gate.clone(),
            counters: self.counters.clone(),
            tuned: self.tuned.clone(),
            costly_bytes: self.options.costly_bytes,
            heard: self.neighbours.heard.clone(),
            quorum_silence_max: self.options.election_timeout.1 * 2,
            levels: self.options.levels.clone(),
            formed_with: formed_with(&self.options),
            pipeline: WritePipeline::new(),
        };
        let (peers, counters) = (&self.neighbours.peers, &self.counters);
        Dispatcher {
            queue: Queue::new(queue),
            proposer,
            forwarder: Forwarder::new(raft.clone(), peers.clone(), counters.clone()),
        }
    }
}

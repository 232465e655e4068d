//! Names that the server knows, for Tab.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rstmdb_definitions::model::MachineModel;
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::instance::{
    GetInstance, GetInstanceResult, ListInstances, ListInstancesResult,
};
use rstmdb_rcp::message::locks::LockList;
use rstmdb_rcp::message::machine::{ListMachines, ListMachinesResult};
use rstmdb_rcp::message::session::{InfoResult, NoParams};
use rstmdb_rcp::message::{ReadOptions, op};
use tokio::runtime::Handle;

use crate::Error;
use crate::session::CliSession;
use crate::session::watches::ReplWatches;

/// How long Tab waits for the server.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long Tab does not ask a server again that has not answered in time.
const PAUSE: Duration = Duration::from_secs(5);
/// How many names are asked for at most.
const OFFERS_MAX: u64 = 50;
/// Most definitions that are looked at for the states and events of all machines.
const DEFINITIONS_MAX: usize = 16;

/// Names of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    Machines,
    Versions,
    States,
    Events,
    Timers,
    Instances,
    Locks,
    Nodes,
    Watches,
}

/// What the line says already about the names that are wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NamesOf {
    /// The instance.
    pub(super) instance: Option<String>,
    /// The machines.
    pub(super) machines: Vec<String>,
    /// With what the names begin.
    pub(super) prefix: String,
}

/// Where names come from.
pub(super) trait NameDirectory: Send + Sync {
    fn names(&self, kind: NameKind, of: &NamesOf) -> Vec<String>;
}

/// Asks the server. Names that do not arrive in time are not offered.
pub(super) struct ServerNames {
    session: CliSession,
    runtime: Handle,
    /// When the server did not answer in time.
    silent: Mutex<Option<Instant>>,
}

impl ServerNames {
    pub(super) fn new(session: CliSession, runtime: Handle) -> ServerNames {
        ServerNames {
            session,
            runtime,
            silent: Mutex::default(),
        }
    }
}

impl NameDirectory for ServerNames {
    fn names(&self, kind: NameKind, of: &NamesOf) -> Vec<String> {
        if kind == NameKind::Watches {
            let watches = self.session.watches.as_ref();
            let running = watches.map(ReplWatches::running).unwrap_or_default();
            return running.into_iter().map(|watch| watch.id).collect();
        }
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if silent.is_some_and(|since| since.elapsed() < PAUSE) {
            return Vec::new();
        }
        let answer = async { tokio::time::timeout(PATIENCE, self.ask(kind, of)).await };
        let answer = self.runtime.block_on(answer);
        *silent = answer.is_err().then(Instant::now);
        let mut names = answer.ok().and_then(Result::ok).unwrap_or_default();
        // The first of equal ones stays: the order may tell something.
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

impl ServerNames {
    async fn ask(&self, kind: NameKind, of: &NamesOf) -> Result<Vec<String>, Error> {
        match kind {
            NameKind::Machines => {
                let machines = self.machines().await?.into_iter();
                Ok(machines.map(|(name, _)| name).collect())
            }
            NameKind::Versions => {
                let machines = self.machines().await?.into_iter();
                let named = machines.filter(|(name, _)| of.machines.contains(name));
                let versions = named.flat_map(|(_, versions)| versions);
                Ok(versions.map(|version| version.to_string()).collect())
            }
            NameKind::States => {
                let models = self.models(of).await?.into_iter();
                let states = models.flat_map(|model| model.states);
                Ok(states.map(|state| state.name).collect())
            }
            NameKind::Events => self.events(of).await,
            NameKind::Timers => match &of.instance {
                Some(id) => {
                    let timers = self.instance(id).await?.timers.into_iter();
                    Ok(timers.map(|timer| timer.name.into_owned()).collect())
                }
                None => Ok(Vec::new()),
            },
            NameKind::Instances => self.instances(&of.prefix).await,
            NameKind::Locks => self.locks(&of.prefix).await,
            NameKind::Nodes => {
                let info: InfoResult<'_> = self.session.ask(op::INFO, &NoParams {}).await?;
                let members = info.cluster.map(|cluster| cluster.members);
                let members = members.unwrap_or_default().into_iter();
                Ok(members.map(|member| member.node_id.to_string()).collect())
            }
            NameKind::Watches => Ok(Vec::new()),
        }
    }

    async fn machines(&self) -> Result<Vec<(String, Vec<u32>)>, Error> {
        let params = ListMachines::default();
        let list: ListMachinesResult<'_> = self.session.ask(op::LIST_MACHINES, &params).await?;
        let items = list.items.into_iter();
        Ok(items
            .map(|item| (item.machine.into_owned(), item.versions))
            .collect())
    }

    /// Ids are sorted, so the ids with the prefix follow directly after it.
    async fn instances(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let params = ListInstances {
            after: (!prefix.is_empty()).then(|| prefix.into()),
            limit: Some(OFFERS_MAX),
            ..ListInstances::default()
        };
        let list: ListInstancesResult<'_> = self.session.ask(op::LIST_INSTANCES, &params).await?;
        let ids = list.instances.into_iter().map(|item| item.id.into_owned());
        Ok(ids.collect())
    }

    async fn locks(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let params = LockList {
            prefix: (!prefix.is_empty()).then(|| prefix.into()),
            limit: Some(OFFERS_MAX),
            ..LockList::default()
        };
        let answer = self.session.call(op::LOCK_LIST, &params).await?;
        let list = Json::parse(answer.result.get()).map_err(Error::unexpected)?;
        let names = list["locks"].items().iter();
        Ok(names
            .filter_map(|lock| lock["name"].as_str().map(str::to_owned))
            .collect())
    }

    async fn instance(&self, id: &str) -> Result<GetInstanceResult<'static>, Error> {
        let params = GetInstance {
            instance_id: id.into(),
            ..GetInstance::default()
        };
        self.session.ask(op::GET_INSTANCE, &params).await
    }

    /// The definitions that the line is about: of the instance's machine, of the machines named, else of the machines
    /// there are, unless they are many.
    async fn models(&self, of: &NamesOf) -> Result<Vec<MachineModel>, Error> {
        let wanted: Vec<(String, u32)> = match &of.instance {
            Some(id) => {
                let instance = self.instance(id).await?;
                vec![(instance.machine.into_owned(), instance.version)]
            }
            None => {
                let machines = self.machines().await?.into_iter();
                let named = machines
                    .filter(|(name, _)| of.machines.is_empty() || of.machines.contains(name));
                named
                    .filter_map(|(name, versions)| Some((name, *versions.last()?)))
                    .collect()
            }
        };
        if wanted.len() > DEFINITIONS_MAX {
            return Ok(Vec::new());
        }
        let mut models = Vec::with_capacity(wanted.len());
        for (machine, version) in wanted {
            models.push(
                self.session
                    .model(&machine, version, ReadOptions::default())
                    .await?,
            );
        }
        Ok(models)
    }

    /// Of an instance those that lead out of its state come first.
    async fn events(&self, of: &NamesOf) -> Result<Vec<String>, Error> {
        let models = self.models(of).await?;
        let mut names = Vec::new();
        if let (Some(id), [model]) = (&of.instance, &*models) {
            let state = self.instance(id).await?.state;
            let leaving = model.state(&state).into_iter();
            let leaving = leaving.flat_map(|state| model.leaving(state));
            names.extend(leaving.map(|at| model.transitions[at].event.clone()));
            if !names.is_empty() {
                return Ok(names);
            }
        }
        for model in &models {
            names.extend(model.events().into_iter().map(str::to_owned));
        }
        Ok(names)
    }
}

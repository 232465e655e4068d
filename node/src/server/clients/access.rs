//! What a client may do, and what each operation needs: the one table of both.
//!
//! The check itself is in `ops/permit.rs`. What depends on the machine of an instance travels with the request as a
//! [`Reach`], to where the instance is looked up.

use std::sync::Arc;

use rstmdb_engine::{Reach, Refusal};
use rstmdb_rcp::message::ErrorBody;

use crate::replica::Caller;
use crate::server::config::{Grant, Verb};
use crate::server::messages::failure;
use crate::server::messages::op::Op;

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// No role. Only [`op::is_open`](rstmdb_rcp::message::op::is_open) says whether the client must be known.
    Nothing,
    /// This verb, on the machine that it is about.
    Verb(Verb),
    /// What each of its operations needs.
    OfItsParts,
}

/// What the operation needs. The match has no wildcard: an operation that is not here does not compile.
pub(crate) fn need(op: Op) -> Need {
    Need::Verb(match op {
        Op::Hello | Op::Auth | Op::Ping | Op::Bye | Op::Info | Op::Whoami | Op::Unwatch => {
            return Need::Nothing;
        }
        Op::Batch => return Need::OfItsParts,
        Op::GetMachine
        | Op::ListMachines
        | Op::GetInstance
        | Op::ListInstances
        | Op::AllowedEvents
        | Op::TimerList
        | Op::LockGet
        | Op::LockList
        | Op::SnapshotInstance
        | Op::WalRead
        | Op::Ancestors
        // Of nodes they tell what INFO tells of one, and nothing of machines.
        | Op::ReplicationStatus
        | Op::ClusterStatus => Verb::Read,
        Op::CreateInstance
        | Op::DeleteInstance
        | Op::ApplyEvent
        | Op::TimerSet
        | Op::LockAcquire
        | Op::LockRenew
        | Op::LockRelease => Verb::Write,
        Op::PutMachine | Op::DeleteMachine => Verb::Define,
        Op::WatchInstance | Op::WatchAll => Verb::Watch,
        // These tell of all machines at once, or change what all of them depend on.
        Op::WalStats
        | Op::Compact
        | Op::Automation
        | Op::ClusterAdd
        | Op::ClusterPromote
        | Op::ClusterRemove
        | Op::ClusterSetAddress
        | Op::ClusterTransferLeader
        | Op::ClusterFinalizeUpgrade
        | Op::RotateKey
        | Op::Reload
        | Op::BackupDescribe
        | Op::BackupSnapshot
        | Op::BackupLog
        | Op::AuditRead => Verb::Operate,
        Op::FlushAll | Op::ClockAdvance => Verb::Admin,
    })
}

/// What a client may do: all that its roles allow together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// The names of its roles.
    pub(crate) roles: Vec<String>,
    /// What they allow.
    pub(crate) grants: Vec<Grant>,
    reach: Arc<Reach>,
}

impl Access {
    /// What these roles allow.
    pub(crate) fn new(roles: Vec<String>, grants: Vec<Grant>) -> Self {
        let reach = Reach {
            read: machines(&grants, Verb::Read).collect(),
            write: machines(&grants, Verb::Write).collect(),
            watch: machines(&grants, Verb::Watch).collect(),
        };
        Self {
            roles,
            grants,
            reach: Arc::new(reach),
        }
    }

    /// What a client may do that no role limits. Importing skips the guards of machines, so it is allowed separately.
    pub(crate) fn unlimited(may_import: bool) -> Self {
        let mut grants = vec![Grant::everywhere(&[Verb::Admin])];
        grants.extend(may_import.then(|| Grant::everywhere(&[Verb::Import])));
        Self::new(vec!["admin".to_owned()], grants)
    }

    /// Refuses what the client may do on no machine at all.
    pub(crate) fn check(&self, verb: Verb) -> Result<(), ErrorBody> {
        match self.grants.iter().any(|grant| allows(grant, verb)) {
            true => Ok(()),
            false => Err(refused(verb, None)),
        }
    }

    /// Refuses what the client may not do on this machine. It says nothing of whether there is such a machine.
    pub(crate) fn check_on(&self, verb: Verb, machine: &str) -> Result<(), ErrorBody> {
        let named = match verb {
            Verb::Read => self.reach.read.cover(machine),
            Verb::Write => self.reach.write.cover(machine),
            Verb::Watch => self.reach.watch.cover(machine),
            Verb::Define | Verb::Import | Verb::Operate | Verb::Admin => {
                let names: rstmdb_engine::MachineNames = machines(&self.grants, verb).collect();
                names.cover(machine)
            }
        };
        match named {
            true => Ok(()),
            false => Err(refused(verb, Some(machine))),
        }
    }

    /// The machines to which the client is limited in what it reads; none if it may read all.
    pub(crate) fn reading(&self) -> Option<&Arc<Reach>> {
        (!self.reach.read.cover_all()).then_some(&self.reach)
    }

    /// As [`Self::reading`], in what it watches.
    pub(crate) fn watching(&self) -> Option<&Arc<Reach>> {
        (!self.reach.watch.cover_all()).then_some(&self.reach)
    }

    /// As [`Self::reading`], in what it writes, and reads beside that.
    fn writing(&self) -> Option<&Arc<Reach>> {
        let is_limited = !self.reach.write.cover_all() || !self.reach.read.cover_all();
        is_limited.then_some(&self.reach)
    }
}

fn allows(grant: &Grant, verb: Verb) -> bool {
    let implied = verb != Verb::Import && grant.verbs.contains(&Verb::Admin);
    implied || grant.verbs.contains(&verb)
}

fn machines(grants: &[Grant], verb: Verb) -> impl Iterator<Item = &str> {
    let grants = grants.iter().filter(move |grant| allows(grant, verb));
    grants.flat_map(|grant| grant.machines.iter().map(String::as_str))
}

fn refused(verb: Verb, machine: Option<&str>) -> ErrorBody {
    let mut error = failure::of_refusal(&Refusal::Forbidden {
        verb: verb.name(),
        machine: machine.map(str::to_owned),
    });
    if verb == Verb::Import {
        let why = "initial_state skips the guards of the machine, so it needs the verb import, or a token of \
                   auth.import_token_hashes";
        error.message = format!("{}: {why}", error.message).into();
    }
    error
}

/// A client, as the operations see it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The name that facts carry as their actor; empty for a client that has not authenticated.
    pub(crate) actor: Arc<str>,
    /// What it may do.
    pub(crate) access: Arc<Access>,
}

impl Client {
    /// Who asks the replica for a write.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            actor: self.actor.clone(),
            reach: self.access.writing().cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn access(grants: &[(&[Verb], &str)]) -> Access {
        let grants = grants.iter().map(|(verbs, machines)| Grant {
            verbs: verbs.to_vec(),
            machines: machines.split(' ').map(str::to_owned).collect(),
        });
        Access::new(vec!["own".to_owned()], grants.collect())
    }

    #[test]
    fn the_verb_admin_is_every_verb_but_import() {
        for may_import in [false, true] {
            let access = Access::unlimited(may_import);
            for verb in Verb::ALL {
                let allowed = verb != Verb::Import || may_import;
                assert_eq!(access.check(verb).is_ok(), allowed, "{verb:?}");
                assert_eq!(access.check_on(verb, "order").is_ok(), allowed, "{verb:?}");
            }
            assert!(access.reading().is_none() && access.watching().is_none());
            assert!(access.writing().is_none());
        }
    }

    #[test]
    fn roles_add_up_and_each_verb_has_its_own_machines() {
        let access = access(&[
            (&[Verb::Read], "*"),
            (&[Verb::Write, Verb::Watch], "order job-*"),
        ]);
        assert!(access.check_on(Verb::Read, "user").is_ok());
        assert!(access.check_on(Verb::Write, "job-7").is_ok());
        for verb in [Verb::Write, Verb::Watch, Verb::Define] {
            let error = access.check_on(verb, "user").unwrap_err();
            assert_eq!(
                error.details.unwrap_or_default(),
                serde_json::json!({ "needs": { "verb": verb.name(), "machine": "user" } })
            );
        }
        assert!(access.check(Verb::Define).is_err());
        assert!(access.reading().is_none());
        assert!(access.watching().is_some() && access.writing().is_some());
    }
}

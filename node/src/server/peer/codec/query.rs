//! Queries, which travel inside batches.

use rstmdb_engine::{ListInstances, Query};

use super::{DecodeError, required};
use crate::server::peer::wire;

impl From<Query> for wire::Query {
    fn from(query: Query) -> Self {
        use wire::query::Query as Wire;
        let query = match query {
            Query::GetInstance { instance_id } => {
                Wire::GetInstance(wire::GetInstance { instance_id })
            }
            Query::ListInstances(list) => Wire::ListInstances(wire::ListInstances {
                machine: list.machine,
                state: list.state,
                limit: list.limit,
                offset: list.offset,
                after: list.after,
            }),
            Query::GetMachine { machine, version } => {
                Wire::GetMachine(wire::GetMachine { machine, version })
            }
            Query::ListMachines { limit, offset } => {
                Wire::ListMachines(wire::ListMachines { limit, offset })
            }
        };
        Self { query: Some(query) }
    }
}

impl TryFrom<wire::Query> for Query {
    type Error = DecodeError;

    fn try_from(message: wire::Query) -> Result<Self, DecodeError> {
        use wire::query::Query as Wire;
        Ok(match required("Query.query", message.query)? {
            Wire::GetInstance(get) => Self::GetInstance {
                instance_id: get.instance_id,
            },
            Wire::ListInstances(list) => Self::ListInstances(ListInstances {
                machine: list.machine,
                state: list.state,
                limit: list.limit,
                offset: list.offset,
                after: list.after,
            }),
            Wire::GetMachine(get) => Self::GetMachine {
                machine: get.machine,
                version: get.version,
            },
            Wire::ListMachines(list) => Self::ListMachines {
                limit: list.limit,
                offset: list.offset,
            },
        })
    }
}

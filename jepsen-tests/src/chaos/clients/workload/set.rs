//! Items put into a set and taken out of it, each once.

use serde_json::json;

use super::{CLIENTS, WorkloadStep};
use crate::chaos::clients::client::ChaosClient;
use crate::chaos::history::{RequestOutcome, Workload};

/// What a client has put in.
#[derive(Debug)]
pub struct SetClient {
    number: u32,
    made: u64,
    /// Those it may still take out.
    inside: Vec<u64>,
    /// It has put in one that no client takes out.
    keeps_one: bool,
}

impl SetClient {
    /// A client that has created no items.
    pub fn new(number: u32) -> Self {
        Self {
            number,
            made: 0,
            inside: Vec::new(),
            keeps_one: false,
        }
    }

    /// An item of any client of this workload, created already or not.
    fn any(&self, client: &mut ChaosClient) -> String {
        let mut first = 0;
        let mut count = 1;
        for (workload, clients) in CLIENTS {
            if workload == Workload::Set {
                count = clients;
                break;
            }
            first += clients;
        }
        let whose = u64::from(first) + client.rng.below(u64::from(count));
        format!("item-{whose}-{}", client.rng.between(1, self.made.max(1)))
    }
}

impl WorkloadStep for SetClient {
    fn step(&mut self, client: &mut ChaosClient) {
        match client.rng.below(100) {
            0..40 => {
                self.made += 1;
                let id = format!("item-{}-{}", self.number, self.made);
                let create = json!({"machine": "item", "version": 1, "instance_id": id});
                match client.call("CREATE_INSTANCE", create) {
                    Some(RequestOutcome::Ok(_)) if !self.keeps_one => self.keeps_one = true,
                    Some(RequestOutcome::Ok(_) | RequestOutcome::Unknown { .. }) => {
                        self.inside.push(self.made);
                    }
                    _ => {}
                }
            }
            // As long as one is there this must be refused; otherwise all of them are lost.
            72 if self.keeps_one => {
                client.call("DELETE_MACHINE", json!({"machine": "item", "version": 1}));
            }
            40..72 if !self.inside.is_empty() => {
                let item = self.inside.swap_remove(client.rng.index(self.inside.len()));
                let id = format!("item-{}-{item}", self.number);
                client.call("DELETE_INSTANCE", json!({"instance_id": id}));
            }
            97 => {
                let list = json!({"machine": "item", "limit": 1000});
                client.call("LIST_INSTANCES", list);
            }
            98.. => {
                let after = self.any(client);
                let list = json!({"machine": "item", "limit": 20, "after": after});
                client.call("LIST_INSTANCES", list);
            }
            _ => {
                let id = self.any(client);
                client.call("GET_INSTANCE", json!({"instance_id": id}));
            }
        }
    }
}

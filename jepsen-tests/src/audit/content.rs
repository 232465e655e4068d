//! Everything that a client can see, computed only from the log as WAL_READ shows it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::rcp::wal::ReadRecord;

/// One instance.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedInstance {
    /// The machine's name and version.
    pub machine: (String, u64),
    /// Where it is.
    pub state: String,
    /// With what.
    pub ctx: Value,
    /// Its last fact.
    pub last_offset: u64,
}

/// All machines and instances at one offset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogContent {
    /// Names and versions.
    pub machines: BTreeSet<(String, u64)>,
    /// By id.
    pub instances: BTreeMap<String, LoggedInstance>,
}

impl LogContent {
    /// The content after the records up to and including an offset.
    pub fn at(offset: u64, records: &[ReadRecord]) -> Self {
        let mut content = Self::default();
        let until = records.partition_point(|record| record.offset <= offset);
        records[..until]
            .iter()
            .for_each(|record| content.take(record));
        content
    }

    /// Applies one record.
    pub fn take(&mut self, record: &ReadRecord) {
        let text = |field| record.text(field).to_owned();
        let machine = || {
            (
                text("machine"),
                record.entry["version"].as_u64().unwrap_or(0),
            )
        };
        match record.kind() {
            "put_machine" => {
                self.machines.insert(machine());
            }
            "checkpoint" if record.text("fact") == "delete_machine" => {
                let name = text("machine");
                let versions = record.entry["versions"].as_array().into_iter().flatten();
                for version in versions.filter_map(serde_json::Value::as_u64) {
                    self.machines.remove(&(name.clone(), version));
                }
            }
            "create_instance" => {
                let instance = LoggedInstance {
                    machine: machine(),
                    state: text("initial_state"),
                    ctx: record.entry["initial_ctx"].clone(),
                    last_offset: record.offset,
                };
                self.instances.insert(text("instance_id"), instance);
            }
            "apply_event" => {
                if let Some(instance) = self.instances.get_mut(record.text("instance_id")) {
                    instance.state = text("to_state");
                    instance.ctx = record.entry["ctx"].clone();
                    instance.last_offset = record.offset;
                }
            }
            "delete_instance" => {
                self.instances.remove(record.text("instance_id"));
            }
            "flush_all" => *self = Self::default(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_take_effect_in_their_order_and_up_to_the_offset() {
        let record = |offset, entry| ReadRecord { offset, entry };
        let records = [
            record(
                1,
                json!({"type": "put_machine", "machine": "m", "version": 1}),
            ),
            record(
                2,
                json!({"type": "create_instance", "instance_id": "a", "machine": "m",
                "version": 1, "initial_state": "s", "initial_ctx": {}}),
            ),
            record(
                4,
                json!({"type": "apply_event", "instance_id": "a", "to_state": "t",
                "ctx": {"x": 1}}),
            ),
            record(5, json!({"type": "delete_instance", "instance_id": "a"})),
            record(6, json!({"type": "flush_all"})),
        ];
        assert_eq!(LogContent::at(0, &records), LogContent::default());
        let two = LogContent::at(3, &records);
        assert_eq!(
            (two.instances["a"].state.as_str(), two.machines.len()),
            ("s", 1)
        );
        let four = LogContent::at(4, &records);
        assert_eq!(
            (
                four.instances["a"].last_offset,
                &four.instances["a"].ctx["x"]
            ),
            (4, &json!(1))
        );
        assert!(LogContent::at(5, &records).instances.is_empty());
        assert_eq!(LogContent::at(6, &records), LogContent::default());
    }
}

//! A client that is connected before an attack on the node, and must not notice the attack.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Error;
use crate::load::machines::TestMachine;
use crate::process::config::NodeConfig;
use crate::process::node::Node;
use crate::rcp::raw::RawConnection;

/// An answer that takes longer counts as noticing.
const PATIENCE: Duration = Duration::from_secs(5);
const INSTANCE: &str = "bystander";

/// The client.
#[derive(Debug)]
pub struct Bystander {
    connection: RawConnection,
}

/// A node with the machine `counter` and the bystander's instance.
///
/// # Errors
/// When it does not start.
pub fn start_node(config: &NodeConfig) -> Result<Node, Error> {
    let node = Node::start(config)?;
    let mut connection = RawConnection::connect(node.addr())?;
    let definition = TestMachine::Counter.definition();
    let put = json!({"machine": "counter", "version": 1, "definition": definition});
    connection.call("PUT_MACHINE", &put)?;
    let create = json!({"instance_id": INSTANCE, "machine": "counter", "version": 1});
    connection.call("CREATE_INSTANCE", &create)?;
    Ok(node)
}

impl Bystander {
    /// Connects to a node that [`start_node`] started.
    ///
    /// # Errors
    /// When it is not let in.
    pub fn of(node: &Node) -> Result<Self, Error> {
        let connection = RawConnection::connect(node.addr())?;
        Ok(Self { connection })
    }

    /// Reads and writes on the connection it has.
    ///
    /// # Errors
    /// When a request fails or is slow.
    pub fn notices_nothing(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let apply = json!({"instance_id": INSTANCE, "event": "SET", "payload": {"n": 1}});
        self.connection.call("APPLY_EVENT", &apply)?;
        self.connection
            .call("GET_INSTANCE", &json!({"instance_id": INSTANCE}))?;
        if begun.elapsed() > PATIENCE {
            return Err(Error::Protocol(format!(
                "others wait: {:?}",
                begun.elapsed()
            )));
        }
        Ok(())
    }
}

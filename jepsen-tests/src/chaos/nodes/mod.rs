//! The nodes as the faults need them, whether they are processes or containers.
//!
//! | module | subject |
//! |---|---|
//! | [`processes`] | nodes as processes of this machine |
//! | [`containers`] | nodes as containers |
//! | [`links`] | the links between nodes, and the rules that disturb them |
//! | [`proxy`] | the proxies that apply these rules |
//! | [`origin`] | which node has opened a connection |

pub mod containers;
pub mod links;
pub mod origin;
pub mod processes;
pub mod proxy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use self::links::Links;
use self::processes::Processes;
use crate::Error;
use crate::process::tokens::RunTokens;
use crate::rcp::raw::RawConnection;

/// How long a node may take to report its status. After that it counts as unable to report.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// What a port of a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Clients.
    Rcp,
    /// Admin HTTP.
    Admin,
    /// Other nodes.
    Peer,
}

/// A cluster under test.
pub trait Nodes: Send {
    /// Its members.
    fn ids(&self) -> Vec<u64>;
    /// All nodes that were ever started, members or not.
    fn ever(&self) -> Vec<u64> {
        self.ids()
    }
    /// Where clients reach a node.
    ///
    /// # Errors
    /// When there is no such node.
    fn addr(&self, id: u64) -> Result<SocketAddr, Error>;
    /// The ports of a node that the suite can reach, by what they are for.
    ///
    /// # Errors
    /// When there is no such node.
    fn ports(&self, id: u64) -> Result<Vec<(Port, SocketAddr)>, Error> {
        Ok(vec![(Port::Rcp, self.addr(id)?)])
    }
    /// SIGKILL.
    ///
    /// # Errors
    /// When it does not run.
    fn kill(&mut self, id: u64) -> Result<(), Error>;
    /// Sends SIGTERM and waits until the process has ended.
    ///
    /// # Errors
    /// When it does not end as it should.
    fn stop(&mut self, id: u64) -> Result<(), Error>;
    /// Starts a node that was killed or stopped, without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    fn start(&mut self, id: u64) -> Result<(), Error>;
    /// SIGSTOP.
    ///
    /// # Errors
    /// When it does not run.
    fn pause(&mut self, id: u64) -> Result<(), Error>;
    /// SIGCONT.
    ///
    /// # Errors
    /// When it does not run.
    fn resume(&mut self, id: u64) -> Result<(), Error>;
    /// Cuts a node off from the other nodes.
    ///
    /// # Errors
    /// When that fails.
    fn isolate(&mut self, id: u64) -> Result<(), Error>;
    /// Ends [`Self::isolate`].
    ///
    /// # Errors
    /// When that fails.
    fn rejoin(&mut self, id: u64) -> Result<(), Error>;
    /// Whether the process of a node has ended without the suite's doing.
    ///
    /// # Errors
    /// When there is no such node.
    fn has_ended(&mut self, id: u64) -> Result<bool, Error>;
    /// What a node wrote to its log.
    ///
    /// # Errors
    /// When it cannot be read.
    fn log(&self, id: u64) -> Result<String, Error>;
    /// The data folder of a stopped node. If the suite cannot read it in place, it is copied below `into`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn data(&self, id: u64, into: &Path) -> Result<PathBuf, Error>;
    /// The links between the nodes, where they can be influenced one by one.
    fn links(&self) -> Option<&Links>;
    /// The tokens that the nodes take, where they take any.
    fn tokens(&self) -> Option<RunTokens> {
        None
    }
    /// The nodes as processes, where they are.
    fn processes(&mut self) -> Option<&mut Processes>;

    /// Sends one request to a node.
    ///
    /// # Errors
    /// When it refuses or does not answer in time.
    fn ask(&self, id: u64, op: &str, params: &Value, timeout: Duration) -> Result<Value, Error> {
        let mut connection = RawConnection::connect_within(self.addr(id)?, timeout)?;
        connection.call(op, params)
    }

    /// The status that a node reports, if it answers at once.
    ///
    /// # Errors
    /// When it does not.
    fn info(&self, id: u64) -> Result<Value, Error> {
        self.ask(id, "INFO", &json!({}), ANSWER_TIMEOUT)
    }

    /// The node that reports to be the leader, in the highest term.
    fn leader(&self) -> Option<u64> {
        let infos = self
            .ids()
            .into_iter()
            .filter_map(|id| Some((id, self.info(id).ok()?)));
        infos
            .filter(|(_, info)| info["role"] == "leader" || info["role"] == "standalone")
            .max_by_key(|(_, info)| info["term"].as_u64())
            .map(|(id, _)| id)
    }
}

//! Finds the node that has opened a connection. The system knows which process a socket belongs to.
//!
//! Asking the system takes milliseconds, and much longer on a busy machine. So all questions that arrive while an
//! answer is prepared share the next answer.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// The processes of the nodes. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct NodeOrigins {
    processes: Arc<Mutex<BTreeMap<u64, u32>>>,
}

/// An address, and where to send the number of its node.
type OriginQuestion = (SocketAddr, oneshot::Sender<Option<u64>>);

/// Where questions are asked.
#[derive(Debug, Clone)]
pub struct Resolver {
    questions: mpsc::UnboundedSender<OriginQuestion>,
}

impl Resolver {
    /// Starts answering, on the runtime that this is called on.
    pub fn start(origins: &NodeOrigins) -> Self {
        let (questions, asked) = mpsc::unbounded_channel();
        tokio::spawn(answer(asked, origins.clone()));
        Self { questions }
    }

    /// The node that has opened the connection from this address, on this machine.
    pub async fn of(&self, addr: SocketAddr) -> Option<u64> {
        let (tell, told) = oneshot::channel();
        self.questions.send((addr, tell)).ok()?;
        told.await.ok()?
    }
}

async fn answer(mut asked: mpsc::UnboundedReceiver<OriginQuestion>, origins: NodeOrigins) {
    while let Some(first) = asked.recv().await {
        let mut questions = vec![first];
        while let Ok(another) = asked.try_recv() {
            questions.push(another);
        }
        let addrs: Vec<SocketAddr> = questions.iter().map(|(addr, _)| *addr).collect();
        let origins = origins.clone();
        let found = tokio::task::spawn_blocking(move || origins.of(&addrs)).await;
        let found = found.unwrap_or_default();
        for (addr, tell) in questions {
            // The proxy that asked may no longer wait.
            let _ = tell.send(found.get(&addr).copied());
        }
    }
}

impl NodeOrigins {
    /// Registers the process of a node.
    pub fn set(&self, node: u64, process: u32) {
        self.processes.lock().insert(node, process);
    }

    /// The nodes that have opened the connections from these addresses; connections of other programs are left out.
    fn of(&self, addrs: &[SocketAddr]) -> HashMap<SocketAddr, u64> {
        let sockets = sockets(addrs);
        let mut found = HashMap::new();
        for (node, process) in self.processes.lock().clone() {
            let open = std::fs::read_dir(format!("/proc/{process}/fd"));
            for file in open.into_iter().flatten().flatten() {
                let target = std::fs::read_link(file.path()).unwrap_or_default();
                let addr = target.to_str().and_then(|name| sockets.get(name));
                found.extend(addr.map(|addr| (*addr, node)));
            }
        }
        found
    }
}

/// The names of the sockets bound to these addresses, by the kernel's table of IPv4 connections.
fn sockets(addrs: &[SocketAddr]) -> HashMap<String, SocketAddr> {
    let wanted: HashMap<String, SocketAddr> = addrs
        .iter()
        .filter_map(|addr| Some((in_table(*addr)?, *addr)))
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let mut found = HashMap::new();
    for line in table.lines().skip(1) {
        let mut fields = line.split_whitespace();
        let Some(addr) = fields.nth(1).and_then(|local| wanted.get(local)) else {
            continue;
        };
        if let Some(inode) = fields.nth(7) {
            found.insert(format!("socket:[{inode}]"), *addr);
        }
    }
    found
}

/// An address as the kernel's table writes it: in the machine's order of bytes.
fn in_table(addr: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = addr.ip() else {
        return None;
    };
    let ip = u32::from_ne_bytes(ip.octets());
    Some(format!("{ip:08X}:{:04X}", addr.port()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_connection_is_traced_to_its_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let streams = [connect(), connect()];
        let addrs = streams
            .each_ref()
            .map(|stream| stream.local_addr().unwrap());
        let origins = NodeOrigins::default();
        origins.set(3, 1);
        assert_eq!(
            origins.of(&addrs),
            HashMap::new(),
            "they are not the first process's"
        );
        origins.set(5, std::process::id());
        assert_eq!(
            origins.of(&addrs),
            HashMap::from(addrs.map(|addr| (addr, 5)))
        );
    }
}

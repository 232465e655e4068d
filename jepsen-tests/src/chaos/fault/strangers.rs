//! Very many connections that send nothing, to every port of a node.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::burden::{self, Burden, Hand};
use super::{BegunFault, Scene};
use crate::Error;
use crate::chaos::nodes::Port;

/// How many files the suite must be able to open: for the strangers of five nodes, and for itself.
const FILES_WANTED: u64 = 4096;
/// How many connections to one node must have been opened.
const ENOUGH: u64 = 200;
/// A node that does not run, or whose queue of new connections is full, does not answer at once.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
/// After this many failed connections the part waits a little.
const REFUSED_MAX: usize = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// How many connections a port gets: together more than a node under chaos may have open files.
fn connections(port: Port) -> usize {
    match port {
        Port::Rcp => 300,
        Port::Admin => 100,
        Port::Peer => 150,
    }
}

/// Lets this program open as many files as it needs.
///
/// # Errors
/// When the system does not allow that.
pub fn raise_limit() -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let suffices = |limit: Option<u64>| limit.is_none_or(|limit| limit >= FILES_WANTED);
    if suffices(limit.current) {
        return Ok(());
    }
    if !suffices(limit.maximum) {
        let why = format!("{FILES_WANTED} open files are wanted, and the system allows fewer");
        return Err(why);
    }
    let raised = Rlimit {
        current: Some(FILES_WANTED),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("open files: {error}"))
}

/// Strangers come to one node, or to all.
pub fn crowd(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let victims = burden::victims(scene);
    if victims.is_empty() {
        return Ok(None);
    }
    let mut burden = Burden::on(victims.clone());
    for id in &victims {
        let ports = scene.nodes.ports(*id)?;
        let name = format!("connections to {id}");
        burden.add(name, ENOUGH, move |hand| besiege(&ports, hand))?;
    }
    let what = format!("strangers at {victims:?}");
    Ok(burden.begin(&what, &scene.findings))
}

/// Keeps this many connections open. It opens a new one for each that the node closes.
fn besiege(ports: &[(Port, SocketAddr)], hand: &Hand) {
    let mut places: Vec<(SocketAddr, Option<SilentStranger>)> = Vec::new();
    for (port, addr) in ports {
        places.extend((0..connections(*port)).map(|_| (*addr, None)));
    }
    while !hand.is_over() {
        let mut refused = 0;
        for (addr, place) in &mut places {
            if place.as_ref().is_some_and(SilentStranger::is_open) {
                continue;
            }
            *place = SilentStranger::connect(*addr);
            match place {
                Some(_) => hand.add(1),
                None => refused += 1,
            }
            if refused >= REFUSED_MAX || hand.is_over() {
                break;
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// A connection that sends nothing.
struct SilentStranger(TcpStream);

impl SilentStranger {
    fn connect(addr: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(Self(stream))
    }

    /// Whether the node has neither closed it nor said that it will.
    fn is_open(&self) -> bool {
        let nothing = self.0.peek(&mut [0]);
        nothing.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::chaos::fault::FaultFindings;

    #[test]
    fn as_many_come_as_there_are_to_be_and_all_leave() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ports = [(Port::Admin, listener.local_addr().unwrap())];
        let count = connections(Port::Admin);
        let mut burden = Burden::on(Vec::new());
        // The node closes one of them, and the stranger connects again.
        let enough = count as u64 + 1;
        let besieging = move |hand: &Hand| besiege(&ports, hand);
        burden.add("connections", enough, besieging).unwrap();
        let accepting = std::thread::spawn(move || {
            let accept = || listener.accept().unwrap().0;
            drop(accept());
            (0..count).map(|_| accept()).collect::<Vec<_>>()
        });
        let begun = burden.begin("strangers", &FaultFindings::default());
        let begun = begun.unwrap();
        assert!(begun.what.starts_with("strangers; connections: "));
        let inside = accepting.join().unwrap();
        drop(begun);
        for mut stream in inside {
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            // The node closes it without a message.
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    }
}

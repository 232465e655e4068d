//! The proxies between the nodes: every connection from one node to another passes through a proxy, which holds,
//! delays or breaks it as the rules of the link say.
//!
//! A node advertises the address of its proxy to the others. The proxy asks the system which node has opened a
//! connection, so it need not understand the bytes that pass.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::links::{Links, Way};
use super::origin::{NodeOrigins, Resolver};
use crate::Error;
use crate::harness::rng::Rng;

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks in flight on one connection; beyond that its sender waits, as it does in any network.
const CHUNKS_MAX: usize = 256;

/// The proxies of all nodes, on a thread of their own.
#[derive(Debug)]
pub struct Proxies {
    runtime: Runtime,
    links: Links,
    resolver: Resolver,
    /// What accepts connections for each node.
    accepting: Mutex<BTreeMap<u64, AbortHandle>>,
}

impl Proxies {
    /// Creates an empty set of proxies.
    ///
    /// # Errors
    /// When the thread of the proxies cannot be started.
    pub fn new(links: &Links, origins: &NodeOrigins) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxies")
            .enable_all()
            .build()
            .map_err(Error::io("a runtime"))?;
        let resolver = runtime.block_on(async { Resolver::start(origins) });
        Ok(Self {
            runtime,
            links: links.clone(),
            resolver,
            accepting: Mutex::default(),
        })
    }

    /// Starts the proxy of a node; gives the address that the node must advertise. At the address of its proxy before,
    /// nothing listens any more.
    ///
    /// # Errors
    /// When there is no port.
    pub fn stand_before(&self, id: u64, node: SocketAddr) -> Result<SocketAddr, Error> {
        let port = crate::process::ports::free()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = self.runtime.block_on(listener);
        let listener = listener.map_err(Error::io("the address of a proxy"))?;
        let advertised = listener.local_addr().map_err(Error::io("its address"))?;
        let (links, resolver) = (self.links.clone(), self.resolver.clone());
        let accepting = accept(listener, id, node, links, resolver);
        let accepting = self.runtime.spawn(accepting).abort_handle();
        if let Some(before) = self.accepting.lock().insert(id, accepting) {
            before.abort();
        }
        Ok(advertised)
    }
}

async fn accept(
    listener: TcpListener,
    to: u64,
    node: SocketAddr,
    links: Links,
    resolver: Resolver,
) {
    loop {
        let Ok((from_peer, addr)) = listener.accept().await else {
            // Probably out of file descriptors. Wait until other connections are closed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (links, resolver) = (links.clone(), resolver.clone());
        tokio::spawn(async move {
            // Drop connections whose source is not a live node.
            let Some(from) = resolver.of(addr).await else {
                return;
            };
            // An error ends the connection, and both sides see that.
            let _ = relay(from_peer, node, (from, to), &links).await;
        });
    }
}

/// Passes bytes both ways until one side closes, or the connection is to break.
async fn relay(opened: TcpStream, node: SocketAddr, way: Way, links: &Links) -> io::Result<()> {
    let mut breaks = links.breaks();
    breaks.mark_unchanged();
    wait_until_whole(links, way).await;
    let reached = TcpStream::connect(node).await?;
    opened.set_nodelay(true)?;
    reached.set_nodelay(true)?;
    // Both sides of a connection agree on the smaller one's segments.
    let segment = SockRef::from(&opened).tcp_mss()?;
    let (from_opener, to_opener) = opened.into_split();
    let (from_node, to_node) = reached.into_split();
    let back = (way.1, way.0);
    tokio::select! {
        done = pass(from_opener, to_node, (way, segment), links) => done,
        done = pass(from_node, to_opener, (back, segment), links) => done,
        _ = breaks.changed() => Ok(()),
    }
}

/// One direction: a chunk leaves when the link takes it and its delay is over, in the order it came.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (way, segment): (Way, u32),
    links: &Links,
) -> io::Result<()> {
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let mut chance = Chance::new(way);
    let reading = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            let condition = links.condition(way);
            if condition
                .reset_every
                .is_some_and(|every| chance.hits(every))
            {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            let due = Instant::now() + chance.stretched(condition.delay);
            if send.send((due, chunk[..count].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let writing = async {
        while let Some((due, chunk)) = receive.recv().await {
            tokio::time::sleep_until(due.into()).await;
            let packet = chunk.len().min(segment as usize) as u64;
            wait_until_taken(links, way, packet).await;
            to.write_all(&chunk).await?;
            if let Some(rate) = links.condition(way).rate {
                let took = chunk.len() as f64 / rate.max(1) as f64;
                tokio::time::sleep(Duration::from_secs_f64(took)).await;
            }
        }
        Ok(())
    };
    tokio::select! {
        done = reading => done,
        done = writing => done,
    }
}

async fn wait_until_whole(links: &Links, way: Way) {
    wait_until_taken(links, way, 0).await;
}

/// Waits until the link takes a packet of this many bytes.
async fn wait_until_taken(links: &Links, way: Way, packet: u64) {
    let mut changes = links.changes();
    loop {
        let condition = links.condition(way);
        let fits = condition.packet_max.is_none_or(|max| packet <= max);
        if !condition.cut && fits {
            return;
        }
        match condition.until {
            None => drop(changes.changed().await),
            Some(until) => {
                let change = tokio::time::sleep_until(until.into());
                tokio::select! {
                    () = change => {}
                    _ = changes.changed() => {}
                }
            }
        }
    }
}

/// The random choices of one direction of a connection. They depend on when bytes arrive, so a seed does not
/// repeat them.
struct Chance {
    rng: Rng,
    since: Instant,
}

impl Chance {
    fn new(way: Way) -> Self {
        Self {
            rng: Rng::new(way.0 << 32 | way.1),
            since: Instant::now(),
        }
    }

    /// Whether an event that happens on average once in `every` happens now, if this is called continually.
    fn hits(&mut self, every: Duration) -> bool {
        let elapsed = self.since.elapsed();
        self.since = Instant::now();
        let every = u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1);
        let elapsed = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.rng.below(every) < elapsed
    }

    /// This long, and up to as long again.
    fn stretched(&mut self, delay: Duration) -> Duration {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        match micros {
            0 => delay,
            _ => delay + Duration::from_micros(self.rng.below(micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::net::TcpStream as Blocking;

    use super::*;
    use crate::chaos::nodes::links::LinkRule;

    /// Sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read(&mut byte).is_ok_and(|count| count == 1) {
                        stream.write_all(&byte).unwrap();
                    }
                });
            }
        });
        addr
    }

    /// Links of a node 7 (this process) to a node 2 that echoes.
    fn connected() -> (Links, Proxies, Blocking) {
        let (links, origins) = (Links::default(), NodeOrigins::default());
        origins.set(7, std::process::id());
        let proxies = Proxies::new(&links, &origins).unwrap();
        let proxy = proxies.stand_before(2, echo()).unwrap();
        let stream = Blocking::connect(proxy).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(150)))
            .unwrap();
        (links, proxies, stream)
    }

    fn answers(stream: &mut Blocking) -> bool {
        let mut byte = [0];
        stream.read_exact(&mut byte).is_ok()
    }

    #[test]
    fn a_cut_link_holds_what_was_sent_until_it_is_whole() {
        for cut in [(7, 2), (2, 7)] {
            let (links, _proxies, mut stream) = connected();
            stream.write_all(b"a").unwrap();
            assert!(answers(&mut stream), "before");
            links.add(1, vec![(cut, LinkRule::Cut)]);
            stream.write_all(b"b").unwrap();
            assert!(!answers(&mut stream), "while {cut:?} is cut");
            links.remove(1);
            assert!(answers(&mut stream), "after");
        }
    }

    #[test]
    fn other_links_do_not_matter() {
        let (links, _proxies, mut stream) = connected();
        links.add(1, vec![((1, 2), LinkRule::Cut), ((7, 3), LinkRule::Cut)]);
        stream.write_all(b"a").unwrap();
        assert!(answers(&mut stream));
    }

    #[test]
    fn a_slow_link_is_late_and_keeps_the_order() {
        let (links, _proxies, mut stream) = connected();
        links.add(1, vec![((7, 2), LinkRule::Slow(Duration::from_millis(20)))]);
        let begun = Instant::now();
        for byte in 0..10_u8 {
            stream.write_all(&[byte]).unwrap();
        }
        let mut back = [0; 10];
        stream.read_exact(&mut back).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert_eq!(back, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_narrow_link_carries_its_bytes_a_second() {
        let (links, _proxies, mut stream) = connected();
        links.add(1, vec![((7, 2), LinkRule::Rate(100))]);
        // A busy machine may deliver late. Only check that nothing arrives too early.
        stream.set_read_timeout(None).unwrap();
        let begun = Instant::now();
        for byte in 0..10_u8 {
            stream.write_all(&[byte]).unwrap();
            assert!(answers(&mut stream));
        }
        assert!(begun.elapsed() >= Duration::from_millis(80));
    }

    #[test]
    fn a_large_packet_and_what_is_behind_it_waits_until_the_link_takes_it() {
        let (links, _proxies, mut stream) = connected();
        links.add(1, vec![((7, 2), LinkRule::PacketMax(600))]);
        stream.write_all(&[1; 500]).unwrap();
        let mut back = [0; 500];
        stream.read_exact(&mut back).unwrap();
        stream.write_all(&[1; 700]).unwrap();
        assert!(!answers(&mut stream));
        links.remove(1);
        stream.read_exact(&mut back).unwrap();
    }

    #[test]
    fn a_broken_connection_ends_for_both() {
        let (links, _proxies, mut stream) = connected();
        stream.write_all(b"a").unwrap();
        assert!(answers(&mut stream));
        links.break_all();
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).is_ok_and(|count| count == 0));
    }
}

//! Clients that use up a node's memory for connections, with large frames that they never finish and answers
//! that they never read.

use std::net::SocketAddr;
use std::time::Duration;

use rstmdb_rcp::PROTOCOL_VERSION;
use rstmdb_rcp::frame::{self, Flags};
use serde_json::json;

use super::burden::{self, Burden, Hand};
use super::{BegunFault, Scene};
use crate::Error;
use crate::rcp::raw::{self, RawConnection};

/// How many bytes the clients must send: two frames, which together with the unread answers use up the memory that
/// the nodes of a run have for connections (`network.buffers_max_mb` in the swarm's configuration). The node
/// reads no more of the frames until it has closed some of these connections.
const ENOUGH_BYTES: u64 = 2 * SENT_BYTES as u64;
/// The length in a frame's header, and how much of the frame is sent.
const FRAME_BYTES: u32 = 12 << 20;
const SENT_BYTES: usize = 9 << 20;
/// Connections with a frame: what all of them send is more than the node holds.
const FRAMES: usize = 6;
/// Connections that read no answer, and how many each asks for: up to 4 MiB of the log.
const READERS: usize = 6;
const ANSWERS: usize = 32;
/// How much is sent at once, and how long the node may take to read some of it.
const PIECE_BYTES: usize = 256 << 10;
const SEND_TIMEOUT: Duration = Duration::from_millis(20);
/// How long a greeting may take: a node with full buffers greets late.
const HELLO_TIMEOUT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(20);

/// Hoarders come to one node, or to all.
pub fn hoard(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let victims = burden::victims(scene);
    if victims.is_empty() {
        return Ok(None);
    }
    let mut burden = Burden::on(victims.clone());
    for id in &victims {
        let addr = scene.nodes.addr(*id)?;
        let name = format!("bytes sent to {id}");
        burden.add(name, ENOUGH_BYTES, move |hand| hoard_at(addr, hand))?;
    }
    let what = format!("hoarders at {victims:?}");
    Ok(burden.begin(&what, &scene.findings))
}

/// A connection with a frame, and how much of that was sent.
type Sender = Option<(RawConnection, usize)>;

fn hoard_at(addr: SocketAddr, hand: &Hand) {
    let frame = unfinished();
    let mut senders: Vec<Sender> = (0..FRAMES).map(|_| None).collect();
    let mut readers: Vec<Option<RawConnection>> = (0..READERS).map(|_| None).collect();
    while !hand.is_over() {
        let mut sent = 0;
        for sender in &mut senders {
            if hand.is_over() {
                return;
            }
            sent += send_piece(addr, sender, &frame);
        }
        hand.add(sent as u64);
        if let Some(reader) = readers.iter_mut().find(|reader| reader.is_none()) {
            *reader = ask_for_much(addr).ok();
        }
        if sent == 0 {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Sends a piece of the frame, on a new connection where there is none; says how many bytes.
fn send_piece(addr: SocketAddr, sender: &mut Sender, frame: &[u8]) -> usize {
    let Some((connection, sent)) = sender else {
        *sender = connect(addr).ok().map(|connection| (connection, 0));
        return 0;
    };
    let end = frame.len().min(*sent + PIECE_BYTES);
    match connection.send_some(&frame[*sent..end]) {
        Ok(count) => {
            *sent += count;
            count
        }
        Err(_) => {
            *sender = None;
            0
        }
    }
}

fn connect(addr: SocketAddr) -> Result<RawConnection, Error> {
    let mut connection = RawConnection::connect_within(addr, HELLO_TIMEOUT)?;
    connection.set_send_timeout(SEND_TIMEOUT)?;
    Ok(connection)
}

/// Asks for the log again and again, but reads no answer.
fn ask_for_much(addr: SocketAddr) -> Result<RawConnection, Error> {
    let mut connection = connect(addr)?;
    for _ in 0..ANSWERS {
        connection.queue("WAL_READ", &json!({"from_offset": 0, "limit": 1000}));
    }
    connection.flush()?;
    Ok(connection)
}

/// The header of a large frame, and the part of its body that is sent.
fn unfinished() -> Vec<u8> {
    let flags = Flags::NONE.bits();
    let mut frame = raw::header(frame::MAGIC, PROTOCOL_VERSION, flags, FRAME_BYTES, 0);
    frame.resize(frame.len() + SENT_BYTES, b' ');
    frame
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;
    use std::net::TcpListener;

    use bytes::BytesMut;
    use rstmdb_rcp::WireMode;
    use rstmdb_rcp::frame::FrameLimits;
    use rstmdb_rcp::wire::Decoder;

    use super::*;
    use crate::chaos::fault::FaultFindings;

    #[test]
    fn the_frame_is_right_as_far_as_it_goes() {
        let mut received = BytesMut::from(&unfinished()[..]);
        let mut decoder = Decoder::new(WireMode::Binary, FrameLimits::default());
        assert_eq!(decoder.take(&mut received).unwrap(), None);
    }

    /// Greets one connection, and reads it until it is closed. Returns the number of bytes.
    fn take_all(listener: &TcpListener) -> usize {
        let (mut stream, _) = listener.accept().unwrap();
        let hello = r#"{"type":"response","id":"0","status":"ok","result":{}}"#;
        std::io::Write::write_all(&mut stream, &raw::framed(hello)).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes.len()
    }

    #[test]
    fn what_was_sent_is_counted_and_its_connections_are_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let taking = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                let takers = (0..FRAMES + READERS).map(|_| scope.spawn(|| take_all(&listener)));
                let takers: Vec<_> = takers.collect();
                let taken = takers.into_iter().map(|taker| taker.join().unwrap());
                taken.sum::<usize>()
            })
        });
        let mut burden = Burden::on(Vec::new());
        burden
            .add("bytes", ENOUGH_BYTES, move |hand| hoard_at(addr, hand))
            .unwrap();
        let begun = burden.begin("hoarders", &FaultFindings::default());
        drop(begun.unwrap());
        assert!(taking.join().unwrap() as u64 >= ENOUGH_BYTES);
    }
}

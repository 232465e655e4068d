//! A link in user space: so many bytes a second, broken now and then, or without large packets.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// The size of the link's buffers, as far as the operating system can be told.
const BUFFER_BYTES: u32 = 32 * 1024;

/// The properties of a link towards the node behind it. On the way back the link only drops large packets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way {
    /// Bytes a second over each connection.
    pub rate: Option<usize>,
    /// Every connection breaks after this time.
    pub breaks_after: Option<Duration>,
    /// The link drops a packet larger than this however often it is sent. Data behind it on the same connection does
    /// not arrive either.
    pub packet_max: Option<usize>,
    /// The largest packet on the way back.
    pub answer_max: Option<usize>,
}

/// Begins a link to `target`; where it begins.
pub async fn relay(target: SocketAddr, way: Way) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(64).unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(accept(listener, target, way));
    addr
}

async fn accept(listener: TcpListener, target: SocketAddr, way: Way) {
    let mut links = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        if let Ok(far) = TcpStream::connect(target).await {
            links.spawn(carry(near, far, way));
        }
    }
}

async fn carry(near: TcpStream, far: TcpStream, way: Way) {
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let segment = SockRef::from(&near).tcp_mss().unwrap();
    // Each write goes in segments of at most this size.
    let too_small = |max: &usize| segment as usize > *max;
    let (packet_max, answer_max) = (
        way.packet_max.filter(too_small),
        way.answer_max.filter(too_small),
    );
    let breaks = async {
        match way.breaks_after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    tokio::select! {
        () = pump(from_near, to_far, way.rate, packet_max) => {}
        () = pump(from_far, to_near, None, answer_max) => {}
        () = breaks => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    rate: Option<usize>,
    packet_max: Option<usize>,
) {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(bytes) = from.read(&mut buffer).await {
        if bytes == 0 {
            return;
        }
        if packet_max.is_some_and(|max| bytes > max) {
            return std::future::pending().await;
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
        if let Some(rate) = rate {
            tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / rate as f64)).await;
        }
    }
}

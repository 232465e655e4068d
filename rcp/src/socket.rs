//! What both sides set on a TCP connection, so that a peer that has vanished is noticed.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How many keepalive probes stay unanswered before the kernel closes a silent connection.
const PROBES: u32 = 3;
/// The least the kernel takes.
const STEP_MIN: Duration = Duration::from_secs(1);

/// Makes the kernel close a connection whose peer has vanished, after about `within` (whole seconds, 3 at
/// least). The kernel probes a silent connection after half of that time, and data sent must be acknowledged
/// within it. The kernel also closes a connection whose peer accepts no data for that time.
///
/// # Errors
/// When the system refuses an option.
pub fn keep_alive(socket: &impl AsFd, within: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time((within / 2).max(STEP_MIN))
        .with_interval((within / (2 * PROBES)).max(STEP_MIN))
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(within))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_peer_that_vanished_is_noticed_in_the_time_given() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for secs in [3, 30, 3600] {
            let within = Duration::from_secs(secs);
            keep_alive(&stream, within).unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap());
            let silent = socket.tcp_keepalive_time().unwrap();
            let asked = socket.tcp_keepalive_interval().unwrap() * PROBES;
            assert!(silent + asked <= within + STEP_MIN, "{silent:?} {asked:?}");
            #[cfg(target_os = "linux")]
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(within));
        }
    }
}

//! A node's admin HTTP, which monitoring reads.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What admin HTTP answers to GET, its head included.
///
/// # Errors
/// When it cannot be reached, or is silent.
pub fn get(addr: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The value of a metric without labels.
///
/// # Errors
/// As [`get`], and when there is no such metric.
pub fn metric(addr: SocketAddr, name: &str) -> io::Result<f64> {
    let metrics = get(addr, "/metrics")?;
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.ok_or_else(|| io::Error::other(format!("no metric {name}")))?;
    value.parse().map_err(io::Error::other)
}

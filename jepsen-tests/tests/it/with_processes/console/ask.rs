//! Requests with a JSON body and a JSON answer: to nodes, and to the driver for what WebDriver itself does not have.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The status and the body.
pub(super) fn ask(addr: SocketAddr, method: &str, path: &str, body: &Value) -> (u16, Value) {
    ask_with(addr, method, path, "", body)
}

/// With more lines for the head.
pub(super) fn ask_with(
    addr: SocketAddr,
    method: &str,
    path: &str,
    head: &str,
    body: &Value,
) -> (u16, Value) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{head}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (head, body) = answer(&mut stream);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// Head and body. The driver does not end the connection after its answer.
fn answer(stream: &mut TcpStream) -> (String, String) {
    let mut received = Vec::new();
    let mut piece = [0; 64 << 10];
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let bytes: usize = lengths.next().unwrap().1.trim().parse().unwrap();
            let begins = received.windows(4).position(|four| four == b"\r\n\r\n");
            if received.len() >= begins.unwrap() + 4 + bytes {
                return (head.to_owned(), body.to_owned());
            }
        }
        let count = stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "the answer ends early: {text}");
        received.extend_from_slice(&piece[..count]);
    }
}

/// The answer to a request that a node must do.
pub(super) fn done(addr: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(addr, method, path, body);
    assert!(
        (200..300).contains(&status),
        "{method} {path}: {status} {answer}"
    );
    answer
}

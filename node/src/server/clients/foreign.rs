//! Callers that speak another protocol on the port for RCP.

/// How the requests of HTTP begin.
const METHODS: [&[u8]; 8] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"PATCH ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
];

/// What a caller of HTTP is told. It has taken one port for another, and would see nothing but a lost connection.
const WRONG_PORT: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 98\r\n\
    Connection: close\r\n\
    \r\n\
    this is the RCP port of rstmdb; HTTP is on another one (http.bind_addr), which is 7403 by default\n";

/// The answer in the caller's own protocol, if it is one that it will understand.
pub(crate) fn answer(received: &[u8]) -> Option<&'static [u8]> {
    let is_http = METHODS.iter().any(|method| received.starts_with(method));
    is_http.then_some(WRONG_PORT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_caller_of_http_is_told_the_right_port_and_nobody_else_is() {
        let told = answer(b"GET /v1/info HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let told = std::str::from_utf8(told).unwrap();
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{head}: {}",
            body.len()
        );
        assert!(body.contains("http.bind_addr"), "{body}");
        for other in [
            &b""[..],
            b"GE",
            b"RCPX\0\x01",
            b"\x16\x03\x01",
            b"{\"op\":1}",
        ] {
            assert_eq!(answer(other), None);
        }
    }
}

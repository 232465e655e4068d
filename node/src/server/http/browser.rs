//! What pages of other sites can make a browser send. This server allows other sites nothing (no CORS), but a browser
//! sends some requests all the same, and a page can let the name of its own site lead to this machine.
//!
//! | a page of another site | is stopped by |
//! |---|---|
//! | sends a form, or text that is JSON | the type of the body, which only a page of this server may set (`asked`) |
//! | sends a request without a body | the header Origin, which a browser adds to everything but plain reads |
//! | reads what it may not see | no CORS: the browser keeps the answer from it |
//! | has its name lead to this server (DNS rebinding) | the header Host: without tokens and TLS it must be a name that no stranger can own |
//!
//! A token helps against all of it, because a browser never adds one by itself.

use std::net::IpAddr;

use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{Method, StatusCode, Version, request};

use super::problem::Problem;
use crate::server::config::address;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The ends of names that no stranger can own: reserved ones, and those of clusters and private networks.
const PRIVATE_ENDS: [&str; 6] = [
    ".localhost",
    ".local",
    ".internal",
    ".svc",
    ".test",
    ".home.arpa",
];

/// Why a request that a browser may have sent is refused. `is_open`: every client that reaches this server may use it
/// without a token, and the server shows no certificate that would have to fit its name.
pub(crate) fn refusal(head: &request::Parts, is_open: bool) -> Option<Problem> {
    let (method, headers) = (&head.method, &head.headers);
    // A proxy may go by another one of several hosts than this server does.
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && head.version > Version::HTTP_10) {
        let why = format!("expected one header Host, got {hosts}");
        return Some(Problem::bad(HOST.as_str(), &why));
    }
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(&HOST);
    if let Some(host) = host.filter(|host| is_open && !is_private(host)) {
        let shown: String = host.chars().take(100).collect();
        let why = format!(
            "the header Host is {shown:?}. Without auth.required this server answers only to IP addresses and to names \
             that no stranger can own, such as localhost or node1: a page of another site could let its own name lead here"
        );
        return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, why));
    }
    let foreign = |why| Some(Problem::new(StatusCode::FORBIDDEN, why));
    if let Some(origin) = text(&ORIGIN) {
        let of = origin.split_once("://").map(|(_, authority)| authority);
        let is_own = of
            .zip(host)
            .is_some_and(|(of, host)| of.eq_ignore_ascii_case(host));
        if !is_own {
            return foreign("a page of another site has sent this request (header Origin)");
        }
    }
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    match text(&FETCH_SITE) {
        Some("cross-site" | "same-site") if !reads => {
            foreign("a page of another site has sent this request (header Sec-Fetch-Site)")
        }
        _ => None,
    }
}

/// Whether no stranger can own the name in a header Host.
fn is_private(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => address::host(host),
        _ => host.trim_start_matches('[').trim_end_matches(']'),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let has_one_label = !name.is_empty() && name.bytes().all(is_label);
    has_one_label
        || name.parse::<IpAddr>().is_ok()
        || PRIVATE_ENDS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::Request;

    use super::*;

    fn refused(
        method: Method,
        given: &[(&'static str, &'static str)],
        is_open: bool,
    ) -> Option<u16> {
        refused_in(Version::HTTP_11, method, given, is_open)
    }

    fn refused_in(
        version: Version,
        method: Method,
        given: &[(&'static str, &'static str)],
        is_open: bool,
    ) -> Option<u16> {
        let mut request = Request::builder().method(method).version(version);
        for (name, value) in given {
            request = request.header(*name, value.as_bytes());
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        refusal(&head, is_open).map(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_request_names_its_host_once_and_only_the_oldest_clients_may_leave_it_out() {
        let host = ("host", "127.0.0.1:7403");
        for (version, given, status) in [
            (Version::HTTP_11, &[host][..], None),
            (Version::HTTP_11, &[], Some(400)),
            (Version::HTTP_11, &[host, host], Some(400)),
            (
                Version::HTTP_11,
                &[host, ("host", "evil.example")],
                Some(400),
            ),
            (Version::HTTP_10, &[], None),
            (Version::HTTP_10, &[host], None),
            (Version::HTTP_10, &[host, host], Some(400)),
        ] {
            for is_open in [true, false] {
                let refused = refused_in(version, Method::GET, given, is_open);
                assert_eq!(refused, status, "{version:?} {given:?}");
            }
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let host = ("host", "127.0.0.1:7403");
        for (given, status) in [
            (&[host][..], None),
            (&[host, ("origin", "http://127.0.0.1:7403")], None),
            (&[host, ("origin", "https://127.0.0.1:7403")], None),
            (&[host, ("origin", "http://evil.example")], Some(403)),
            (&[host, ("origin", "http://127.0.0.1:8080")], Some(403)),
            (&[host, ("origin", "null")], Some(403)),
            (&[host, ("sec-fetch-site", "cross-site")], Some(403)),
            (&[host, ("sec-fetch-site", "same-site")], Some(403)),
            (&[host, ("sec-fetch-site", "same-origin")], None),
        ] {
            assert_eq!(refused(Method::POST, given, true), status, "{given:?}");
        }
        // A link from another site leads here.
        assert_eq!(
            refused(Method::GET, &[host, ("sec-fetch-site", "cross-site")], true),
            None
        );
    }

    #[test]
    fn a_name_that_leads_here_is_not_enough_where_no_token_is_needed() {
        for host in [
            "localhost",
            "localhost:7403",
            "LOCALHOST.:7403",
            "127.0.0.1:7403",
            "[::1]:7403",
            "[::1]",
            "10.0.0.7",
            "console.localhost:7403",
            "node1:7403",
            "rstmdb.orders.svc:7403",
            "rstmdb-0.rstmdb.orders.svc.cluster.local",
        ] {
            assert_eq!(
                refused(Method::GET, &[("host", host)], true),
                None,
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "evil.example:7403",
            "localhost.evil.example",
            "",
            "x:y",
            "\u{e4}",
            "127.0.0.1.evil.example",
        ] {
            let refused = |is_open| refused(Method::GET, &[("host", host)], is_open);
            assert_eq!(refused(true), Some(421), "{host}");
            assert_eq!(refused(false), None, "{host}");
        }
    }
}

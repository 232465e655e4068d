//! Addresses, `host:port`, and whether another node or a client could dial them.

use std::net::{IpAddr, SocketAddr};

/// What an address must be if others are told to dial it.
pub(crate) const DIALABLE: &str = "host:port as others dial it: a name or an IP address that is not \
                                   0.0.0.0 or ::, an IPv6 address in brackets, a port from 1 to 65535";

/// The host of `host:port`, an IPv6 address without its brackets.
pub(crate) fn host(addr: &str) -> &str {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// Whether two addresses are the same one. Names are not looked up.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    if let (Ok(one), Ok(other)) = (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) {
        return one == other;
    }
    let (Some((one, port)), Some((other, other_port))) =
        (one.rsplit_once(':'), other.rsplit_once(':'))
    else {
        return false;
    };
    let name = |host: &str| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    port == other_port && name(one) == name(other)
}

/// Whether others can dial this address, as far as its text shows.
pub(crate) fn is_dialable(addr: &str) -> bool {
    let Some((host, port)) = addr.rsplit_once(':') else {
        return false;
    };
    if !port.parse::<u16>().is_ok_and(|port| port != 0) || port.starts_with('+') {
        return false;
    }
    if let Some(inner) = host.strip_prefix('[') {
        let ip = inner.strip_suffix(']').map(str::parse::<IpAddr>);
        return matches!(ip, Some(Ok(ip @ IpAddr::V6(_))) if is_somewhere(ip));
    }
    match host.parse::<IpAddr>() {
        Ok(ip @ IpAddr::V4(_)) => is_somewhere(ip),
        Ok(IpAddr::V6(_)) => false,
        Err(_) => is_name(host),
    }
}

fn is_somewhere(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// Letters, digits, hyphens and underscores, in labels. One of digits and dots alone is an IP address that is none.
fn is_name(host: &str) -> bool {
    const BYTES_MAX: usize = 253;
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(fits)
    };
    host.len() <= BYTES_MAX
        && host.split('.').all(label)
        && host
            .bytes()
            .any(|byte| !byte.is_ascii_digit() && byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_found_in_every_notation() {
        assert_eq!(host("node-2.internal:7401"), "node-2.internal");
        assert_eq!(host("10.0.0.2:7401"), "10.0.0.2");
        assert_eq!(host("[fe80::1]:7401"), "fe80::1");
    }

    #[test]
    fn the_same_address_may_be_written_in_several_ways() {
        for (one, other, same) in [
            ("db1:7402", "db1:7402", true),
            ("db1:7402", "DB1.:7402", true),
            ("[::1]:7402", "[0:0:0:0:0:0:0:1]:7402", true),
            ("db1:7402", "db2:7402", false),
            ("db1:7402", "db1:7403", false),
            ("127.0.0.1:7402", "localhost:7402", false),
            ("", "", false),
        ] {
            assert_eq!(is_same(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn what_no_one_can_dial_is_told_from_what_one_can() {
        for good in [
            "db1:7402",
            "db_1.example.com:1",
            "db1.:7402",
            "127.0.0.1:65535",
            "[::1]:7402",
        ] {
            assert!(is_dialable(good), "{good}");
        }
        for bad in [
            "",
            "db1",
            ":7402",
            "db1:",
            "db1:0",
            "db1:65536",
            "db1:+1",
            "0.0.0.0:7402",
            "[::]:7402",
            "::1:7402",
            "[db1]:7402",
            "[::1:7402",
            "my db:7402",
            "db1/x:7402",
            "http://db1:7402",
            "256.1.1.1:7402",
            "1.2.3:7402",
            "a..b:7402",
            "224.0.0.1:7402",
            "255.255.255.255:7402",
            "dä:1",
        ] {
            assert!(!is_dialable(bad), "{bad}");
        }
    }
}

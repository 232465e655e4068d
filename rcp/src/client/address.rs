//! Where a server listens, as people write it.

use super::Error;
use crate::DEFAULT_PORT;

/// A host, by name or number, and a port.
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
    pub(super) fn parse(text: &str) -> Result<Address, Error> {
        let wrong = || {
            let expected = "expected HOST or HOST:PORT with a port from 1 to 65535";
            Error::Options(format!("{text:?} is not an address; {expected}"))
        };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
                match after {
                    "" => (host, None),
                    after => (host, Some(after.strip_prefix(':').ok_or_else(wrong)?)),
                }
            }
            None => match text.split_once(':') {
                // More than one colon: an IPv6 address without a port.
                Some((_, port)) if port.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            None => DEFAULT_PORT,
            // Nothing listens on port 0.
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(wrong)?,
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Address {
            host: host.to_owned(),
            port,
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        for (text, host, port) in [
            ("db1", "db1", 7401),
            ("db1:99", "db1", 99),
            ("10.0.0.1:99", "10.0.0.1", 99),
            ("[::1]:99", "::1", 99),
            ("[::1]", "::1", 7401),
            ("::1", "::1", 7401),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
        }
        for text in [
            "",
            ":99",
            "db1:",
            "db1:x",
            "db1:65536",
            "db1:0",
            "[::1",
            "[::1]99",
        ] {
            assert!(
                matches!(Address::parse(text), Err(Error::Options(_))),
                "{text}"
            );
        }
    }
}

//! What certificates say: how long they are valid, and for which names.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rstmdb_rcp::text::counted;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::server::config::Config;
use crate::server::config::address;

/// A certificate with less than this left deserves a warning, in seconds.
const SHORT_SECS: i64 = 21 * 86_400;
/// How a fingerprint is written in `cluster.tls.allowed_names`.
const FINGERPRINT: &str = "sha256:";

/// The names that a certificate is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames {
    dns: Vec<String>,
    ips: Vec<IpAddr>,
    /// SHA-256 of the certificate, 64 hexadecimal digits.
    fingerprint: String,
}

impl CertificateNames {
    /// Whether the certificate is for this host; the subject's common name does not count.
    #[must_use]
    pub fn cover(&self, host: &str) -> bool {
        match host.parse::<IpAddr>() {
            Ok(ip) => self.ips.contains(&ip),
            Err(_) => self.dns.iter().any(|name| covers(name, host)),
        }
    }

    /// Whether one of `allowed` is a name, an address or the fingerprint of this certificate.
    #[must_use]
    pub fn are_among(&self, allowed: &[String]) -> bool {
        allowed
            .iter()
            .any(|entry| match entry.strip_prefix(FINGERPRINT) {
                Some(digits) => digits
                    .replace(':', "")
                    .eq_ignore_ascii_case(&self.fingerprint),
                None => match entry.parse::<IpAddr>() {
                    Ok(ip) => self.ips.contains(&ip),
                    // The name itself must be equal: a wildcard certificate is not pinned by one of its hosts.
                    Err(_) => self.dns.iter().any(|name| name.eq_ignore_ascii_case(entry)),
                },
            })
    }
}

/// The names by which a client's verified certificate may be known: the common name of its subject, and its alternative
/// names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientNames(Vec<String>);

impl ClientNames {
    /// Those of a certificate in DER; none if it cannot be read.
    pub(crate) fn of(der: &[u8]) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(der) else {
            return Self::default();
        };
        let common = parsed.subject().iter_common_name();
        let common = common.filter_map(|name| Some(name.as_str().ok()?.to_owned()));
        let mut names: Vec<String> = common.collect();
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        for name in alternatives.iter().flat_map(|it| &it.value.general_names) {
            match name {
                GeneralName::DNSName(name)
                | GeneralName::RFC822Name(name)
                | GeneralName::URI(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    names.extend(ip_of(bytes).map(|ip| ip.to_string()))
                }
                _ => {}
            }
        }
        Self(names)
    }

    /// Whether this is one of them. A wildcard stands for itself alone.
    pub(crate) fn contain(&self, wanted: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case(wanted))
    }
}

/// A wildcard stands for exactly one label, the first.
fn covers(name: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match name.strip_prefix("*.") {
        Some(domain) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain)),
        None => name.eq_ignore_ascii_case(host),
    }
}

impl fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ips = self.ips.iter().map(IpAddr::to_string);
        let names: Vec<String> = self.dns.iter().cloned().chain(ips).collect();
        match names.is_empty() {
            true => write!(f, "no name")?,
            false => write!(f, "{}", names.join(", "))?,
        }
        write!(f, " ({FINGERPRINT}{})", self.fingerprint)
    }
}

/// What is read of one certificate. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub(crate) subject: String,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) names: CertificateNames,
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let fingerprint = Sha256::digest(der);
        let mut names = CertificateNames {
            fingerprint: fingerprint.iter().map(|b| format!("{b:02x}")).collect(),
            ..CertificateNames::default()
        };
        let alternatives = parsed
            .subject_alternative_name()
            .map_err(|error| error.to_string())?;
        for name in alternatives.iter().flat_map(|it| &it.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.ips.extend(ip_of(bytes)),
                _ => {}
            }
        }
        Ok(Self {
            subject: parsed.subject().to_string(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            names,
        })
    }

    /// What is wrong with the dates at `now`, or soon will be.
    pub(crate) fn trouble(&self, now: i64) -> Option<String> {
        let left = self.not_after - now;
        if self.not_before > now {
            return Some(format!(
                "is not valid yet: it becomes valid in {}, unless this machine's clock is wrong",
                days(self.not_before - now)
            ));
        }
        if left < 0 {
            return Some(format!("expired {} ago", days(left)));
        }
        (left < SHORT_SECS).then(|| format!("expires in {}", days(left)))
    }
}

fn days(secs: i64) -> String {
    match secs.unsigned_abs() / 86_400 {
        0 => "less than a day".to_owned(),
        days => counted(days, "day", "days"),
    }
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// The certificates of one file that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInUse {
    /// The key that names the file.
    pub(crate) key: &'static str,
    path: PathBuf,
    certificates: Vec<Certificate>,
    /// The host that the first of them has to name, where that is known.
    host: Option<String>,
}

impl CertificateInUse {
    /// When the first of them ends, in seconds since 1970.
    pub(crate) fn not_after(&self) -> Option<i64> {
        self.certificates.iter().map(|it| it.not_after).min()
    }

    fn warnings(&self, now: i64) -> Vec<String> {
        let (key, path) = (self.key, self.path.display());
        let mut found = Vec::new();
        for certificate in &self.certificates {
            if let Some(trouble) = certificate.trouble(now) {
                found.push(format!(
                    "{key}: the certificate of {:?} in {path} {trouble}",
                    certificate.subject
                ));
            }
        }
        if let (Some(host), Some(own)) = (&self.host, self.certificates.first())
            && !own.names.cover(host)
        {
            found.push(format!(
                "{key}: the certificate in {path} is for {}, but the other nodes reach this node at {host:?}: \
                 they will refuse the certificate",
                own.names
            ));
        }
        found
    }
}

/// Reads every certificate that the configuration names. Unreadable files are left out: the part of the node that uses
/// one reports it. `peer_addr` is where other nodes reach this one.
pub(crate) fn of_config(config: &Config, peer_addr: &str) -> Vec<CertificateInUse> {
    let (tls, cluster) = (&config.tls, &config.cluster);
    let mut files = Vec::new();
    if tls.enabled {
        files.push(("tls.cert_path", &tls.cert_path, None));
        files.push(("tls.client_ca_path", &tls.client_ca_path, None));
    }
    if cluster.tls_enabled {
        let host = address::host(peer_addr).to_owned();
        files.push(("cluster.tls.cert_path", &cluster.tls_cert_path, Some(host)));
        files.push(("cluster.tls.ca_path", &cluster.tls_ca_path, None));
    }
    let held = files.into_iter().filter_map(|(key, path, host)| {
        let path = path.clone()?;
        Some(CertificateInUse {
            key,
            certificates: read(&path).ok()?,
            path,
            host,
        })
    });
    held.collect()
}

fn read(path: &Path) -> Result<Vec<Certificate>, String> {
    let ders = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    ders.map(|der| Certificate::parse(&der.map_err(|error| error.to_string())?))
        .collect()
}

/// Everything about these certificates that an operator should know now.
pub(crate) fn warnings(held: &[CertificateInUse]) -> Vec<String> {
    let now = unix_secs();
    held.iter().flat_map(|it| it.warnings(now)).collect()
}

fn unix_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        Certificate::parse(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn a_certificate_covers_its_names_and_no_others() {
        let names = certificate(&["db1.test", "*.db.test", "10.0.0.1", "fe80::1"]).names;
        for host in [
            "db1.test",
            "DB1.test",
            "db1.test.",
            "x.db.test",
            "10.0.0.1",
            "fe80::1",
        ] {
            assert!(names.cover(host), "{host}");
        }
        for host in [
            "db2.test",
            "test",
            "db.test",
            "a.b.db.test",
            ".db.test",
            "10.0.0.2",
            "",
        ] {
            assert!(!names.cover(host), "{host}");
        }
    }

    #[test]
    fn a_certificate_is_allowed_by_name_address_or_fingerprint() {
        let names = certificate(&["ops.test", "10.0.0.1"]).names;
        let colons: Vec<&str> = (0..64)
            .step_by(2)
            .map(|i| &names.fingerprint[i..i + 2])
            .collect();
        for entry in [
            "ops.test".to_owned(),
            "10.0.0.1".to_owned(),
            format!("sha256:{}", names.fingerprint.to_uppercase()),
            format!("sha256:{}", colons.join(":")),
        ] {
            assert!(
                names.are_among(&["other.test".to_owned(), entry.clone()]),
                "{entry}"
            );
        }
        for entry in ["test", "10.0.0.2", "sha256:00", "sha256:"] {
            assert!(!names.are_among(&[entry.to_owned()]), "{entry}");
        }
        assert!(
            !certificate(&["*.test"])
                .names
                .are_among(&["ops.test".to_owned()])
        );
    }

    #[test]
    fn dates_are_warned_of_before_during_and_after() {
        let certificate = Certificate {
            not_before: 1_000_000,
            not_after: 1_000_000 + 90 * 86_400,
            ..certificate(&["db1.test"])
        };
        let at = |days: i64| certificate.trouble(1_000_000 + days * 86_400);
        assert!(at(-2).unwrap().contains("not valid yet"));
        assert_eq!(at(10), None);
        assert_eq!(at(69), None);
        assert_eq!(at(89).unwrap(), "expires in 1 day");
        assert_eq!(at(90).unwrap(), "expires in less than a day");
        assert_eq!(at(70).unwrap(), "expires in 20 days");
        assert_eq!(at(93).unwrap(), "expired 3 days ago");
    }

    #[test]
    fn a_certificate_for_another_host_is_warned_of() {
        let held = |host: &str| CertificateInUse {
            key: "cluster.tls.cert_path",
            path: "n.pem".into(),
            certificates: vec![certificate(&["db1.test"])],
            host: Some(host.to_owned()),
        };
        assert_eq!(warnings(&[held("db1.test")]), Vec::<String>::new());
        let said = warnings(&[held("db2.test")]);
        assert!(
            said[0].contains("is for db1.test") && said[0].contains("db2.test"),
            "{said:?}"
        );
    }
}

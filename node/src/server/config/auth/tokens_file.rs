//! `auth.tokens_file`: tokens and certificates with names and roles.
//!
//! It is read again while the node runs. So a fault names the line and the field, and never shows what may be a token.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use super::super::hash::parse_hash;
use super::super::value::ConfigValue;
use super::roles::{Grant, Roles, is_name};

/// Names that the node itself gives to the actors of facts.
const OWN_ACTORS: [&str; 2] = ["timer", "lock"];
/// How the node names the bearer of a token without a name.
const UNNAMED: &str = "token:";
/// The longest name in a certificate.
const CERTIFICATE_BYTES_MAX: usize = 1024;

/// An entry of the file: a client that authenticates by a token, by a certificate, or by either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedClient {
    /// Its name: the actor of its facts.
    pub(crate) name: Arc<str>,
    /// SHA-256 of its token.
    pub(crate) hash: Option<[u8; 32]>,
    /// The common name, or an alternative name, of its certificate.
    pub(crate) certificate: Option<String>,
    /// The names of its roles.
    pub(crate) roles: Vec<String>,
    /// What its roles may do.
    pub(crate) grants: Vec<Grant>,
    /// From then on it is refused.
    pub(crate) expires: Option<SystemTime>,
}

/// Reads the text of the file; the error is for people.
pub(crate) fn parse(text: &str, roles: &Roles) -> Result<Vec<NamedClient>, String> {
    let entries = match ConfigValue::of_yaml(text)? {
        ConfigValue::Null => Vec::new(),
        ConfigValue::List(entries) => entries,
        ConfigValue::Text(_) | ConfigValue::Map(_) => {
            return Err("expected a list of entries, each with name, hash and roles".to_owned());
        }
    };
    let mut clients = Vec::with_capacity(entries.len());
    let (mut hashes, mut certificates) = (BTreeSet::new(), BTreeSet::new());
    for (number, entry) in entries.iter().enumerate() {
        let place = place_of(number, entry);
        let client = client(entry, roles).map_err(|fault| format!("{place}: {fault}"))?;
        let is_new = client.hash.is_none_or(|hash| hashes.insert(hash));
        if !is_new {
            return Err(format!("{place}: hash: an earlier entry has the same one"));
        }
        if let Some(name) = &client.certificate
            && !certificates.insert(name.to_ascii_lowercase())
        {
            let fault = "an earlier entry has the same one";
            return Err(format!("{place}: certificate: {name:?}: {fault}"));
        }
        clients.push(client);
    }
    Ok(clients)
}

fn place_of(number: usize, entry: &ConfigValue) -> String {
    let number = number + 1;
    match entry {
        ConfigValue::Map(fields) if !fields.is_empty() => {
            format!("line {} (entry {number})", fields[0].1)
        }
        _ => format!("entry {number}"),
    }
}

fn client(entry: &ConfigValue, roles: &Roles) -> Result<NamedClient, String> {
    const FIELDS: &str = "name, hash, certificate, roles, expires";
    let ConfigValue::Map(fields) = entry else {
        return Err(format!("expected a mapping with {FIELDS}"));
    };
    let (mut name, mut hash, mut certificate, mut named, mut expires) =
        (None, None, None, None, None);
    for (field, line, value) in fields {
        let fault = |what: String| format!("{field} (line {line}): {what}");
        match field.as_str() {
            "name" => name = Some(name_of(value).map_err(fault)?),
            "hash" => hash = Some(hash_of(value).map_err(fault)?),
            "certificate" => certificate = Some(certificate_of(value).map_err(fault)?),
            "roles" => named = Some(roles_of(value, roles).map_err(fault)?),
            "expires" => expires = expires_of(value).map_err(fault)?,
            // The name may be a token that was written in the wrong place.
            _ => {
                return Err(format!(
                    "line {line}: this field is not known; known here: {FIELDS}"
                ));
            }
        }
    }
    let missing = |field: &str| format!("{field} is missing");
    if hash.is_none() && certificate.is_none() {
        return Err(format!(
            "{}: the hash of its token, or the name in its certificate",
            missing("hash or certificate")
        ));
    }
    let (roles, grants) = named.ok_or_else(|| missing("roles"))?;
    Ok(NamedClient {
        name: name.ok_or_else(|| missing("name"))?,
        hash,
        certificate,
        roles,
        grants,
        expires,
    })
}

fn name_of(value: &ConfigValue) -> Result<Arc<str>, String> {
    let name = value.text().filter(|name| is_name(name));
    let name = name
        .ok_or_else(|| "expected a name of 1 to 256 bytes without control characters".to_owned())?;
    if OWN_ACTORS.contains(&name) || name.starts_with(UNNAMED) {
        return Err(format!(
            "{name:?} would look like an actor of the node itself: choose another name"
        ));
    }
    Ok(name.into())
}

fn hash_of(value: &ConfigValue) -> Result<[u8; 32], String> {
    // The value is not shown: it may be a token that was written here by mistake.
    value.text().and_then(parse_hash).ok_or_else(|| {
        "expected the SHA-256 of a token as 64 hexadecimal digits (`rstmdb-cli hash-token` makes it)"
            .to_owned()
    })
}

fn certificate_of(value: &ConfigValue) -> Result<String, String> {
    let name = value
        .text()
        .filter(|name| name.len() <= CERTIFICATE_BYTES_MAX && !name.contains(char::is_control));
    name.map(str::to_owned).ok_or_else(|| {
        "expected the common name, or an alternative name, of a client's certificate".to_owned()
    })
}

fn roles_of(value: &ConfigValue, roles: &Roles) -> Result<(Vec<String>, Vec<Grant>), String> {
    let names = value.texts().filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| "expected a list of roles, at least one".to_owned())?;
    let mut grants = Vec::new();
    for name in &names {
        let of_role = roles.find(name);
        grants.extend(
            of_role
                .ok_or_else(|| format!("{name:?} is not a role; there are {}", roles.names()))?,
        );
    }
    Ok((names.into_iter().map(str::to_owned).collect(), grants))
}

fn expires_of(value: &ConfigValue) -> Result<Option<SystemTime>, String> {
    if value.is_none() {
        return Ok(None);
    }
    let text = value.text().unwrap_or_default();
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    match whole.parse::<Timestamp>() {
        Ok(time) => Ok(Some(time.into())),
        Err(_) => Err(format!(
            "{value} is no time; expected RFC 3339 such as 2027-01-31T18:00:00Z, or a date such as 2027-01-31, which \
             stands for its beginning in UTC"
        )),
    }
}

/// For tests and for the fuzz target in `node/fuzz`.
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing {
    use super::{Roles, parse};

    /// Takes `data` as the file. No content of it may cause a panic, and a refusal shows nothing that looks like a hash
    /// or a long token.
    pub fn take(data: &[u8]) {
        let text = String::from_utf8_lossy(data);
        if let Ok(clients) = parse(&text, &Roles::default()) {
            for client in clients {
                assert!(client.hash.is_some() || client.certificate.is_some());
                assert!(!client.name.is_empty() && !client.roles.is_empty());
            }
        }
    }
}

#[cfg(test)]
#[path = "tokens_file_tests.rs"]
mod tests;

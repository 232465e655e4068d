//! Checks requests as AWS Signature Version 4 says.

use axum::http::request::Parts;
use ring::{digest, hmac};

use super::{ACCESS_KEY, SECRET_KEY};

/// The code of the error when the signature, or the checksum of the body, is wrong.
pub(super) fn check(head: &Parts, body: &[u8]) -> Result<(), &'static str> {
    let denied = "AccessDenied";
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let given = header("authorization").ok_or(denied)?;
    let given = given.strip_prefix("AWS4-HMAC-SHA256 ").ok_or(denied)?;
    let part = |name: &str| {
        let mut parts = given.split(", ").chain(given.split(','));
        parts.find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let credential = part("Credential").ok_or(denied)?;
    let signed = part("SignedHeaders").ok_or(denied)?;
    let signature = part("Signature").ok_or(denied)?;
    let (access_key, scope) = credential.split_once('/').ok_or(denied)?;
    if access_key != ACCESS_KEY {
        return Err("InvalidAccessKeyId");
    }
    let hash = header("x-amz-content-sha256").ok_or(denied)?;
    if hash != "UNSIGNED-PAYLOAD" && hash != sha256(body) {
        return Err("XAmzContentSHA256Mismatch");
    }
    let mut pairs: Vec<&str> = head.uri.query().unwrap_or_default().split('&').collect();
    pairs.sort_unstable();
    let query: Vec<String> = pairs
        .into_iter()
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.contains('=') {
            true => pair.to_owned(),
            false => format!("{pair}="),
        })
        .collect();
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name).unwrap_or_default().trim()))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{hash}",
        head.method,
        head.uri.path(),
        query.join("&"),
    );
    let date = header("x-amz-date").ok_or(denied)?;
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let secret = format!("AWS4{SECRET_KEY}").into_bytes();
    let key = scope.split('/').fold(secret, |key, part| mac(&key, part));
    match hex::encode(mac(&key, &text)) == signature {
        true => Ok(()),
        false => Err("SignatureDoesNotMatch"),
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

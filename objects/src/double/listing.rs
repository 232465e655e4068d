//! Lists of objects, two on a page, so that every test goes through several pages.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::body::{Body, Bytes};
use axum::http::Response;

const PAGE: usize = 2;

/// The parameters of a URL.
pub(super) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), decoded(value))
        })
        .collect()
}

/// Without its escapes.
pub(super) fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        out.extend(hex::decode(digits).unwrap_or_default());
        out.extend(rest.as_bytes());
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// ListObjectsV2.
pub(super) fn list(
    objects: &BTreeMap<String, Bytes>,
    query: &BTreeMap<String, String>,
) -> Response<Body> {
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let after = query.get("continuation-token").cloned().unwrap_or_default();
    let mut found = objects
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix) && **name > after);
    let page: Vec<_> = found.by_ref().take(PAGE).collect();
    let mut xml = "<ListBucketResult>".to_owned();
    for (name, object) in &page {
        let (bytes, tag) = (object.len(), super::etag(object));
        // Writing to a String cannot fail.
        let _ = write!(
            xml,
            "<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
             <ETag>{tag}</ETag><Size>{bytes}</Size></Contents>"
        );
    }
    if let (Some(_), Some((last, _))) = (found.next(), page.last()) {
        let _ = write!(
            xml,
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
        );
    }
    xml.push_str("</ListBucketResult>");
    Response::new(Body::from(xml))
}

//! Documents of the server itself. They tell nothing of what it holds, so they need no token.
//!
//! | module | subject |
//! |---|---|
//! | `console` | the console: a page, its scripts and its styles |
//! | `openapi` | the OpenAPI document |

mod console;
mod openapi;

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{
    ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY,
};
use axum::http::{Method, Response, StatusCode, request};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// What the pages of this server may do: run its own scripts and styles, and send requests to it. Nothing inline, no
/// other server, no frame around them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A document.
pub(super) struct Document {
    path: &'static str,
    media_type: &'static str,
    bytes: Bytes,
    /// By its content, so a new version of the program brings new documents into every browser.
    etag: HeaderValue,
}

impl Document {
    fn new(path: &'static str, media_type: &'static str, bytes: Bytes) -> Self {
        let hash = hex::encode(&Sha256::digest(&bytes)[..16]);
        let etag = HeaderValue::try_from(format!("\"{hash}\""));
        Self {
            path,
            media_type,
            bytes,
            etag: etag.unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }
}

static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let console = console::FILES.iter();
    let console = console.map(|&(path, media_type, bytes)| {
        Document::new(path, media_type, Bytes::from_static(bytes))
    });
    let openapi = Document::new(openapi::PATH, "application/json", openapi::document());
    console.chain([openapi]).collect()
});

/// The document at a path.
pub(super) fn find(path: &str) -> Option<&'static Document> {
    DOCUMENTS.iter().find(|document| document.path == path)
}

/// Answers a request for it.
///
/// # Errors
/// For a method that no document has.
pub(super) fn answer(
    document: &'static Document,
    head: &request::Parts,
) -> Result<Response<Body>, Problem> {
    let allowed = [Method::GET, Method::HEAD, Method::OPTIONS];
    if head.method == Method::OPTIONS {
        return Ok(options(&allowed));
    }
    if !allowed.contains(&head.method) {
        return Err(Problem::not_allowed(&head.method, &allowed));
    }
    let is_known = head.headers.get(IF_NONE_MATCH) == Some(&document.etag);
    let mut response = if is_known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(document.bytes.clone()))
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, document.etag.clone());
    if !is_known {
        let media_type = HeaderValue::from_static(document.media_type);
        headers.insert(CONTENT_TYPE, media_type);
    }
    let constant: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        // Another site's window that opens this page cannot reach into it.
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in constant {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The answer to OPTIONS.
pub(super) fn options(allowed: &[Method]) -> Response<Body> {
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(ALLOW, names);
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use axum::http::Request;

    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("console")
    }

    fn asked(method: Method, known: Option<&str>) -> request::Parts {
        let mut request = Request::builder().method(method);
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, known);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn every_file_of_the_console_is_served_and_nothing_else() {
        let mut files = BTreeSet::new();
        for part in ["", "screens"] {
            for entry in std::fs::read_dir(folder().join(part)).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                if entry.file_type().unwrap().is_file() && name != "package.json" {
                    files.insert(format!("{part}/{name}").trim_start_matches('/').to_owned());
                }
            }
        }
        assert!(files.remove("index.html"));
        let served: BTreeSet<String> = console::FILES
            .iter()
            .filter_map(|(path, ..)| path.strip_prefix("/console/"))
            .map(str::to_owned)
            .collect();
        assert_eq!(served, files);
        let bytes: usize = console::FILES.iter().map(|(.., bytes)| bytes.len()).sum();
        assert!(bytes < 300_000, "{bytes}");
    }

    #[test]
    fn whatever_a_file_names_is_a_file_of_the_console() {
        for (path, _, bytes) in console::FILES {
            let text = std::str::from_utf8(bytes).unwrap();
            let at = if *path == "/" { "/console/" } else { *path };
            let (above, _) = at.rsplit_once('/').unwrap();
            for line in text.lines().filter(|line| line.contains("from \"")) {
                let named = line.split('"').rev().nth(1).unwrap();
                let place = match named.strip_prefix("../") {
                    Some(name) => format!("/console/{name}"),
                    None => format!("{above}/{}", named.strip_prefix("./").unwrap()),
                };
                assert!(find(&place).is_some(), "{path}: {line}");
            }
            for named in text.split('"').filter(|text| text.starts_with("/console/")) {
                assert!(find(named).is_some(), "{path} names {named}");
            }
        }
    }

    #[test]
    fn scripts_make_no_markup_and_files_are_short() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "http://",
            "https://",
        ];
        for (path, _, bytes) in console::FILES {
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(
                text.lines().count() <= 400,
                "{path} has more than 400 lines"
            );
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in forbidden {
                assert!(!text.contains(word), "{path} has {word}");
            }
        }
    }

    #[test]
    fn a_document_has_its_policy_and_is_sent_once() {
        let page = find("/").unwrap();
        let first = answer(page, &asked(Method::GET, None)).unwrap();
        let header = |name: HeaderName| first.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(header(CONTENT_TYPE), "text/html; charset=utf-8");
        let policy = header(CONTENT_SECURITY_POLICY);
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(REFERRER_POLICY), "no-referrer");
        let etag = header(ETAG);
        let again = answer(page, &asked(Method::GET, Some(&etag))).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = answer(page, &asked(Method::GET, Some("\"other\""))).unwrap();
        assert_eq!(other.status(), StatusCode::OK);
        assert!(answer(page, &asked(Method::POST, None)).is_err());
        let tags: BTreeSet<&str> = DOCUMENTS
            .iter()
            .map(|one| one.etag.to_str().unwrap())
            .collect();
        assert_eq!(tags.len(), DOCUMENTS.len(), "two documents have one tag");
    }
}

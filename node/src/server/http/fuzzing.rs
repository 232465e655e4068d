//! Feeds any bytes to what reads requests of HTTP. For tests and for the fuzz target in `node/fuzz`.

use axum::http::{HeaderName, HeaderValue, Method, Request};
use bytes::BytesMut;
use rstmdb_rcp::json;

use super::asked::object::ObjectPasser;
use super::asked::{self, Found, Resume};
use super::browser;
use super::operations::Shape;

/// Takes `data` as a request: a first line with method and target, headers, an empty line, a body. No content of it may
/// cause a panic here, and none may reach beyond the parameters of its operation.
pub fn take(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let (method, target) = lines
        .next()
        .unwrap_or_default()
        .split_once(' ')
        .unwrap_or(("GET", "/"));
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        let value = HeaderValue::from_str(value.trim());
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    let _ = Resume::parse(target);
    let Ok(request) = request.body(()) else {
        return;
    };
    let (head, ()) = request.into_parts();
    let _ = browser::refusal(&head, true);
    let Ok(Found::Entry(entry, in_path)) = asked::find(&head.method, head.uri.path()) else {
        return;
    };
    let Ok(asked) = asked::understand(entry, in_path, &head) else {
        return;
    };
    let members = asked.members.text();
    let alone = envelope(&[b"{", members, b"}"].concat());
    assert!(
        json::value_of_bytes(&alone).is_ok(),
        "what a URL says is JSON"
    );
    if head.method != Method::GET {
        pass(body.as_bytes(), members, asked.shape);
    }
}

/// A body that is passed on stays where it belongs.
fn pass(body: &[u8], members: &[u8], shape: &'static Shape) {
    let mut passer = ObjectPasser::new(shape);
    let mut passed = BytesMut::new();
    for piece in body.chunks(7) {
        if passer.pass(piece, members, &mut passed).is_err() {
            return;
        }
    }
    if passer.end().is_err() {
        return;
    }
    assert_eq!(
        passed.len(),
        ObjectPasser::passed_bytes(body.len(), members)
    );
    if let Ok(whole) = json::value_of_bytes(&envelope(&passed)) {
        let whole = whole
            .as_object()
            .map(|fields| (fields.len(), &fields["params"]));
        assert!(whole.is_some_and(|(count, params)| count == 2 && params.is_object()));
    }
}

fn envelope(params: &[u8]) -> Vec<u8> {
    [b"{\"op\":\"X\",\"params\":", params, b"}"].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_input_of_the_corpus_passes_the_fuzz_target() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http");
        let inputs: Vec<_> = fs::read_dir(&folder).unwrap().collect();
        assert!(!inputs.is_empty(), "{} is empty", folder.display());
        for input in inputs {
            let path = input.unwrap().path();
            println!("{}", path.display());
            super::take(&fs::read(&path).unwrap());
        }
    }
}

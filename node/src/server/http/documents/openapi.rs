//! The OpenAPI document, made of the table of operations.
//!
//! Made here and not by a crate such as utoipa: the parameters and results are written and read by hand in the crate of
//! the protocol, so derived schemas would be of types that serve only for the document, and would bring a second table
//! of routes. This way the document cannot differ from what is served, and costs no time to build.

use std::sync::LazyLock;

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::server::http::operations::{
    Access, ENTRIES, Entry, Field, Kind, Shape, access, items, shape,
};
use crate::server::http::problem::PROBLEM_JSON;
use crate::server::messages::op::Op;

/// Where it is.
pub(super) const PATH: &str = "/openapi.json";
/// The version of the interface, which is in its paths, too.
const VERSION: &str = "1";
/// What a client may say of any request, and what of some.
const KEY_HEADER: &str = "Idempotency-Key";
/// Fields of results that may be null.
const NULLABLE: [&str; 9] = [
    "ctx",
    "layout",
    "leader",
    "name",
    "meta",
    "wal_offset",
    "instance_id",
    "current_state",
    "upstream",
];
/// Parameters that may be null.
const NULLABLE_PARAMS: [&str; 2] = ["payload", "payloads"];

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| build().to_string().into());

/// Its text.
pub(super) fn document() -> Bytes {
    DOCUMENT.clone()
}

fn build() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for entry in ENTRIES.iter() {
        let Some(shape) = shape(entry.op) else {
            continue;
        };
        let path = paths.entry(entry.route.path).or_insert_with(|| json!({}));
        let method = entry.route.method.as_str().to_ascii_lowercase();
        path[method] = operation(entry, shape);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rstmdb",
            "version": VERSION,
            "description": "A replicated database of state machines. Each request calls an operation of RCP, whose \
                            name is in `x-operation`; docs/http.md and docs/protocol.md say more.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        // A token, or none where auth.required is false.
        "security": [{ "token": [] }, {}],
        "paths": paths,
        "x-operations-without-path": nowhere(),
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Problem": problem() },
            "responses": {
                "Problem": {
                    "description": "The request was refused or failed.",
                    "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
        },
    })
}

/// The operations that have no path, with the reasons.
fn nowhere() -> Map<String, Value> {
    let reasons = Op::ALL.iter().filter_map(|op| match access(*op) {
        Access::Nowhere(reason) => Some((op.name().to_owned(), reason.into())),
        Access::Routes(_) => None,
    });
    reasons.collect()
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457, with the error of RCP.",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "For people; it may change at any time." },
            "code": { "type": "string", "description": "See docs/errors." },
            "retryable": { "type": "boolean", "description": "Whether the same request again is safe and may succeed." },
            "details": { "type": "object", "description": "Data, per code." },
        },
        "required": ["type", "title", "status", "detail", "code", "retryable"],
    })
}

fn operation(entry: &Entry, shape: &'static Shape) -> Value {
    let has_body = entry.route.method != Method::GET;
    let mut parameters: Vec<Value> = Vec::new();
    let in_path: Vec<&str> = entry.path_params().collect();
    for name in &in_path {
        if let Some(field) = shape.param(name) {
            parameters.push(parameter(field, "path", true));
        }
    }
    let rest: Vec<&'static Field> = shape
        .all_params()
        .filter(|field| !in_path.contains(&field.name))
        .collect();
    let is_link_to_write = entry.op == Op::Automation && !has_body;
    let mut operation = json!({
        "operationId": id(entry),
        "x-operation": entry.op.name(),
        "summary": shape.summary,
        "tags": [tag(entry)],
    });
    if has_body {
        operation["requestBody"] = body(&rest);
        parameters.extend(headers(shape));
    } else if !is_link_to_write {
        parameters.extend(
            rest.iter()
                .map(|field| parameter(field, "query", field.required)),
        );
    }
    if entry.streams() {
        parameters.push(header(
            "Last-Event-ID",
            "the id of the last event that was read: the stream goes on after it",
        ));
    }
    operation["parameters"] = parameters.into();
    operation["responses"] = responses(entry, shape);
    operation
}

/// `getInstance`, and where an operation has several routes `getMachineVersion`.
fn id(entry: &Entry) -> String {
    let mut id = String::new();
    for (at, word) in entry.op.name().to_ascii_lowercase().split('_').enumerate() {
        let mut chars = word.chars();
        let first = chars.next().map(|first| {
            if at == 0 {
                first
            } else {
                first.to_ascii_uppercase()
            }
        });
        id.extend(first.into_iter().chain(chars));
    }
    match (entry.op, &entry.route.method) {
        (Op::GetMachine | Op::DeleteMachine, _)
            if entry.route.path.ends_with('}') && entry.route.path.contains("versions") =>
        {
            id + "Version"
        }
        (Op::AllowedEvents | Op::Automation, method) => {
            id + if *method == Method::GET {
                "Get"
            } else {
                "Body"
            }
        }
        _ => id,
    }
}

/// The part of the path that groups operations.
fn tag(entry: &Entry) -> &'static str {
    entry.route.path.split('/').nth(2).unwrap_or("rstmdb")
}

fn schema(field: &Field, nullable: bool) -> Value {
    let of = |name: &str| match nullable {
        true => json!({ "type": [name, "null"] }),
        false => json!({ "type": name }),
    };
    let mut schema = match field.kind {
        Kind::Text => of("string"),
        Kind::Integer => of("integer"),
        Kind::Number => of("number"),
        Kind::Bool => of("boolean"),
        Kind::Object => of("object"),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Integers => json!({ "type": "array", "items": { "type": "integer" } }),
        Kind::List => json!({ "type": "array", "items": { "type": "object" } }),
    };
    if !field.about.is_empty() {
        schema["description"] = field.about.into();
    }
    schema
}

fn parameter(field: &Field, place: &str, required: bool) -> Value {
    let schema = schema(field, false);
    let mut parameter = json!({ "name": field.name, "in": place, "required": required });
    match field.kind {
        Kind::Object | Kind::Integers | Kind::List => {
            parameter["content"] = json!({ "application/json": { "schema": schema } })
        }
        _ => parameter["schema"] = schema,
    }
    parameter
}

fn header(name: &str, about: &str) -> Value {
    json!({ "name": name, "in": "header", "required": false, "description": about, "schema": { "type": "string" } })
}

fn headers(shape: &Shape) -> impl Iterator<Item = Value> {
    let takes = |name| shape.params.iter().any(|field| field.name == name);
    let key = header(KEY_HEADER, "as idempotency_key: a retry takes effect once");
    let condition = header(
        "If-Match",
        "as expected_wal_offset: the ETag that the instance must still have",
    );
    let key = takes("idempotency_key").then_some(key);
    key.into_iter()
        .chain(takes("expected_wal_offset").then_some(condition))
}

fn object<'a>(fields: impl Iterator<Item = &'a Field> + Clone, nullable: &[&str]) -> Value {
    let properties: Map<String, Value> = fields
        .clone()
        .map(|field| {
            (
                field.name.to_owned(),
                schema(field, nullable.contains(&field.name)),
            )
        })
        .collect();
    let required: Vec<&str> = fields
        .filter(|field| field.required)
        .map(|field| field.name)
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn body(fields: &[&'static Field]) -> Value {
    let schema = object(fields.iter().copied(), &NULLABLE_PARAMS);
    let required = fields.iter().any(|field| field.required);
    json!({ "required": required, "content": { "application/json": { "schema": schema } } })
}

fn responses(entry: &Entry, shape: &'static Shape) -> Value {
    let schema = object(shape.result.iter(), &NULLABLE);
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let content = if entry.streams() {
        json!({ "text/event-stream": {}, "application/x-ndjson": {} })
    } else if items(entry.op).is_some() {
        json!({ "application/json": { "schema": schema }, "application/x-ndjson": {} })
    } else {
        json!({ "application/json": { "schema": schema } })
    };
    let done = json!({ "description": "Done.", "content": content });
    let mut responses = json!({ "200": done.clone(), "default": problem });
    if entry.op == Op::CreateInstance {
        responses["201"] = done;
    }
    if entry.op == Op::GetInstance {
        responses["304"] =
            json!({ "description": "The instance still has the ETag that If-None-Match names." });
    }
    responses
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_every_route_and_nothing_else() {
        let document = rstmdb_rcp::json::value_of_bytes(&document()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().unwrap();
        let mut found = BTreeSet::new();
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                found.insert((method.to_ascii_uppercase(), path.clone()));
                check_operation(path, operation);
            }
        }
        let served = ENTRIES.iter();
        let served =
            served.map(|entry| (entry.route.method.to_string(), entry.route.path.to_owned()));
        assert_eq!(found, served.collect());
    }

    /// What the specification demands of an operation.
    fn check_operation(path: &str, operation: &Value) {
        let parameters = operation["parameters"].as_array().unwrap();
        let names: BTreeSet<_> = parameters
            .iter()
            .map(|it| (it["in"].as_str(), it["name"].as_str()))
            .collect();
        assert_eq!(names.len(), parameters.len(), "{path}");
        let in_path: BTreeSet<_> = parameters
            .iter()
            .filter(|it| it["in"] == "path")
            .collect::<Vec<_>>()
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        let braces: BTreeSet<_> = path
            .split('/')
            .filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        assert_eq!(in_path, braces, "{path}");
        for parameter in parameters {
            let is_path = parameter["in"] == "path";
            assert!(!is_path || parameter["required"] == true, "{path}");
            assert!(
                parameter.get("schema").is_some() != parameter.get("content").is_some(),
                "{path}"
            );
        }
        assert!(operation["responses"].get("default").is_some());
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|it| !it.is_empty())
        );
    }

    #[test]
    fn names_of_operations_are_unique() {
        let ids: BTreeSet<String> = ENTRIES.iter().map(id).collect();
        assert_eq!(ids.len(), ENTRIES.len(), "{ids:?}");
    }
}

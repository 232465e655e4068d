//! Errors as RFC 9457 has them: `application/problem+json`, with the code, `retryable` and the details of RCP.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, Response, StatusCode};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use serde::Serialize;
use serde_json::{Value, json};

/// The media type of an error.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// When to come again after 429 and 503, in seconds: an election takes about as long.
const RETRY_AFTER_SECS: &str = "1";

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: Box<ErrorBody>,
    allow: Option<String>,
    /// The connection ends with this answer.
    closes: bool,
}

/// The status of each code. A code of a newer version is an error of this server.
pub(crate) fn status_of(code: &Code) -> StatusCode {
    match code {
        Code::UnsupportedProtocol | Code::BadRequest => StatusCode::BAD_REQUEST,
        Code::Unauthorized | Code::AuthFailed => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound | Code::MachineNotFound | Code::InstanceNotFound => StatusCode::NOT_FOUND,
        Code::MachineVersionExists
        | Code::MachineInUse
        | Code::MachineVersionLimitExceeded
        | Code::InstanceExists
        | Code::InvalidTransition
        | Code::Conflict
        | Code::OffsetAhead
        | Code::FeatureLevel
        | Code::LockHeld
        | Code::LockLost => StatusCode::CONFLICT,
        Code::OffsetCompacted => StatusCode::GONE,
        Code::GuardFailed | Code::ExpressionFailed | Code::ExpressionLimit | Code::SchemaFailed => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::RateLimited | Code::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::NoLeader | Code::ReadOnlyMode | Code::WalIoError => StatusCode::SERVICE_UNAVAILABLE,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Problem {
    /// For what HTTP refuses and RCP does not have.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let code = match status {
            StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => Code::Forbidden,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::SERVICE_UNAVAILABLE => Code::RateLimited,
            _ => Code::BadRequest,
        };
        Self {
            status,
            error: Box::new(ErrorBody::new(code, detail)),
            allow: None,
            closes: false,
        }
    }

    /// For a part of a request that is not valid.
    pub(crate) fn bad(field: &str, detail: &str) -> Self {
        let error = ErrorBody::new(Code::BadRequest, detail);
        error.with_details(json!({ "field": field })).into()
    }

    /// For a path that leads nowhere.
    pub(crate) fn nowhere(path: &str) -> Self {
        let shown: String = path.chars().take(200).collect();
        let detail = format!("there is nothing at {shown}; /openapi.json lists what there is");
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// For a method that the path does not have.
    pub(crate) fn not_allowed(method: &Method, allowed: &[Method]) -> Self {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let detail = format!("{method} is not possible here, but {}", names.join(", "));
        Self {
            allow: Some(names.join(", ")),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
        }
    }

    /// The expectation that failed stood in a header.
    pub(crate) fn of_condition(mut self) -> Self {
        let details = self.error.details.as_ref();
        let compared = details.is_some_and(|it| it.get("expected_wal_offset").is_some());
        if self.error.code == Code::Conflict && compared {
            self.status = StatusCode::PRECONDITION_FAILED;
        }
        self
    }

    /// Ends the connection, too.
    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Its status.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The document.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Document<'a> {
            r#type: String,
            title: String,
            status: u16,
            detail: &'a str,
            code: &'a str,
            retryable: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            details: Option<&'a Value>,
        }
        let code = self.error.code.as_str();
        let document = Document {
            r#type: format!("urn:rstmdb:error:{code}"),
            title: title(code),
            status: self.status.as_u16(),
            detail: &self.error.message,
            code,
            retryable: self.error.retryable,
            details: self.error.details.as_ref(),
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The whole answer.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let scheme = match self.error.code {
                    Code::AuthFailed => "Bearer realm=\"rstmdb\", error=\"invalid_token\"",
                    _ => "Bearer realm=\"rstmdb\"",
                };
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS));
            }
            _ => {}
        }
        if let Some(allow) = self
            .allow
            .and_then(|allow| HeaderValue::from_str(&allow).ok())
        {
            headers.insert(ALLOW, allow);
        }
        if self.closes {
            let close = HeaderValue::from_static("close");
            headers.insert(axum::http::header::CONNECTION, close);
        }
        response
    }
}

impl From<ErrorBody> for Problem {
    fn from(error: ErrorBody) -> Self {
        Self {
            status: status_of(&error.code),
            error: Box::new(error),
            allow: None,
            closes: false,
        }
    }
}

/// `GUARD_FAILED` as people write it.
fn title(code: &str) -> String {
    let lower = code.to_ascii_lowercase().replace('_', " ");
    let mut chars = lower.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of every code, as docs/http.md has it.
    const STATUSES: &[(u16, &[&str])] = &[
        (400, &["UNSUPPORTED_PROTOCOL", "BAD_REQUEST"]),
        (401, &["UNAUTHORIZED", "AUTH_FAILED"]),
        (403, &["FORBIDDEN"]),
        (
            404,
            &["NOT_FOUND", "MACHINE_NOT_FOUND", "INSTANCE_NOT_FOUND"],
        ),
        (
            409,
            &[
                "MACHINE_VERSION_EXISTS",
                "MACHINE_IN_USE",
                "MACHINE_VERSION_LIMIT_EXCEEDED",
                "INSTANCE_EXISTS",
                "INVALID_TRANSITION",
                "CONFLICT",
                "OFFSET_AHEAD",
                "FEATURE_LEVEL",
                "LOCK_HELD",
                "LOCK_LOST",
            ],
        ),
        (410, &["OFFSET_COMPACTED"]),
        (
            422,
            &[
                "GUARD_FAILED",
                "EXPRESSION_FAILED",
                "EXPRESSION_LIMIT",
                "SCHEMA_FAILED",
            ],
        ),
        (429, &["RATE_LIMITED", "QUOTA_EXCEEDED"]),
        (500, &["INTERNAL_ERROR"]),
        (503, &["NO_LEADER", "READ_ONLY_MODE", "WAL_IO_ERROR"]),
        (504, &["TIMEOUT"]),
    ];

    #[test]
    fn every_code_has_a_status_that_the_table_and_the_documents_name() {
        let page = include_str!("../../../../docs/http.md");
        for code in Code::ALL {
            let rows = STATUSES
                .iter()
                .filter(|(_, codes)| codes.contains(&code.as_str()));
            let rows: Vec<u16> = rows.map(|(status, _)| *status).collect();
            assert_eq!(rows, [status_of(code).as_u16()], "{code}");
            let row = page
                .lines()
                .find(|line| line.starts_with(&format!("| {} |", rows[0])));
            let named = row.is_some_and(|row| row.contains(&format!("`{code}`")));
            assert!(
                named,
                "docs/http.md: {code} is not in the row of {}",
                rows[0]
            );
        }
        assert_eq!(status_of(&Code::Other("NEWER".into())).as_u16(), 500);
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        for code in Code::ALL {
            let response = Problem::from(ErrorBody::new(code.clone(), "x")).into_response();
            let status = response.status().as_u16();
            assert_eq!(
                response.headers().contains_key(RETRY_AFTER),
                matches!(status, 429 | 503)
            );
            assert_eq!(
                response.headers().contains_key(WWW_AUTHENTICATE),
                status == 401
            );
            // A status that says "your fault" is never one that a retry may help with.
            let blames_client = status < 500 && status != 429;
            assert!(!(code.retryable() && blames_client), "{code}");
        }
    }

    #[test]
    fn a_problem_has_what_the_error_of_rcp_has() {
        let error = ErrorBody::new(Code::GuardFailed, "no guard holds")
            .with_details(json!({ "event": "SHIP" }));
        let text = Problem::from(error).to_json();
        let value = rstmdb_rcp::json::value_of_bytes(&text).unwrap_or_default();
        assert_eq!(
            value,
            json!({
                "type": "urn:rstmdb:error:GUARD_FAILED",
                "title": "Guard failed",
                "status": 422,
                "detail": "no guard holds",
                "code": "GUARD_FAILED",
                "retryable": false,
                "details": { "event": "SHIP" },
            })
        );
    }

    #[test]
    fn only_an_offset_that_does_not_match_is_a_failed_precondition() {
        let conflict = |details| ErrorBody::new(Code::Conflict, "x").with_details(details);
        let offset = json!({ "expected_wal_offset": 1, "actual_wal_offset": 2 });
        for (error, status) in [
            (conflict(offset), 412),
            (conflict(json!({ "actual_state": "paid" })), 409),
            (ErrorBody::new(Code::InstanceNotFound, "x"), 404),
        ] {
            assert_eq!(
                Problem::from(error).of_condition().status().as_u16(),
                status
            );
        }
    }
}

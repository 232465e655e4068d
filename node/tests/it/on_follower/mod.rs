//! The wire contract against a follower of three nodes: the same suites, the same answers.
//!
//! `server_suite` alone tests what a single process shows: its command line, its folder, its limits.

/// Whether the node under test is the follower of two others.
const FOLLOWS: bool = true;

#[path = "../server_suite/asking.rs"]
mod asking;
#[path = "../server_suite/audit.rs"]
mod audit;
#[path = "../server_suite/backup.rs"]
mod backup;
#[path = "../server_suite/batches.rs"]
mod batches;
#[path = "../server_suite/events.rs"]
mod events;
#[path = "../server_suite/http.rs"]
mod http;
#[path = "../server_suite/http_client.rs"]
mod http_client;
#[path = "../server_suite/http_guard.rs"]
mod http_guard;
#[path = "../server_suite/imports.rs"]
mod imports;
#[path = "../server_suite/instances.rs"]
mod instances;
#[path = "../server_suite/keys.rs"]
mod keys;
#[path = "../server_suite/legacy.rs"]
mod legacy;
#[path = "../server_suite/locks.rs"]
mod locks;
#[path = "../server_suite/machines.rs"]
mod machines;
#[path = "../server_suite/meta.rs"]
mod meta;
#[path = "../server_suite/metrics.rs"]
mod metrics;
#[path = "../server_suite/order.rs"]
mod order;
#[path = "../server_suite/roles.rs"]
mod roles;
#[path = "../server_suite/scenarios.rs"]
mod scenarios;
#[path = "../server_suite/session.rs"]
mod session;
#[path = "../server_suite/storage.rs"]
mod storage;
#[path = "../server_suite/support.rs"]
mod support;
#[path = "../server_suite/tls.rs"]
mod tls;
#[path = "../server_suite/traces.rs"]
mod traces;
#[path = "../server_suite/user_text.rs"]
mod user_text;
#[path = "../server_suite/watches.rs"]
mod watches;

//! Who may do what: each operation for each role over RCP and HTTP, strangers, batches, lists and watches of some
//! machines, revocation, certificates, the audit log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rstmdb_rcp::message::op;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{Routes, filled, remember, script};
use super::http_client::Http;
use super::support::{CONFIG_FILE, Conn, TestNode, fresh, order_definition};

/// What each operation needs, written a second time: the product's own table is not asked.
const NEEDS: &[(&str, &str)] = &[
    ("INFO", ""),
    ("WHOAMI", ""),
    ("UNWATCH", ""),
    ("PUT_MACHINE", "define"),
    ("DELETE_MACHINE", "define"),
    ("GET_MACHINE", "read"),
    ("LIST_MACHINES", "read"),
    ("GET_INSTANCE", "read"),
    ("LIST_INSTANCES", "read"),
    ("ALLOWED_EVENTS", "read"),
    ("TIMER_LIST", "read"),
    ("LOCK_GET", "read"),
    ("LOCK_LIST", "read"),
    ("SNAPSHOT_INSTANCE", "read"),
    ("WAL_READ", "read"),
    ("ANCESTORS", "read"),
    ("CREATE_INSTANCE", "write"),
    ("DELETE_INSTANCE", "write"),
    ("APPLY_EVENT", "write"),
    ("TIMER_SET", "write"),
    ("LOCK_ACQUIRE", "write"),
    ("LOCK_RENEW", "write"),
    ("LOCK_RELEASE", "write"),
    // Of its operations each needs its own.
    ("BATCH", ""),
    ("WATCH_INSTANCE", "watch"),
    ("WATCH_ALL", "watch"),
    ("WAL_STATS", "operate"),
    ("REPLICATION_STATUS", "read"),
    ("COMPACT", "operate"),
    ("AUTOMATION", "operate"),
    ("CLUSTER_STATUS", "read"),
    ("CLUSTER_ADD", "operate"),
    ("CLUSTER_PROMOTE", "operate"),
    ("CLUSTER_REMOVE", "operate"),
    ("CLUSTER_SET_ADDRESS", "operate"),
    ("CLUSTER_TRANSFER_LEADER", "operate"),
    ("CLUSTER_FINALIZE_UPGRADE", "operate"),
    ("ROTATE_KEY", "operate"),
    ("RELOAD", "operate"),
    ("BACKUP_DESCRIBE", "operate"),
    ("BACKUP_SNAPSHOT", "operate"),
    ("BACKUP_LOG", "operate"),
    ("AUDIT_READ", "operate"),
    ("FLUSH_ALL", "admin"),
    ("CLOCK_ADVANCE", "admin"),
];

/// The roles of the walk, with their verbs. The last one is for machines whose name begins with `m `.
const ROLES: &[(&str, &[&str])] = &[
    (
        "admin",
        &["read", "write", "define", "watch", "operate", "admin"],
    ),
    ("operator", &["read", "watch", "operate"]),
    ("writer", &["read", "watch", "write"]),
    ("reader", &["read", "watch"]),
    ("shop", &["read", "write", "watch"]),
];

/// Files of tokens and of a configuration. The token of each client is its name.
struct Clients {
    dir: tempfile::TempDir,
}

impl Clients {
    fn new(roles: &str, clients: &[(&str, &str)]) -> Self {
        let clients_dir = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        clients_dir.write(clients);
        let config = format!(
            "auth:\n  required: true\n  tokens_file: {}\n  roles: {roles}\n",
            clients_dir.tokens().display()
        );
        std::fs::write(clients_dir.config(), config).unwrap();
        clients_dir
    }

    fn tokens(&self) -> PathBuf {
        self.dir.path().join("tokens.yaml")
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.yaml")
    }

    fn audit(&self) -> PathBuf {
        self.dir.path().join("audit.jsonl")
    }

    /// Each client with its roles, and more fields behind a comma.
    fn write(&self, clients: &[(&str, &str)]) {
        let entries = clients.iter().map(|(name, roles)| {
            let hash = hex::encode(Sha256::digest(name.as_bytes()));
            format!("- {{name: {name}, hash: {hash}, roles: {roles}}}\n")
        });
        std::fs::write(self.tokens(), entries.collect::<String>()).unwrap();
    }

    async fn node(&self) -> TestNode {
        let (config, audit) = (
            self.config().display().to_string(),
            self.audit().display().to_string(),
        );
        TestNode::start(&[(CONFIG_FILE, &config), ("RSTMDB_AUDIT_FILE", &audit)]).await
    }
}

async fn client(node: &TestNode, token: &str) -> Conn {
    let mut conn = Conn::open(node.addr).await;
    let auth = json!({ "method": "bearer", "token": token });
    conn.ok("AUTH", auth).await;
    conn
}

fn http_client(http: Http, token: &str) -> Http {
    http.with("Authorization", &format!("Bearer {token}"))
}

fn code(outcome: &Result<Value, Value>) -> &str {
    match outcome {
        Ok(_) => "ok",
        Err(error) => error["code"].as_str().unwrap(),
    }
}

const SHOP: &str = "{shop: [{verbs: [read, write, watch], machines: ['m *']}]}";

fn every_role() -> Vec<(&'static str, &'static str)> {
    ROLES.iter().map(|(role, _)| (*role, *role)).collect()
}

/// The operations of the script that walks through all of them, without those that end what later ones need, and with
/// the watches.
fn requests(base: &str) -> Vec<(&'static str, Value)> {
    let script = script(base).into_iter();
    let kept = script.filter(|(op, _)| !["DELETE_INSTANCE", "DELETE_MACHINE"].contains(op));
    let more = [
        (
            "WATCH_INSTANCE",
            json!({ "instance_id": format!("t {base}-rcp") }),
        ),
        ("WATCH_ALL", json!({})),
        ("UNWATCH", json!({ "subscription_id": "none" })),
        ("DELETE_MACHINE", json!({ "machine": "m none" })),
        ("DELETE_INSTANCE", json!({ "instance_id": "none" })),
    ];
    kept.chain(more).collect()
}

/// The code with which a role must be refused, if it must; otherwise nothing may be forbidden to it.
fn refusal(role: &str, verbs: &[&str], op: &str, params: &Value) -> Option<&'static str> {
    let (_, needed) = NEEDS.iter().find(|(name, _)| *name == op).unwrap();
    if !needed.is_empty() && !verbs.contains(needed) {
        return Some("FORBIDDEN");
    }
    if role != "shop" || needed.is_empty() {
        return None;
    }
    let is_other = |name: &Value| name.as_str().is_some_and(|name| name.starts_with("t "));
    if is_other(&params["machine"]) {
        return Some("FORBIDDEN");
    }
    is_other(&params["instance_id"]).then_some("INSTANCE_NOT_FOUND")
}

#[test]
fn no_operation_is_missing_in_the_table_of_this_test() {
    let known: BTreeSet<&str> = NEEDS.iter().map(|(op, _)| *op).collect();
    let all = op::ALL.iter().filter(|op| !op::is_open(op));
    assert_eq!(known, all.copied().collect());
    let walked: BTreeSet<&str> = requests("x").iter().map(|(op, _)| *op).collect();
    assert_eq!(known, walked);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_the_table_says_and_nothing_else_by_both_protocols() {
    let clients = Clients::new(SHOP, &every_role());
    let node = clients.node().await;
    let requests = requests(&fresh(""));
    // As admin first: so each operation finds what it is about.
    for (role, verbs) in ROLES {
        let mut known = json!({});
        let mut http = http_client(Http::connect(node.http).await, role);
        let routes = Routes::with(&mut http).await;
        for (op, params) in &requests {
            let mut conn = client(&node, role).await;
            let params = &filled(params, &known);
            let outcome = conn.call(op, params.clone()).await;
            let refusal = refusal(role, verbs, op, params);
            check(role, op, params, refusal, code(&outcome));
            if let Ok(result) = &outcome {
                remember(&mut known, result);
            }
            if let (Some("FORBIDDEN"), Err(error)) = (refusal, &outcome) {
                assert!(error["details"]["needs"]["verb"].is_string(), "{error}");
            }
            if !routes.serves(op) || op.starts_with("WATCH_") && refusal.is_none() {
                continue;
            }
            let response = routes.call(&mut http, op, params).await;
            let told = response.json();
            let by_http = told["code"].as_str().filter(|_| response.status >= 400);
            check(role, op, params, refusal, by_http.unwrap_or("ok"));
            if refusal == Some("FORBIDDEN") {
                assert_eq!(response.status, 403, "{role} {op}");
            }
        }
    }
    node.stop().await;
}

fn check(role: &str, op: &str, params: &Value, refusal: Option<&str>, code: &str) {
    // The clock of this server goes by itself, and nobody may advance it.
    if op == "CLOCK_ADVANCE" {
        return assert_eq!(code, "FORBIDDEN", "{role}");
    }
    match refusal {
        Some(refusal) => assert_eq!(code, refusal, "{role} {op} {params}"),
        None => assert!(
            !["FORBIDDEN", "UNAUTHORIZED"].contains(&code),
            "{role} {op} {params}: {code}"
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing_from_any_port() {
    let clients = Clients::new("{}", &[("boss", "admin")]);
    let node = clients.node().await;
    let mut boss = client(&node, "boss").await;
    let (machine, id) = boss.order().await;
    let mut conn = Conn::open(node.addr).await;
    for op in op::ALL.iter().filter(|op| !op::is_open(op)) {
        for params in [json!({}), json!({ "instance_id": id, "machine": machine })] {
            conn.refused(op, params, "UNAUTHORIZED").await;
        }
    }
    let mut http = Http::connect(node.http).await;
    let routes = Routes::with(&mut http).await;
    let mut refused = 0;
    for (op, params) in requests("x") {
        if routes.serves(op) {
            let params = filled(&params, &json!({ "token": 1, "wal_offset": 1 }));
            let response = routes.call(&mut http, op, &params).await;
            // A parameter that is none is refused by its form alone.
            let code = response.json()["code"].as_str().unwrap().to_owned();
            let told = (response.status, code.as_str());
            assert!(
                [(401, "UNAUTHORIZED"), (400, "BAD_REQUEST")].contains(&told),
                "{op}: {told:?}"
            );
            refused += usize::from(response.status == 401);
            http = Http::connect(node.http).await;
        }
    }
    assert!(refused > 50, "{refused}");
    for path in routes.paths() {
        let (status, body) = node.admin_get(&path).await;
        assert!(status.contains("404"), "{path}: {status}");
        assert!(!body.contains(&machine) && !body.contains(&id), "{path}");
    }
    for path in ["/metrics", "/healthz", "/readyz", "/health", "/ready"] {
        let (_, body) = node.admin_get(path).await;
        assert!(!body.contains(&machine) && !body.contains(&id), "{path}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_forgets_no_role() {
    let clients = Clients::new(SHOP, &every_role());
    let node = clients.node().await;
    let (mine, other) = (format!("m {}", fresh("")), fresh("other"));
    let ids = two_machines(&node, &mine, &other).await;
    let mut shop = client(&node, "shop").await;
    let event =
        |id: &str| json!({ "op": "APPLY_EVENT", "params": { "instance_id": id, "event": "NOTE" } });
    let define = json!({ "op": "PUT_MACHINE", "params": { "machine": fresh("m "), "version": 1, "definition": order_definition() } });
    let look = json!({ "op": "GET_MACHINE", "params": { "machine": other } });
    let ops = json!([event(&ids[0]), event(&ids[1]), define, look]);
    let each = shop.ok("BATCH", json!({ "ops": ops })).await;
    let codes = each["results"].as_array().unwrap().iter();
    let codes: Vec<&str> = codes
        .map(|item| item["error"]["code"].as_str().unwrap_or("ok"))
        .collect();
    assert_eq!(
        codes,
        ["ok", "INSTANCE_NOT_FOUND", "FORBIDDEN", "FORBIDDEN"]
    );
    let before = shop
        .ok("GET_INSTANCE", json!({ "instance_id": ids[0] }))
        .await;
    for (refused, code) in [
        (event(&ids[1]), "INSTANCE_NOT_FOUND"),
        (define.clone(), "FORBIDDEN"),
        (look.clone(), "FORBIDDEN"),
    ] {
        for dry_run in [false, true] {
            let params =
                json!({ "mode": "atomic", "ops": [event(&ids[0]), refused], "dry_run": dry_run });
            let error = shop.refused("BATCH", params, code).await;
            assert_eq!(error["details"]["index"], 1, "{error}");
        }
    }
    shop.refused(
        "BATCH",
        json!({ "mode": "atomic", "ops": [look] }),
        "FORBIDDEN",
    )
    .await;
    shop.refused(
        "BATCH",
        json!({ "ops": [define], "dry_run": true }),
        "FORBIDDEN",
    )
    .await;
    let after = shop
        .ok("GET_INSTANCE", json!({ "instance_id": ids[0] }))
        .await;
    assert_eq!(after, before);
    node.stop().await;
}

/// Puts both machines, and creates an instance of each.
async fn two_machines(node: &TestNode, mine: &str, other: &str) -> [String; 2] {
    let mut boss = client(node, "admin").await;
    let ids = [fresh("a"), fresh("b")];
    for (machine, id) in [mine, other].into_iter().zip(&ids) {
        let put = json!({ "machine": machine, "version": 1, "definition": order_definition() });
        boss.ok("PUT_MACHINE", put).await;
        let create = json!({ "machine": machine, "instance_id": id });
        boss.ok("CREATE_INSTANCE", create).await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_counts_and_the_log_show_only_the_machines_of_the_role() {
    let clients = Clients::new(SHOP, &every_role());
    let node = clients.node().await;
    let (mine, other) = (format!("m {}", fresh("")), fresh("other"));
    let ids = two_machines(&node, &mine, &other).await;
    let (mut boss, mut shop) = (client(&node, "admin").await, client(&node, "shop").await);
    let listed = shop.ok("LIST_INSTANCES", json!({})).await;
    assert_eq!(
        (&listed["total"], &listed["has_more"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(listed["instances"][0]["id"], ids[0]);
    let skipped = shop.ok("LIST_INSTANCES", json!({ "offset": 1 })).await;
    assert_eq!(skipped["instances"], json!([]));
    let behind = shop.ok("LIST_INSTANCES", json!({ "after": ids[0] })).await;
    assert_eq!(behind["instances"], json!([]));
    let machines = shop.ok("LIST_MACHINES", json!({})).await;
    assert_eq!(machines["items"].as_array().unwrap().len(), 1);
    let info = (
        shop.ok("INFO", json!({})).await,
        boss.ok("INFO", json!({})).await,
    );
    assert_eq!(
        (&info.0["instances"], &info.1["instances"]),
        (&json!(1), &json!(2))
    );
    let atomic = json!({ "mode": "atomic", "ops": [{ "op": "LIST_INSTANCES", "params": {} }, { "op": "LIST_MACHINES", "params": {} }] });
    let read = shop.ok("BATCH", atomic).await;
    assert_eq!(read["results"][0]["result"]["total"], 1);
    assert_eq!(
        read["results"][1]["result"]["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let log = json!({ "from_offset": 0, "include_meta": true });
    let (all, some) = (
        boss.ok("WAL_READ", log.clone()).await,
        shop.ok("WAL_READ", log).await,
    );
    assert!(all.to_string().contains(&other));
    for hidden in [&other, &ids[1]] {
        assert!(!some.to_string().contains(hidden.as_str()), "{some}");
    }
    assert!(some.to_string().contains(&ids[0]));
    assert_eq!(all["next_offset"], some["next_offset"]);
    let records = all["records"].as_array().unwrap();
    let offset_of = |id: &str| {
        let record = records.iter().find(|it| it["entry"]["instance_id"] == id);
        record.unwrap()["offset"].clone()
    };
    let of = |id: &str| json!({ "offset": offset_of(id) });
    shop.ok("ANCESTORS", of(&ids[0])).await;
    shop.refused("ANCESTORS", of(&ids[1]), "NOT_FOUND").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_another_machine_is_to_a_role_as_if_it_were_not_there() {
    let clients = Clients::new(SHOP, &every_role());
    let node = clients.node().await;
    let (mine, other) = (format!("m {}", fresh("")), fresh("other"));
    let ids = two_machines(&node, &mine, &other).await;
    let mut boss = client(&node, "admin").await;
    let keyed = |id: &str| json!({ "instance_id": id, "event": "NOTE", "payload": { "secret": 1 }, "idempotency_key": "k" });
    boss.ok("APPLY_EVENT", keyed(&ids[1])).await;
    let mut shop = client(&node, "shop").await;
    for (op, more) in [
        ("GET_INSTANCE", json!({})),
        ("GET_INSTANCE", json!({ "include": ["meta"] })),
        ("ALLOWED_EVENTS", json!({})),
        ("SNAPSHOT_INSTANCE", json!({})),
        ("APPLY_EVENT", json!({ "event": "NOTE" })),
        // The key's answer has the context.
        ("APPLY_EVENT", keyed(&ids[1])),
        (
            "APPLY_EVENT",
            json!({ "event": "NOTE", "expected_state": "paid" }),
        ),
        ("APPLY_EVENT", json!({ "event": "NOTE", "dry_run": true })),
        ("TIMER_SET", json!({ "timers": { "END": null } })),
        ("DELETE_INSTANCE", json!({})),
        ("WATCH_INSTANCE", json!({})),
    ] {
        let mut answers = Vec::new();
        for id in [&ids[1], &fresh("none")] {
            let mut params = more.clone();
            params["instance_id"] = json!(id);
            let error = shop.refused(op, params, "INSTANCE_NOT_FOUND").await;
            answers.push(error.to_string().replace(id.as_str(), "ID"));
        }
        assert_eq!(answers[0], answers[1], "{op}");
    }
    // The same id, now of the machine that the role is for.
    boss.ok("DELETE_INSTANCE", json!({ "instance_id": ids[1] }))
        .await;
    let create = json!({ "machine": mine, "instance_id": ids[1] });
    boss.ok("CREATE_INSTANCE", create).await;
    shop.ok(
        "APPLY_EVENT",
        json!({ "instance_id": ids[1], "event": "NOTE" }),
    )
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_sees_and_may_not_change_is_forbidden_by_name() {
    let own = "{half: [{verbs: [read]}, {verbs: [write], machines: ['m *']}]}";
    let clients = Clients::new(own, &[("admin", "admin"), ("half", "half")]);
    let node = clients.node().await;
    let (mine, other) = (format!("m {}", fresh("")), fresh("other"));
    let ids = two_machines(&node, &mine, &other).await;
    let mut half = client(&node, "half").await;
    half.ok(
        "APPLY_EVENT",
        json!({ "instance_id": ids[0], "event": "NOTE" }),
    )
    .await;
    half.ok("GET_INSTANCE", json!({ "instance_id": ids[1] }))
        .await;
    let event = json!({ "instance_id": ids[1], "event": "NOTE" });
    let error = half
        .refused("APPLY_EVENT", event.clone(), "FORBIDDEN")
        .await;
    let needs = json!({ "verb": "write", "machine": other });
    assert_eq!(error["details"]["needs"], needs);
    // A client that knows none of the newer codes.
    let mut legacy = Conn::legacy(node.addr).await;
    let auth = json!({ "method": "bearer", "token": "half" });
    legacy.ok("AUTH", auth).await;
    legacy.refused("APPLY_EVENT", event, "BAD_REQUEST").await;
    node.stop().await;
}

/// The next event of a watch.
async fn event(conn: &mut Conn) -> Value {
    loop {
        let told = conn.recv().await;
        if told["type"] == "event" {
            return told;
        }
        assert_eq!(told["type"], "progress", "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_delivers_only_events_of_the_machines_of_its_role() {
    let clients = Clients::new(SHOP, &every_role());
    let node = clients.node().await;
    let (mine, other) = (format!("m {}", fresh("")), fresh("other"));
    let ids = two_machines(&node, &mine, &other).await;
    let (mut boss, mut shop) = (client(&node, "admin").await, client(&node, "shop").await);
    let named = json!({ "machines": [mine, other] });
    shop.refused("WATCH_ALL", named, "FORBIDDEN").await;
    let all = json!({ "include": ["created", "deleted"], "from_offset": 0 });
    shop.ok("WATCH_ALL", all).await;
    let created = event(&mut shop).await;
    assert_eq!(
        (&created["kind"], &created["instance_id"]),
        (&json!("created"), &json!(ids[0]))
    );
    for id in [&ids[1], &ids[0], &ids[1], &ids[0]] {
        boss.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "NOTE" }))
            .await;
    }
    boss.ok("DELETE_INSTANCE", json!({ "instance_id": ids[1] }))
        .await;
    boss.ok("DELETE_INSTANCE", json!({ "instance_id": ids[0] }))
        .await;
    for kind in ["event", "event", "deleted"] {
        let told = event(&mut shop).await;
        assert_eq!(
            (&told["kind"], &told["instance_id"]),
            (&json!(kind), &json!(ids[0]))
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_back_or_gets_other_roles_or_expires_ends_its_sessions() {
    let clients = Clients::new(SHOP, &[("boss", "admin"), ("a", "writer"), ("b", "writer")]);
    let node = clients.node().await;
    let mut boss = client(&node, "boss").await;
    let [mut a, mut b] = [client(&node, "a").await, client(&node, "b").await];
    let who = a.ok("WHOAMI", json!({})).await;
    assert_eq!(
        (&who["name"], &who["roles"]),
        (&json!("a"), &json!(["writer"]))
    );
    assert_eq!(
        who["grants"],
        json!([{ "verbs": ["read", "watch", "write"], "machines": ["*"] }])
    );
    // A file with a fault leaves everything as it is.
    let good = std::fs::read_to_string(clients.tokens()).unwrap();
    std::fs::write(clients.tokens(), good.clone() + "- {name: c}\n").unwrap();
    let error = boss.refused("RELOAD", json!({}), "CONFLICT").await;
    assert!(error.to_string().contains("line 4 (entry 4)"), "{error}");
    a.ok("WHOAMI", json!({})).await;
    clients.write(&[("boss", "admin"), ("b", "reader")]);
    let done = boss.ok("RELOAD", json!({})).await;
    assert!(done["files"].to_string().contains("tokens"), "{done}");
    for conn in [&mut a, &mut b] {
        let told = conn.recv().await;
        assert_eq!(told["error"]["code"], "UNAUTHORIZED");
        conn.closed().await;
    }
    let auth = json!({ "method": "bearer", "token": "a" });
    Conn::open(node.addr)
        .await
        .refused("AUTH", auth, "AUTH_FAILED")
        .await;
    let mut b = client(&node, "b").await;
    b.refused(
        "DELETE_INSTANCE",
        json!({ "instance_id": "x" }),
        "FORBIDDEN",
    )
    .await;
    // Reloads take a moment, so the token has to live for longer than one.
    let soon = jiff_in(Duration::from_secs(8));
    clients.write(&[
        ("boss", "admin"),
        ("b", &format!("reader, expires: {soon}")),
    ]);
    boss.ok("RELOAD", json!({})).await;
    b.recv().await;
    let mut b = client(&node, "b").await;
    assert!(b.ok("WHOAMI", json!({})).await["expires_at"].is_u64());
    let told = b.recv().await;
    assert_eq!(told["error"]["code"], "UNAUTHORIZED");
    let auth = json!({ "method": "bearer", "token": "b" });
    Conn::open(node.addr)
        .await
        .refused("AUTH", auth, "AUTH_FAILED")
        .await;
    node.stop().await;
}

/// The time in a while, RFC 3339.
fn jiff_in(wait: Duration) -> String {
    let at = jiff::Timestamp::try_from(std::time::SystemTime::now() + wait);
    at.unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_needs_a_verb_of_its_own() {
    let own = "{loader: [{verbs: [read, write, import], machines: ['m *']}]}";
    let clients = Clients::new(
        own,
        &[
            ("admin", "admin"),
            ("writer", "writer"),
            ("loader", "loader"),
        ],
    );
    let node = clients.node().await;
    let (mine, other) = (format!("m {}", fresh("")), fresh("other"));
    two_machines(&node, &mine, &other).await;
    let import = |machine: &str| json!({ "machine": machine, "instance_id": fresh("i"), "initial_state": "paid" });
    for (name, machine, allowed) in [
        ("admin", &other, true),
        ("loader", &mine, true),
        ("loader", &other, false),
        ("writer", &mine, false),
    ] {
        let outcome = client(&node, name)
            .await
            .call("CREATE_INSTANCE", import(machine))
            .await;
        let expected = if allowed { "ok" } else { "FORBIDDEN" };
        assert_eq!(code(&outcome), expected, "{name} {machine}");
    }
    node.stop().await;
}

fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_has_writes_and_refusals_and_no_reads() {
    let clients = Clients::new("{}", &[("admin", "admin"), ("reader", "reader")]);
    let node = clients.node().await;
    let mut boss = client(&node, "admin").await;
    let (machine, id) = boss.order().await;
    boss.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    let odd = "x\u{2028}\"}{\\";
    boss.refused(
        "APPLY_EVENT",
        json!({ "instance_id": odd, "event": "PAY" }),
        "INSTANCE_NOT_FOUND",
    )
    .await;
    let ops = json!([{ "op": "APPLY_EVENT", "params": { "instance_id": id, "event": "PAY" } },
        { "op": "DELETE_INSTANCE", "params": { "instance_id": "none" } }]);
    boss.ok("BATCH", json!({ "ops": ops })).await;
    let mut reader = client(&node, "reader").await;
    reader.ok("LIST_INSTANCES", json!({})).await;
    reader
        .refused("DELETE_INSTANCE", json!({ "instance_id": id }), "FORBIDDEN")
        .await;
    let mut http = http_client(Http::connect(node.http).await, "reader");
    let compact = http.send_json("POST", "/v1/compact", &json!({})).await;
    compact.refused(403, "FORBIDDEN");
    let auth = json!({ "method": "bearer", "token": "wrong" });
    let mut stranger = Conn::open(node.addr).await;
    stranger.refused("AUTH", auth, "AUTH_FAILED").await;
    for _ in 0..3 {
        stranger
            .refused("LIST_INSTANCES", json!({}), "UNAUTHORIZED")
            .await;
    }
    let (_, metrics) = node.admin_get("/metrics").await;
    for line in [
        "rstmdb_auth_failures_total{reason=\"wrong_token\"} 1",
        "rstmdb_auth_failures_total{reason=\"no_token\"} 3",
        "rstmdb_auth_failures_total{reason=\"forbidden\"} 2",
        "rstmdb_audit_records_lost_total 0",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    node.stop().await;
    let told: Vec<String> = records(&clients.audit())
        .iter()
        .map(|it| {
            assert!(
                it["time"].is_string() && it["address"] == "127.0.0.1",
                "{it}"
            );
            let text = |name: &str| it[name].as_str().unwrap_or("-").to_owned();
            let of = [
                text("name"),
                text("protocol"),
                text("op"),
                text("machine"),
                text("instance"),
                text("outcome"),
            ];
            of.join("|")
        })
        .collect();
    let expected = [
        format!("admin|rcp|PUT_MACHINE|{machine}|-|ok"),
        format!("admin|rcp|CREATE_INSTANCE|{machine}|{id}|ok"),
        format!("admin|rcp|APPLY_EVENT|-|{odd}|INSTANCE_NOT_FOUND"),
        format!("admin|rcp|APPLY_EVENT|-|{id}|ok"),
        "admin|rcp|DELETE_INSTANCE|-|none|INSTANCE_NOT_FOUND".to_owned(),
        "reader|rcp|DELETE_INSTANCE|-|-|FORBIDDEN".to_owned(),
        "reader|http|COMPACT|-|-|FORBIDDEN".to_owned(),
        "|rcp|AUTH|-|-|AUTH_FAILED".to_owned(),
        "|rcp|LIST_INSTANCES|-|-|UNAUTHORIZED".to_owned(),
    ];
    assert_eq!(told, expected);
}

//! History that has left the node for a bucket or a folder, as clients see it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rstmdb::server::restore::{self, RestoreTarget, restore};
use rstmdb_backup::manifest::FORMAT_VERSION;
use rstmdb_backup::writer::FileWriter;
use rstmdb_backup::{BackupRun, LogFile, Manifest, folder};
use rstmdb_objects::double::{ACCESS_KEY, BUCKET, Double, SECRET_KEY};
use rstmdb_rcp::message::storage::backup::BackupLogResult;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Conn, PATIENCE, TestNode, config_on};

/// More than the entries that a node keeps behind a snapshot in any case.
const EVENTS: u64 = 14_000;

/// Writes events with large payloads, so that the log has several segments, and takes a snapshot.
async fn fill(conn: &mut Conn) -> String {
    let (_, id) = conn.order().await;
    let fill = "x".repeat(400);
    for from in (0..EVENTS).step_by(100) {
        let ops: Vec<Value> = (from..from + 100)
            .map(|n| {
                let payload = json!({ "n": n, "fill": fill });
                let params = json!({ "instance_id": id, "event": "NOTE", "payload": payload });
                json!({ "op": "APPLY_EVENT", "params": params })
            })
            .collect();
        conn.ok("BATCH", json!({ "mode": "best_effort", "ops": ops }))
            .await;
    }
    conn.ok("COMPACT", json!({ "force_snapshot": true })).await;
    id
}

/// Waits until the node itself no longer has the beginning of the log.
async fn left(conn: &mut Conn) -> u64 {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = conn.ok("CLUSTER_STATUS", json!({})).await;
        let here = status["nodes"][0]["earliest_offset"].as_u64().unwrap();
        if here > 1 {
            return here;
        }
        assert!(Instant::now() < until, "{status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The `n` of every event, as WAL_READ shows them.
async fn read_all(conn: &mut Conn) -> Vec<u64> {
    let (mut found, mut from) = (Vec::new(), 1);
    loop {
        let params = json!({ "from_offset": from, "limit": 1000 });
        let page = conn.ok("WAL_READ", params).await;
        let records = page["records"].as_array().unwrap();
        for record in records {
            found.extend(record["entry"]["payload"]["n"].as_u64());
        }
        let next = page["next_offset"].as_u64().unwrap();
        if next == from {
            return found;
        }
        from = next;
    }
}

async fn metric(node: &TestNode, name: &str) -> f64 {
    let (_, text) = node.admin_get("/metrics").await;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

/// The variables of a node whose history leaves for this archive at once.
fn archived_to(url: &str) -> [(&str, &str); 4] {
    [
        ("RSTMDB_ARCHIVE_URL", url),
        ("RSTMDB_RETAIN_EVENTS", "1"),
        // Otherwise all events fit into two segments.
        ("RSTMDB_COMPRESSION", "none"),
        ("RSTMDB_REQUEST_TIMEOUT_MS", "60000"),
    ]
}

fn keys(dir: &Path) -> (String, String) {
    let (access, secret) = (dir.join("access"), dir.join("secret"));
    std::fs::write(&access, ACCESS_KEY).unwrap();
    std::fs::write(&secret, SECRET_KEY).unwrap();
    (access.display().to_string(), secret.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_drops_is_read_from_the_bucket() {
    let double = Double::start().await.unwrap();
    let endpoint = double.endpoint.clone();
    let dir = tempfile::tempdir().unwrap();
    let (access, secret) = keys(dir.path());
    let url = format!("s3://{BUCKET}/orders");
    let mut variables = archived_to(&url).to_vec();
    variables.extend([
        ("RSTMDB_ARCHIVE_S3_ENDPOINT", endpoint.as_str()),
        ("RSTMDB_ARCHIVE_S3_ALLOW_HTTP", "true"),
        ("RSTMDB_ARCHIVE_S3_ACCESS_KEY_FILE", &access),
        ("RSTMDB_ARCHIVE_S3_SECRET_KEY_FILE", &secret),
        ("RSTMDB_ARCHIVE_CACHE_MB", "1"),
    ]);
    let node = TestNode::start(&variables).await;
    let mut conn = Conn::open(node.addr).await;
    fill(&mut conn).await;
    let here = left(&mut conn).await;
    assert_eq!(conn.ok("INFO", json!({})).await["earliest_offset"], 1);
    let objects = double.objects();
    assert!(!objects.is_empty() && objects.keys().all(|name| name.starts_with("orders/")));
    let expected: Vec<u64> = (0..EVENTS).collect();
    assert_eq!(read_all(&mut conn).await, expected);
    assert!(metric(&node, "rstmdb_archive_uploaded_total").await >= 1.0);
    assert!(metric(&node, "rstmdb_archive_fetched_total").await >= 1.0);
    assert_eq!(metric(&node, "rstmdb_archive_pending_files").await, 0.0);

    // A watch begins in the bucket and ends at the head.
    let mut watching = Conn::open(node.addr).await;
    watching.ok("WATCH_ALL", json!({ "from_offset": 1 })).await;
    for n in 0..EVENTS {
        let event = watching.recv().await;
        assert_eq!(event["payload"]["n"], json!(n), "{event}");
    }

    // So does a backup: it is the whole log.
    let described = conn.ok("BACKUP_DESCRIBE", json!({})).await;
    assert_eq!(described["first_offset"], 1);
    assert!(described["archive_unavailable"].is_null(), "{described}");
    let params = json!({ "from_offset": 1, "from_byte": 0, "to_offset": here });
    let piece = conn.ok("BACKUP_LOG", params).await;
    assert!(piece["next_offset"].as_u64().unwrap() > 1);

    // A new process finds everything. A process without the bucket says so, and shows nothing else.
    let data = node.stop().await;
    let node = TestNode::start_on(data, &variables).await;
    let mut conn = Conn::open(node.addr).await;
    assert_eq!(read_all(&mut conn).await, expected);
    let data = node.stop().await;
    drop(double);
    says_that_the_bucket_is_gone(data, &variables, here).await;
}

/// A node whose bucket cannot be reached says so to clients that ask for history there. It serves all other requests.
async fn says_that_the_bucket_is_gone(data: TempDir, variables: &[(&str, &str)], here: u64) {
    let node = TestNode::start_on(data, variables).await;
    let mut conn = Conn::open(node.addr).await;
    let error = conn
        .refused("WAL_READ", json!({ "from_offset": 1 }), "WAL_IO_ERROR")
        .await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("is in the archive"), "{message}");
    assert_eq!(error["retryable"], true);
    conn.refused("WATCH_ALL", json!({ "from_offset": 1 }), "WAL_IO_ERROR")
        .await;
    // A backup that is made now begins later than the archive does, and says why.
    let described = conn.ok("BACKUP_DESCRIBE", json!({})).await;
    assert!(
        described["first_offset"].as_u64() >= Some(here),
        "{described}"
    );
    let why = described["archive_unavailable"].as_str().unwrap();
    assert!(!why.is_empty(), "{described}");
    // The newest entry never leaves the node.
    let stats = conn.ok("WAL_STATS", json!({})).await;
    let newest = &stats["latest_offset"];
    assert!(newest.as_u64() >= Some(here), "{stats}");
    conn.ok("WAL_READ", json!({ "from_offset": newest })).await;
    conn.order().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_drops_is_read_from_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let variables = archived_to(&url);
    let node = TestNode::start(&variables).await;
    let mut conn = Conn::open(node.addr).await;
    fill(&mut conn).await;
    left(&mut conn).await;
    let expected: Vec<u64> = (0..EVENTS).collect();
    assert_eq!(read_all(&mut conn).await, expected);
    node.stop().await;
}

/// A backup's folder that holds the entries up to `to`, or none.
async fn backup_of(conn: &mut Conn, dir: &Path, to: u64) -> u64 {
    let info = conn.ok("INFO", json!({})).await;
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION,
        cluster_id: info["cluster_id"].as_str().unwrap().to_owned(),
        cluster_name: "rstmdb".to_owned(),
        created: String::new(),
        updated: String::new(),
        written_by: String::new(),
        runs: Vec::new(),
    };
    let mut next = 1;
    if to > 0 {
        let params = json!({ "from_offset": 1, "from_byte": 0, "to_offset": to });
        let piece: BackupLogResult =
            serde_json::from_value(conn.ok("BACKUP_LOG", params).await).unwrap();
        assert_eq!(piece.next_byte, 0);
        next = piece.next_offset;
        let mut file = FileWriter::create(dir).unwrap();
        file.write(folder::LOG_MAGIC).unwrap();
        file.write(&piece.data.0).unwrap();
        let info = file.publish(&folder::log_name(1, next - 1)).unwrap();
        manifest.runs.push(BackupRun {
            first_offset: 1,
            snapshot: None,
            log: vec![LogFile {
                info,
                first_offset: 1,
                last_offset: next - 1,
                first_time_ms: Some(1),
                last_time_ms: Some(1),
                digest: None,
                chain_head: None,
            }],
            until_ms: 0,
            archive_unavailable: None,
        });
    }
    manifest.write(dir).unwrap();
    next - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_lacks_of_a_state_is_restored_from_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let variables = archived_to(&url);
    let node = TestNode::start(&variables).await;
    let mut conn = Conn::open(node.addr).await;
    let id = fill(&mut conn).await;
    let here = left(&mut conn).await;
    // The newest archived event, and when it was decided.
    let page = conn
        .ok("WAL_READ", json!({ "from_offset": here - 1, "limit": 1 }))
        .await;
    let last = page["records"][0]["entry"]["payload"]["n"]
        .as_u64()
        .unwrap();
    let [short, empty] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let covered = backup_of(&mut conn, short.path(), 500).await;
    assert!(covered > 0 && covered < here - 1);
    backup_of(&mut conn, empty.path(), 0).await;
    node.stop().await;
    let mut clusters = std::fs::read_dir(dir.path()).unwrap();
    let cluster = clusters.next().unwrap().unwrap().path();
    for backup in [&short, &empty] {
        let data = tempfile::tempdir().unwrap();
        let config = config_on(data.path(), &variables);
        let beyond = restore(
            &config,
            backup.path(),
            RestoreTarget::Offset(here + 1_000_000),
        )
        .await;
        let Err(restore::Error::NotArchived { missing, .. }) = &beyond else {
            panic!("{beyond:?}");
        };
        assert!(*missing >= here, "{missing}");
        let restored = restore(&config, backup.path(), RestoreTarget::Offset(here - 1))
            .await
            .unwrap();
        assert_eq!((restored.offset, restored.first_offset), (here - 1, 1));
        let node = TestNode::start_on(data, &variables).await;
        let mut conn = Conn::open(node.addr).await;
        let found = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
        assert_eq!(found["ctx"]["n"], last);
        assert_eq!(
            conn.ok("AUTOMATION", json!({})).await["automation"],
            "paused"
        );
        node.stop().await;
    }
    // Without the archive's place nothing is known of it.
    let data = tempfile::tempdir().unwrap();
    let config = config_on(data.path(), &[]);
    let refused = restore(&config, short.path(), RestoreTarget::Offset(here - 1)).await;
    assert!(
        matches!(refused, Err(restore::Error::NotThere { .. })),
        "{refused:?}"
    );
    // A damaged object is named, and nothing is made of it.
    let mut names: Vec<_> = std::fs::read_dir(&cluster)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let begins = |path: &PathBuf| -> u64 {
        let name = path.file_name().unwrap().to_str().unwrap();
        name[..20].parse().unwrap()
    };
    let object = names.iter().rfind(|name| begins(name) < here).unwrap();
    // An object that is none does not stop a restore that has good ones.
    let name = object.file_name().unwrap().to_str().unwrap();
    let longer = format!("{}{:020}{}", &name[..21], here + 1_000_000, &name[41..]);
    let extra = cluster.join(&longer);
    std::fs::write(&extra, "not an object").unwrap();
    let config = config_on(data.path(), &variables);
    let restored = restore(&config, short.path(), RestoreTarget::Offset(here - 1)).await;
    assert_eq!(restored.unwrap().offset, here - 1);
    std::fs::remove_file(&extra).unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(object, bytes).unwrap();
    let config = config_on(data.path(), &variables);
    let damaged = restore(&config, short.path(), RestoreTarget::Offset(here - 1)).await;
    let said = damaged.unwrap_err().to_string();
    assert!(
        said.contains(object.file_name().unwrap().to_str().unwrap()),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

/// What has left the node for the archive can be audited, and told as the last write of an instance.
#[tokio::test(flavor = "multi_thread")]
async fn archived_entries_are_audited_and_a_damaged_object_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let variables = archived_to(&url);
    let node = TestNode::start(&variables).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, quiet) = conn.order().await;
    let params = json!({ "instance_id": quiet, "event": "PAY", "reason": "by phone" });
    let paid = conn.ok("APPLY_EVENT", params).await["wal_offset"].clone();
    fill(&mut conn).await;
    let here = left(&mut conn).await;
    let asks = json!({ "instance_id": quiet, "include": ["meta"] });
    let told = conn.ok("GET_INSTANCE", asks.clone()).await;
    assert_eq!(
        (&told["last_wal_offset"], &told["meta"]["reason"]),
        (&paid, &json!("by phone"))
    );

    let info = conn.ok("INFO", json!({})).await;
    let from = info["chain"]["from"].clone();
    let params = json!({ "from_offset": from, "instance_id": quiet, "limit": 100 });
    let page = conn.ok("AUDIT_READ", params).await;
    assert_eq!(
        (
            &page["first_offset"],
            page["entries"].as_array().unwrap().len()
        ),
        (&from, 2)
    );
    let lives = page["lives"].as_array().unwrap();
    assert!(!lives.is_empty(), "another instance was created: {machine}");
    // In the middle of what has left, behind no known head.
    let params = json!({ "from_offset": here - 5, "limit": 1 });
    assert_eq!(
        conn.ok("AUDIT_READ", params).await["first_offset"],
        here - 5
    );

    let data = node.stop().await;
    let cluster = std::fs::read_dir(dir.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut names: Vec<_> = std::fs::read_dir(&cluster)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let whole = std::fs::read(&names[0]).unwrap();
    std::fs::write(&names[0], &whole[..whole.len() / 2]).unwrap();
    let node = TestNode::start_on(data, &variables).await;
    let mut conn = Conn::open(node.addr).await;
    let object = names[0].file_name().unwrap().to_str().unwrap();
    for (op, params) in [
        ("WAL_READ", json!({ "from_offset": 1 })),
        ("WATCH_ALL", json!({ "from_offset": 1 })),
        ("GET_INSTANCE", asks.clone()),
        ("AUDIT_READ", json!({ "from_offset": from, "limit": 1 })),
    ] {
        let error = conn.refused(op, params, "WAL_IO_ERROR").await;
        assert_eq!(error["details"]["object"], object, "{op}: {error}");
        assert_eq!(error["retryable"], true);
    }
    assert_eq!(metric(&node, "rstmdb_archive_damaged_files").await, 1.0);
    std::fs::write(&names[0], &whole).unwrap();
    // A client that asks again gets it in the end, without a restart.
    let until = Instant::now() + Duration::from_secs(60);
    let told = loop {
        match conn.call("GET_INSTANCE", asks.clone()).await {
            Ok(told) => break told,
            Err(error) => assert!(
                Instant::now() < until,
                "the node does not look again: {error}"
            ),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(told["meta"]["reason"], "by phone");
    assert_eq!(metric(&node, "rstmdb_archive_damaged_files").await, 0.0);
    node.stop().await;
}

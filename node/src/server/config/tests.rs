#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use crate::server::config::*;

const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn of_file(text: &str) -> Result<Config, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), |_| None)
}

fn of_variables(variables: &[(&str, &str)]) -> Result<Config, Error> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Config::load(None, |name| variables.get(name).map(ToString::to_string))
}

/// `a.b.c` and a value as a YAML document.
fn yaml(key: &str, value: &str) -> String {
    let mut text = String::new();
    let parts: Vec<&str> = key.split('.').collect();
    for (depth, part) in parts.iter().enumerate() {
        text.push_str(&"  ".repeat(depth));
        text.push_str(part);
        text.push(':');
        text.push_str(if depth + 1 == parts.len() { " " } else { "\n" });
    }
    text + value + "\n"
}

fn shown(config: &Config, key: &str) -> String {
    let setting = config.settings().iter().find(|setting| setting.key == key);
    setting.unwrap().value.clone()
}

/// A good value of each key, other than its default, and an impossible one.
#[rustfmt::skip]
const VALUES: &[(&str, &str, &[&str])] = &[
    ("network.bind_addr", "0.0.0.0:7501", &["7401", "host", "host:", ":7401", "host:70000", "a b:1", "::1:7401", "[x]:1"]),
    ("network.idle_timeout_secs", "0", &["-1", "1.5", "soon", "99999999999"]),
    ("network.max_connections", "10", &["0", "-1", "1000001", "many"]),
    ("network.keepalive_secs", "0", &["1", "2", "3601", "-1", "soon"]),
    ("network.buffers_max_mb", "64", &["0", "31", "-1"]),
    ("network.request_timeout_ms", "250", &["0", "3600001", "5s"]),
    ("http.bind_addr", "none", &["7403", "host:", "off", "[]"]),
    ("storage.data_dir", "/var/lib/rstmdb", &["[]"]),
    ("storage.wal_segment_size_mb", "8", &["0", "4097", "64MB"]),
    ("storage.fsync_policy", "every_n:100", &["sometimes", "every_n", "every_n:0", "every_ms:x", "never:1"]),
    ("storage.max_machine_versions", "12", &["-1", "4294967296"]),
    ("storage.allow_instance_recreate", "false", &["no", "2", "\"\""]),
    ("storage.allow_flush_all", "true", &["yes"]),
    ("storage.compression", "none", &["zstd", "true", "[]"]),
    ("storage.encryption_keys", "1 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", &["1", "x", "0 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "[]"]),
    ("storage.min_free_mb", "0", &["-5", "1e3"]),
    ("cluster.raise_level", "auto", &["yes", "2", "[]"]),
    ("auth.import_token_hashes", HASH, &["secret", "2cf2"]),
    ("audit.file", "/var/log/rstmdb/audit.jsonl", &["[]"]),
    ("audit.max_mb", "5", &["0", "5MB"]),
    ("audit.keep", "3", &["0", "1001"]),
    ("auth.token_hashes", HASH, &["secret", "2cf2", "zzf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"]),
    ("tls.cert_path", "cert.pem", &["{}"]),
    ("tls.key_path", "key.pem", &["[a]"]),
    ("tls.client_ca_path", "ca.pem", &["{a: b}"]),
    ("compaction.enabled", "false", &["maybe"]),
    ("compaction.events_threshold", "500", &["0", "x"]),
    ("compaction.size_threshold_mb", "1", &["0"]),
    ("compaction.min_interval_secs", "0", &["-1"]),
    ("compaction.retain_events", "none", &["0", "all"]),
    ("compaction.retain_hours", "24", &["0", "1d"]),
    ("compaction.retain_mb", "none", &["0"]),
    ("compaction.archive_dir", "/archive", &["[]"]),
    ("archive.url", "s3://history/orders", &["s3://", "gs://x", "s3://a b", "[]"]),
    ("archive.cache_mb", "10", &["0", "x"]),
    ("archive.s3.endpoint", "https://s3.example.org:9000", &["s3.example.org", "ftp://x", "[]"]),
    ("archive.s3.region", "eu-central-1", &["a b", "[]"]),
    ("archive.s3.allow_http", "true", &["yes"]),
    ("archive.s3.ca_path", "ca.pem", &["[]"]),
    ("archive.timeout_secs", "10", &["0", "3601", "1m"]),
    ("metrics.enabled", "false", &["off"]),
    ("metrics.bind_addr", "[::1]:9091", &["9090"]),
    ("logging.level", "info,rstmdb=debug", &["loud", "rstmdb=loud"]),
    ("logging.format", "json", &["xml"]),
    (
        "tracing.otlp_endpoint",
        "http://127.0.0.1:4317",
        &["https://host:4317", "host:4317", "http://", "http://host:0", "http://h:4317/v1/traces"],
    ),
    ("tracing.sample", "0.5", &["-0.1", "1.1", "NaN", "all"]),
    ("idempotency.retention_secs", "60", &["0", "x"]),
    ("idempotency.max_keys", "5", &["0"]),
    ("idempotency.max_mb", "16", &["0", "16MB"]),
    ("timers.in_flight", "8192", &["0", "8193", "-1", "all"]),
    ("cluster.node_id", "7", &["0", "-1", "a"]),
    ("cluster.name", "orders", &["[]"]),
    ("cluster.peers", "1=h:7402/h:7401", &["1=h:7402", "h:1/h:2", "1=h:1/h:2,1=g:1/g:2", "1=0.0.0.0:7402/h:7401", "1=h:7402/[::]:7401", "1=h:0/h:7401", "1=my db:1/h:2"]),
    ("cluster.bind_addr", "0.0.0.0:7402", &["x"]),
    ("cluster.secret_file", "/etc/rstmdb/secret", &["[]"]),
    ("cluster.insecure", "true", &["perhaps"]),
    ("cluster.heartbeat_ms", "50", &["0", "60001"]),
    ("cluster.max_clock_skew_ms", "500", &["99", "3600001", "1s"]),
    ("cluster.raise_level", "auto", &["yes", "2"]),
    ("cluster.stall_timeout_ms", "5000", &["99", "600001"]),
    ("cluster.election_timeout_ms", "900-1200", &["0", "500-500", "1000-500", "x-y"]),
];

#[test]
fn every_key_can_be_set_by_file_and_by_variable_and_refuses_what_cannot_be() {
    for (name, good, bad) in VALUES {
        let key = KEYS.iter().find(|key| key.name == *name).unwrap();
        let by_file = of_file(&yaml(name, &format!("{good:?}")))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let by_variable = of_variables(&[(key.variable, good)])
            .unwrap_or_else(|error| panic!("{}: {error}", key.variable));
        let default = of_file("").unwrap();
        assert_ne!(shown(&by_file, name), shown(&default, name), "{name}");
        assert_eq!(shown(&by_file, name), shown(&by_variable, name), "{name}");
        for value in *bad {
            let is_structure =
                value.starts_with(['[', '{', '"']) && value.ends_with([']', '}', '"']);
            let written = if is_structure {
                (*value).to_owned()
            } else {
                format!("{value:?}")
            };
            let error = of_file(&yaml(name, &written)).unwrap_err();
            let Error::BadValue {
                key: at,
                expects,
                origin,
                ..
            } = &error
            else {
                panic!("{name}: {value}: {error}");
            };
            assert_eq!((at, expects.as_str()), (name, key.expects));
            assert!(
                matches!(origin, ValueOrigin::File { line, .. } if *line as usize == name.split('.').count()),
                "{error}"
            );
            if !is_structure {
                let error = of_variables(&[(key.variable, value)])
                    .unwrap_err()
                    .to_string();
                assert!(
                    error.contains(name) && error.contains(key.variable),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn no_key_is_left_out_of_the_table_above_but_those_tested_alone() {
    let alone = [
        "auth.required",
        "auth.roles",
        "auth.secrets_file",
        "auth.tokens_file",
        "storage.encryption_key_file",
        "tls.enabled",
        "tls.require_client_cert",
        "cluster.join",
        "cluster.tls.enabled",
        "cluster.tls.cert_path",
        "cluster.tls.key_path",
        "cluster.tls.ca_path",
        "cluster.tls.allowed_names",
        "archive.s3.access_key_file",
        "archive.s3.secret_key_file",
    ];
    for key in KEYS {
        let in_table = VALUES.iter().any(|(name, ..)| *name == key.name);
        assert!(in_table != alone.contains(&key.name), "{}", key.name);
    }
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = of_file("").unwrap();
    assert_eq!(config.network.bind_addr, "127.0.0.1:7401");
    assert_eq!(config.network.idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!(config.network.connections_max, 1000);
    assert_eq!(config.network.request_timeout, Duration::from_secs(5));
    assert_eq!(config.storage.data_dir, Path::new("./data"));
    assert_eq!(config.storage.wal_segment_bytes, 64 << 20);
    assert_eq!(config.storage.fsync_policy, FsyncPolicy::EveryWrite);
    assert!(config.storage.allow_instance_recreate && !config.storage.allow_flush_all);
    assert_eq!(config.storage.free_bytes_min, 512 << 20);
    assert!(config.compaction.enabled && config.metrics.enabled);
    assert_eq!(config.compaction.events_threshold, 10_000);
    assert_eq!(config.compaction.size_threshold_bytes, 100 << 20);
    assert_eq!(config.compaction.retain_events, Some(10_000_000));
    assert_eq!(config.compaction.retain_hours, None);
    assert_eq!(config.compaction.retain_mb, Some(10_240));
    assert_eq!(config.metrics.bind_addr, "127.0.0.1:9090");
    assert_eq!(config.http.bind_addr.as_deref(), Some("127.0.0.1:7403"));
    assert_eq!(config.logging.level, "info");
    assert_eq!(config.idempotency.keys_max, 10_000_000);
    assert_eq!(config.idempotency.bytes_max, 4096 << 20);
    assert_eq!(config.cluster.heartbeat, Duration::from_millis(100));
    assert_eq!(config.cluster.election_timeout_max, Duration::from_secs(1));
}

#[test]
fn the_environment_wins_over_the_file_and_an_empty_variable_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(
        &path,
        "network:\n  max_connections: 5\n  idle_timeout_secs: 9\n",
    )
    .unwrap();
    let config = Config::load(Some(&path), |name| match name {
        "RSTMDB_MAX_CONNECTIONS" => Some("6".to_owned()),
        "RSTMDB_IDLE_TIMEOUT" => Some(String::new()),
        _ => None,
    })
    .unwrap();
    assert_eq!(config.network.connections_max, 6);
    assert_eq!(config.network.idle_timeout, Some(Duration::from_secs(9)));
}

#[test]
fn structured_values_of_the_file() {
    let config = of_file(&format!(
        "storage:\n  fsync_policy: {{every_ms: 20}}\nauth:\n  required: true\n  token_hashes:\n    - {HASH}\n  \
           roles:\n    shop:\n      - verbs: [read, write]\n        machines: [order]\n\
         cluster:\n  node_id: 3\n  peers:\n    - {{id: 3, peer_addr: 'h:7402', rcp_addr: 'h:7401'}}\n"
    ))
    .unwrap();
    assert_eq!(config.storage.fsync_policy, FsyncPolicy::EveryMs(20));
    assert_eq!(config.auth.token_hashes.len(), 1);
    let shop = config.auth.roles.find("shop").unwrap();
    assert_eq!(shop[0].machines, ["order"]);
    assert_eq!(config.cluster.peers[0].rcp_addr, "h:7401");
    assert_eq!(config.warnings().len(), 1);
}

#[test]
fn unknown_keys_are_refused_with_those_that_are_known() {
    for (text, key, known) in [
        ("network:\n  bind_adr: x\n", "network.bind_adr", "bind_addr"),
        ("netwrok:\n  bind_addr: x\n", "netwrok", "network"),
        ("storage: 5\n", "storage", "network"),
        (
            "cluster:\n  tls:\n    cert: a\n",
            "cluster.tls.cert",
            "cert_path",
        ),
        (
            "storage:\n  fsync_policy: every_write\n  fsync: x\n",
            "storage.fsync",
            "fsync_policy",
        ),
    ] {
        let error = of_file(text).unwrap_err();
        assert!(
            matches!(&error, Error::UnknownKey { key: found, .. } if found == key),
            "{error}"
        );
        assert!(error.to_string().contains(known), "{error}");
    }
}

#[test]
fn what_is_not_yaml_or_no_mapping_is_refused_with_its_place() {
    for text in [
        "network: [",
        "- a\n",
        "just text\n",
        "a: 1\na: 2\n",
        "\t- x: {",
    ] {
        let error = of_file(text).unwrap_err();
        assert!(
            matches!(error, Error::Syntax { .. } | Error::UnknownKey { .. }),
            "{text:?}: {error}"
        );
    }
    assert!(matches!(
        Config::load(Some(Path::new("/nowhere.yaml")), |_| None),
        Err(Error::Unreadable { .. })
    ));
}

#[test]
fn what_the_yaml_parser_says_is_told_in_words_for_the_author_of_the_file() {
    for (text, says) in [
        (
            "a: 1\na: 2\n",
            "duplicate mapping key: a; write each key once",
        ),
        (
            "~: 1\n",
            "expected the name of a key, such as `network`, found an empty one",
        ),
        ("[a]: 1\n", "expected the name of a key, such as `network`"),
        (
            "a: 1\n---\nb: 2\n",
            "only one is allowed: remove the `---` between them",
        ),
        (
            "network: !!int xyz\n",
            "its tag says `!!int`, and it is not a whole number",
        ),
        ("network: .nan\n", "expected a finite number"),
    ] {
        let error = of_file(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text:?}: {error}");
        assert!(
            error.contains("line 1") || error.contains("line 2") || error.contains("line 3"),
            "{error}"
        );
        for theirs in ["Option", "Policy", "u64", "from_str", "deserialize"] {
            assert!(!error.contains(theirs), "{text:?}: {error}");
        }
    }
}

#[test]
fn empty_sections_are_no_sections() {
    assert!(of_file("network:\nstorage:\n").is_ok());
    assert!(of_file("# nothing\n").is_ok());
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (text, key) in [
        ("auth:\n  required: true\n", "auth.required"),
        ("tls:\n  enabled: true\n", "tls.cert_path"),
        ("tls:\n  enabled: true\n  cert_path: a\n", "tls.key_path"),
        (
            "tls:\n  require_client_cert: true\n",
            "tls.require_client_cert",
        ),
        (
            "tls:\n  enabled: true\n  cert_path: a\n  key_path: b\n  require_client_cert: true\n",
            "tls.client_ca_path",
        ),
        (
            "cluster:\n  heartbeat_ms: 300\n",
            "cluster.election_timeout_ms",
        ),
        (
            "cluster:\n  peers: '1=a:1/a:2,2=b:1/b:2'\n",
            "cluster.node_id",
        ),
        (
            "cluster:\n  node_id: 3\n  peers: '1=a:1/a:2,2=b:1/b:2'\n",
            "cluster.peers",
        ),
        (
            "cluster:\n  node_id: 2\n  peers: '1=a:1/a:2'\n",
            "cluster.peers",
        ),
        ("cluster:\n  join: 'a:7402'\n", "cluster.node_id"),
        (
            "cluster:\n  tls:\n    enabled: true\n",
            "cluster.tls.cert_path",
        ),
        (
            "cluster:\n  tls:\n    enabled: true\n    cert_path: a\n    key_path: b\n",
            "cluster.tls.ca_path",
        ),
        ("cluster:\n  tls:\n    ca_path: x\n", "cluster.tls.ca_path"),
        (
            "cluster:\n  tls:\n    allowed_names: [ops.test]\n",
            "cluster.tls.allowed_names",
        ),
    ] {
        let error = of_file(text).unwrap_err();
        assert!(
            matches!(&error, Error::Conflict { key: at, .. } if *at == key),
            "{text}: {error}"
        );
    }
}

#[test]
fn other_nodes_are_served_only_where_not_everyone_can_be_one() {
    let own = "  peers: '1=db1:7402/db1:7401'\n  node_id: 1\n";
    let open = format!("cluster:\n  bind_addr: 0.0.0.0:7402\n{own}");
    let refused = of_file(&open).unwrap().must_be_closed().unwrap_err();
    let text = refused.to_string();
    for part in [
        "cluster.secret_file: not set",
        "0.0.0.0:7402",
        "cluster.tls",
        "cluster.insecure: true",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let closed = "  tls: {enabled: true, cert_path: a, key_path: b, ca_path: c}\n";
    for more in ["  secret_file: s\n", "  insecure: true\n", closed] {
        let config = of_file(&format!("{open}{more}")).unwrap();
        assert!(config.must_be_closed().is_ok(), "{more}");
    }
    let loud = of_file(&format!("{open}  insecure: true\n")).unwrap();
    assert!(
        loud.warnings()
            .iter()
            .any(|line| line.contains("RUNNING OPEN"))
    );
    for at_home in [
        "cluster:\n  bind_addr: 127.0.0.2:7402\n",
        "cluster:\n  bind_addr: '[::1]:7402'\n",
        "",
    ] {
        assert!(
            of_file(at_home).unwrap().must_be_closed().is_ok(),
            "{at_home}"
        );
    }
}

#[test]
fn an_address_that_nobody_can_dial_is_not_a_members_own() {
    for (bind, key) in [
        ("cluster:\n  bind_addr: 0.0.0.0:7402\n", "cluster.bind_addr"),
        ("cluster:\n  bind_addr: 127.0.0.1:0\n", "cluster.bind_addr"),
        (
            "cluster:\n  bind_addr: db1:7402\nnetwork:\n  bind_addr: 0.0.0.0:7401\n",
            "network.bind_addr",
        ),
    ] {
        let secret = bind.replace("cluster:\n", "cluster:\n  secret_file: s\n");
        let refused = of_file(&secret).unwrap().must_be_closed().unwrap_err();
        assert!(
            matches!(&refused, Error::Conflict { key: at, .. } if *at == key),
            "{refused}"
        );
        assert!(refused.to_string().contains("cluster.peers"), "{refused}");
    }
}

#[test]
fn names_that_are_allowed_are_names_addresses_or_fingerprints() {
    let tls = |names: &str| {
        of_file(&format!(
            "cluster:\n  tls: {{enabled: true, cert_path: a, key_path: b, ca_path: c, allowed_names: {names}}}\n"
        ))
    };
    let good = tls(&format!("[ops.test, 10.0.0.1, 'sha256:{HASH}']")).unwrap();
    assert_eq!(good.cluster.tls_allowed_names.len(), 3);
    for bad in ["['a b']", "['sha256:12']", "{a: b}"] {
        assert!(matches!(tls(bad), Err(Error::BadValue { .. })), "{bad}");
    }
}

#[test]
fn the_secrets_file_is_read_and_its_faults_do_not_show_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().join("secrets");
    std::fs::write(&secrets, format!("# tokens\n\n{HASH}  # ci\n{HASH}\n")).unwrap();
    let text = format!(
        "auth:\n  required: true\n  secrets_file: {}\n",
        secrets.display()
    );
    assert_eq!(of_file(&text).unwrap().auth.token_hashes.len(), 2);
    std::fs::write(&secrets, "my-secret-token\n").unwrap();
    let error = of_file(&text).unwrap_err().to_string();
    assert!(
        error.contains("line 1") && !error.contains("my-secret"),
        "{error}"
    );
    let error = of_variables(&[("RSTMDB_AUTH_TOKEN_HASH", "my-secret-token")]).unwrap_err();
    assert!(!error.to_string().contains("my-secret"), "{error}");
    let text = "auth:\n  secrets_file: /nowhere\n";
    assert!(matches!(
        of_file(text).unwrap_err(),
        Error::Unreadable { .. }
    ));
}

#[test]
fn every_key_is_documented_with_its_variable_and_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    for key in KEYS {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", key.name)))
            .unwrap_or_else(|| panic!("{} is not documented", key.name));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let variable = if key.variable.is_empty() {
            "–".to_owned()
        } else {
            format!("`{}`", key.variable)
        };
        let default = if key.default.is_empty() {
            "none".to_owned()
        } else {
            format!("`{}`", key.default)
        };
        assert_eq!(cells[2], variable, "{}", key.name);
        assert_eq!(
            cells[3].replace("`none`", "none"),
            default.replace("`none`", "none"),
            "{}",
            key.name
        );
    }
}

#[test]
fn the_keys_of_a_bucket_are_both_given_or_none() {
    for (given, missing) in [
        ("access_key_file", "secret_key_file"),
        ("secret_key_file", "access_key_file"),
    ] {
        let text = format!("archive:\n  url: s3://history\n  s3:\n    {given}: /key\n");
        let error = of_file(&text).unwrap_err().to_string();
        let named = format!("archive.s3.{missing}");
        assert!(error.contains(&named), "{error}");
    }
    let text =
        "archive:\n  url: s3://history\n  s3:\n    access_key_file: /a\n    secret_key_file: /b\n";
    let config = of_file(text).unwrap();
    assert_eq!(shown(&config, "archive.s3.access_key_file"), "\"/a\"");
    assert_eq!(shown(&config, "archive.s3.secret_key_file"), "\"/b\"");
}

#[test]
fn a_pipe_in_the_place_of_the_file_does_not_hold_up_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rstmdb.yaml");
    std::fs::write(&path, "network:\n  idle_timeout_secs: 5\n").unwrap();
    let config = Config::load(Some(&path), |_| None).unwrap();
    assert!(config.load_again().is_ok());
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let refused = config.load_again().unwrap_err().to_string();
    assert!(refused.contains("not a regular file"), "{refused}");
}

/// The command line must not warn of a variable that the server reads, nor the server of its own.
#[test]
fn both_programs_know_every_variable() {
    let mut read: Vec<&str> = KEYS.iter().map(|key| key.variable).collect();
    read.retain(|name| name.starts_with("RSTMDB_"));
    // An option of the program, not a key.
    read.push("RSTMDB_CONFIG");
    read.sort_unstable();
    let mut known = rstmdb_rcp::environment::OF_SERVER.to_vec();
    known.sort_unstable();
    assert_eq!(known, read);
}

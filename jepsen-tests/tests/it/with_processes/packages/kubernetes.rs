//! The manifests of `deploy/kubernetes`, and what `start.sh` starts in each pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use rstmdb_jepsen::binaries;
use rstmdb_jepsen::harness::skipped::or_skipped;
use serde_json::Value;
use tempfile::TempDir;

use super::{line, repository, shutdown_secs, stdout, text};

const KUSTOMIZATIONS: [&str; 3] = [
    "deploy/kubernetes",
    "deploy/kubernetes/backup",
    "deploy/kubernetes/restore",
];

/// All documents of a file of manifests.
fn documents(path: &str) -> Vec<Value> {
    let read = |document| {
        serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    text(path).split("\n---\n").map(read).collect()
}

fn stateful_set() -> Value {
    documents("deploy/kubernetes/statefulset.yaml").remove(0)
}

fn strings(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap()).collect()
}

/// Ports by name, from a list of `{name, KEY}`.
fn ports(list: &Value, key: &str) -> BTreeMap<String, u64> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|port| {
            (
                port["name"].as_str().unwrap().to_owned(),
                port[key].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_kustomizations_name_the_files_beside_them() {
    for folder in KUSTOMIZATIONS {
        let kustomization = documents(&format!("{folder}/kustomization.yaml")).remove(0);
        let mut named: BTreeSet<&str> = strings(&kustomization["resources"]).into_iter().collect();
        for generator in kustomization["configMapGenerator"]
            .as_array()
            .into_iter()
            .flatten()
        {
            named.extend(strings(&generator["files"]));
        }
        named.insert("kustomization.yaml");
        let files = fs::read_dir(repository().join(folder)).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let there: BTreeSet<String> = files
            .filter(|file| file.is_file())
            .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            there.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            named,
            "{folder}"
        );
    }
}

#[test]
fn kubectl_builds_the_kustomizations() {
    let kubectl = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    let Some(_) = or_skipped(kubectl.map_err(|error| format!("kubectl: {error}"))) else {
        return;
    };
    let mut kinds = BTreeSet::new();
    for folder in KUSTOMIZATIONS {
        let built = Command::new("kubectl")
            .arg("kustomize")
            .arg(repository().join(folder))
            .output();
        for document in stdout(built.unwrap()).split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).unwrap();
            assert_eq!(object["metadata"]["namespace"], "rstmdb", "{object}");
            kinds.insert(object["kind"].as_str().unwrap().to_owned());
        }
    }
    for kind in [
        "ConfigMap",
        "CronJob",
        "Job",
        "PodDisruptionBudget",
        "StatefulSet",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}

#[test]
fn pods_and_services_have_the_ports_of_the_image() {
    let dockerfile = text("Dockerfile");
    let exposed: Vec<u64> = line(&dockerfile, "EXPOSE ")
        .split(' ')
        .map(|port| port.parse().unwrap())
        .collect();
    let [clients, peers, http, admin] = exposed[..] else {
        panic!("{exposed:?}")
    };
    let all = BTreeMap::from([
        ("clients".to_owned(), clients),
        ("peers".to_owned(), peers),
        ("http".to_owned(), http),
        ("admin".to_owned(), admin),
    ]);
    let container = &stateful_set()["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(ports(&container["ports"], "containerPort"), all);
    let services = documents("deploy/kubernetes/services.yaml");
    assert_eq!(ports(&services[0]["spec"]["ports"], "port"), all);
    assert_eq!(services[0]["spec"]["publishNotReadyAddresses"], true);
    let only = BTreeMap::from([("clients".to_owned(), clients), ("http".to_owned(), http)]);
    assert_eq!(ports(&services[1]["spec"]["ports"], "port"), only);
    let policy = documents("deploy/kubernetes/network.yaml").remove(0);
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let mut opened: Vec<_> = rules
        .iter()
        .flat_map(|rule| rule["ports"].as_array().unwrap())
        .map(|port| port["port"].as_u64().unwrap())
        .collect();
    opened.sort_unstable();
    assert_eq!(opened, exposed);
}

#[test]
fn probes_ask_for_what_admin_http_serves() {
    let served = text("node/src/server/http/admin.rs");
    let container = &stateful_set()["spec"]["template"]["spec"]["containers"][0];
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["path"], path, "{probe}");
        assert_eq!(get["port"], "admin", "{probe}");
        assert!(served.contains(&format!(".route(\"{path}\"")), "{path}");
    }
}

#[test]
fn pods_run_as_the_user_of_the_image_and_have_longer_to_stop_than_a_node_needs() {
    let dockerfile = text("Dockerfile");
    let (user, group) = line(&dockerfile, "USER ").split_once(':').unwrap();
    let job =
        |manifest: &Value| manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone();
    let backup = documents("deploy/kubernetes/backup/backup.yaml");
    let restore = documents("deploy/kubernetes/restore/restore.yaml");
    let node = stateful_set()["spec"]["template"]["spec"].clone();
    let pods = [
        &node,
        &job(&backup[1]),
        &job(&backup[2]),
        &restore[1]["spec"]["template"]["spec"],
    ];
    for pod in pods {
        let context = &pod["securityContext"];
        assert_eq!(context["runAsUser"].to_string(), user, "{pod}");
        assert_eq!(context["runAsGroup"].to_string(), group, "{pod}");
        assert_eq!(context["fsGroup"].to_string(), group, "{pod}");
        assert_eq!(context["runAsNonRoot"], true, "{pod}");
        assert_eq!(pod["enableServiceLinks"], false, "{pod}");
        let inner = &pod["containers"][0]["securityContext"];
        assert_eq!(inner["readOnlyRootFilesystem"], true, "{pod}");
        assert_eq!(inner["allowPrivilegeEscalation"], false, "{pod}");
    }
    assert!(node["terminationGracePeriodSeconds"].as_u64().unwrap() > shutdown_secs());
}

/// What the pod's script starts, in place of Kubernetes: a folder with its configuration and secrets.
struct Pod {
    folder: TempDir,
}

impl Pod {
    fn new(node_ids: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, content) in [
            ("cluster", "a secret of the test"),
            ("tokens", &"0".repeat(64)),
        ] {
            fs::write(path(name), content).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let config = text("deploy/kubernetes/rstmdb.yaml");
        assert!(config.contains("/etc/rstmdb-secret/"));
        let here = format!("{}/", folder.path().display());
        fs::write(
            path("rstmdb.yaml"),
            config.replace("/etc/rstmdb-secret/", &here),
        )
        .unwrap();
        fs::write(path("node-ids"), node_ids).unwrap();
        Pod { folder }
    }

    /// `check-config` with the environment of the StatefulSet, as pod `number`.
    fn check_config(&self, number: u64, programs: &Path) -> Output {
        let container = stateful_set()["spec"]["template"]["spec"]["containers"][0].clone();
        let mut command = Command::new("sh");
        command
            .arg(repository().join("deploy/kubernetes/start.sh"))
            .arg("check-config");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RSTMDB_") {
                command.env_remove(name);
            }
        }
        for variable in container["env"].as_array().unwrap() {
            if let Some(value) = variable["value"].as_str() {
                command.env(variable["name"].as_str().unwrap(), value);
            }
        }
        let path = format!("{}:/usr/bin:/bin", programs.display());
        command
            .env("PATH", path)
            .env("POD_NAME", format!("rstmdb-{number}"))
            .env("POD_NAMESPACE", "orders")
            .env("NODE_IDS", self.folder.path().join("node-ids"))
            .env("RSTMDB_CONFIG", self.folder.path().join("rstmdb.yaml"))
            .output()
            .unwrap()
    }

    /// The value in force of each key.
    fn keys(&self, number: u64, programs: &Path) -> BTreeMap<String, String> {
        let printed = stdout(self.check_config(number, programs));
        let keys = printed.lines().filter_map(|line| line.split_once(": "));
        keys.map(|(key, rest)| {
            let value = rest.split("  #").next().unwrap().trim_matches('"');
            (key.to_owned(), value.to_owned())
        })
        .collect()
    }
}

fn addresses(id: u64, pod: u64) -> String {
    let host = format!("rstmdb-{pod}.rstmdb-nodes.orders.svc");
    format!("{id}={host}:7402/{host}:7401")
}

#[test]
fn each_pod_starts_with_its_id_and_the_addresses_of_its_peers() {
    let programs = binaries::dir().unwrap();
    let pod = Pod::new(&text("deploy/kubernetes/node-ids"));
    let all = [addresses(1, 0), addresses(2, 1), addresses(3, 2)].join(",");
    for number in 0..3 {
        let keys = pod.keys(number, programs);
        assert_eq!(keys["cluster.node_id"], (number + 1).to_string());
        assert_eq!(keys["cluster.peers"], all);
        assert_eq!(keys["cluster.join"], "(empty)");
        assert_eq!(keys["auth.required"], "true");
        // Below the volume, not the volume itself.
        assert_eq!(keys["storage.data_dir"], "/data/node");
        assert_eq!(keys["network.bind_addr"], "0.0.0.0:7401");
        assert_eq!(keys["cluster.bind_addr"], "0.0.0.0:7402");
        assert_eq!(keys["metrics.bind_addr"], "0.0.0.0:9090");
        assert_eq!(keys["http.bind_addr"], "0.0.0.0:7403");
    }
    let keys = pod.keys(3, programs);
    assert_eq!(keys["cluster.node_id"], "4");
    assert_eq!(keys["cluster.peers"], addresses(4, 3));
    assert_eq!(
        keys["cluster.join"].matches(".orders.svc:7402").count(),
        3,
        "{keys:?}"
    );
}

#[test]
fn a_pod_with_a_new_volume_joins_under_the_id_that_it_is_given() {
    let programs = binaries::dir().unwrap();
    // The last line has no end.
    let pod = Pod::new("# pod id\nrstmdb-1 6\nrstmdb-2 7");
    let keys = pod.keys(2, programs);
    assert_eq!(keys["cluster.node_id"], "7");
    assert_eq!(keys["cluster.peers"], addresses(7, 2));
    assert!(!keys["cluster.join"].contains("rstmdb-2."), "{keys:?}");
    assert_eq!(pod.keys(0, programs)["cluster.node_id"], "1");
    for wrong in ["rstmdb-2 6 7\n", "rstmdb-2\n", "rstmdb-2 x\n"] {
        let refused = Pod::new(wrong).check_config(2, programs);
        assert!(!refused.status.success(), "{wrong:?}");
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            message.contains("is not a pod, a space and an id"),
            "{message}"
        );
    }
}

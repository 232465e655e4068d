//! What `deploy/debian/build` makes, and the unit in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rstmdb_jepsen::harness::skipped::or_skipped;
use serde_json::Value;

use super::{line, repository, shutdown_secs, stdout, text};

#[test]
fn the_unit_names_what_the_package_installs_and_waits_for_a_shutdown() {
    let unit = text("deploy/debian/rstmdb.service");
    let stop: u64 = line(&unit, "TimeoutStopSec=").parse().unwrap();
    assert!(stop > shutdown_secs());
    let files: u64 = line(&unit, "LimitNOFILE=").parse().unwrap();
    assert!(files >= 1000 + 640);
    assert_eq!(
        line(&unit, "ExecStart="),
        "/usr/bin/rstmdb --config /etc/rstmdb/rstmdb.yaml"
    );
    let config: Value = serde_saphyr::from_str(&text("deploy/debian/rstmdb.yaml")).unwrap();
    let state = format!("/var/lib/{}", line(&unit, "StateDirectory="));
    assert_eq!(config["storage"]["data_dir"], state);
    let postinst = text("deploy/debian/postinst");
    assert!(postinst.contains(&format!("--home {state} ")));
    assert!(postinst.contains(&format!("--system --group --home {state}")));
    // Data is never deleted.
    for script in ["prerm", "postrm", "postinst"] {
        assert!(
            !text(&format!("deploy/debian/{script}")).contains("rm -"),
            "{script}"
        );
    }
}

/// Programs that answer what the build asks them: the real ones take long to compress.
fn small_programs(folder: &Path) {
    let scripts = [
        ("rstmdb", "echo rstmdb 1.2.3-rc.4"),
        ("rstmdb-cli", "echo complete"),
    ];
    for (name, script) in scripts {
        fs::write(folder.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn the_build_makes_a_package_with_both_programs_a_unit_and_a_configuration() {
    let dpkg = Command::new("dpkg-deb").arg("--version").output();
    let Some(_) = or_skipped(dpkg.map_err(|error| format!("dpkg-deb: {error}"))) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    small_programs(folder.path());
    let build = || {
        Command::new(repository().join("deploy/debian/build"))
            .arg(folder.path())
            .arg(folder.path())
            .output()
            .unwrap()
    };
    let package = stdout(build()).trim_end().to_owned();
    // Older than the release.
    assert!(package.contains("/rstmdb_1.2.3~rc.4-1_"), "{package}");
    let ask = |option: &str| {
        let asked = Command::new("dpkg-deb").arg(option).arg(&package).output();
        stdout(asked.unwrap())
    };
    let contents = ask("--contents");
    for installed in [
        "./usr/bin/rstmdb",
        "./usr/bin/rstmdb-cli",
        "./etc/rstmdb/rstmdb.yaml",
        "./usr/lib/systemd/system/rstmdb.service",
        "./usr/share/doc/rstmdb/changelog.gz",
        "./usr/share/doc/rstmdb/copyright",
    ] {
        let entry = contents
            .lines()
            .find(|entry| entry.ends_with(&format!(" {installed}")));
        let entry = entry.unwrap_or_else(|| panic!("{installed} is missing: {contents}"));
        assert!(entry.contains(" root/root "), "{entry}");
    }
    let info = ask("--info");
    assert!(info.contains("conffiles"), "{info}");
    let first = fs::read(&package).unwrap();
    stdout(build());
    assert_eq!(
        fs::read(&package).unwrap(),
        first,
        "the same programs make the same package"
    );
}

//! Profiles: kept in a file, used by name, and never printed with a token.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::fake::{Answer, Fake, cli, exited, run_with_input};
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "s3cret-token";

/// The program with a configuration folder of its own, and no server in a variable.
fn with(home: &TempDir, args: &[&str]) -> Command {
    let mut command = cli(args);
    command
        .env("XDG_CONFIG_HOME", home.path())
        .env_remove("RSTMDB_SERVER")
        .env_remove("RSTMDB_TOKEN");
    command
}

fn run(home: &TempDir, args: &[&str], code: i32) -> (String, String) {
    let said = exited(&with(home, args).output().unwrap(), code);
    assert!(!format!("{said:?}").contains(TOKEN), "{said:?}");
    said
}

#[test]
fn a_profile_is_kept_shown_used_and_removed_and_its_token_is_never_printed() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::start(|_, _| Answer::Ok(r#"{"authenticated":true,"pong":true}"#.to_owned()));
    let add = [
        "profile",
        "add",
        "prod",
        "-s",
        &fake.address,
        "--token-file",
        "-",
    ];
    let output = run_with_input(with(&home, &add), &format!("{TOKEN}\n"));
    let (out, _) = exited(&output, 0);
    assert!(!out.contains(TOKEN));
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&shown["profile"], &shown["token"], &shown["server"]),
        (&json!("prod"), &json!(true), &json!([fake.address]))
    );
    let file = home.path().join("rstmdb/profiles.json");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(fs::read_to_string(&file).unwrap().contains(TOKEN));
    run(&home, &["profile", "add", "prod", "-s", "x:1"], 2);
    run(&home, &["--profile", "prod", "ping"], 0);
    let mut command = with(&home, &["-v", "ping"]);
    command.env("RSTMDB_PROFILE", "prod");
    let (_, err) = exited(&command.output().unwrap(), 0);
    assert!(err.contains(&fake.address) && !err.contains(TOKEN), "{err}");
    run(&home, &["profile", "use", "prod"], 0);
    run(&home, &["ping"], 0);
    for form in ["json", "table", "yaml", "wide"] {
        let (out, _) = run(&home, &["profile", "list", "-o", form], 0);
        assert!(out.contains("prod"), "{out}");
        let (out, _) = run(&home, &["profile", "show", "prod", "-o", form], 0);
        assert!(out.contains(&fake.address), "{out}");
    }
    let (_, err) = run(&home, &["--profile", "prd", "ping"], 2);
    assert!(err.contains("did you mean \"prod\"?"), "{err}");
    run(&home, &["profile", "remove", "prod"], 0);
    let (out, _) = run(&home, &["profile", "list"], 0);
    assert_eq!(out, "{\"profiles\":[]}\n");
}

#[test]
fn the_current_profile_is_not_mixed_with_a_server_that_is_named() {
    let home = tempfile::tempdir().unwrap();
    let tokens = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = tokens.clone();
    let fake = Fake::start(move |operation, params| {
        if operation == "AUTH" {
            seen.lock().unwrap().push(params["token"].to_string());
        }
        Answer::Ok(r#"{"authenticated":true,"pong":true}"#.to_owned())
    });
    run(
        &home,
        &[
            "profile",
            "add",
            "prod",
            "-s",
            "gone.invalid:1",
            "-t",
            TOKEN,
        ],
        0,
    );
    run(&home, &["profile", "use", "prod"], 0);
    run(&home, &["-s", &fake.address, "ping"], 0);
    let mut command = with(&home, &["ping"]);
    command.env("RSTMDB_SERVER", &fake.address);
    exited(&command.output().unwrap(), 0);
    assert_eq!(*tokens.lock().unwrap(), Vec::<String>::new());
    // What needs no server does not look for one, even if the file of profiles is broken.
    fs::write(home.path().join("rstmdb/profiles.json"), "{").unwrap();
    run(&home, &["hash-token", "x"], 0);
    let (_, err) = run(&home, &["ping"], 2);
    assert!(
        err.contains("profiles.json is no file of profiles"),
        "{err}"
    );
}

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::server::config::Verb;

const ONE: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn roles() -> Roles {
    let text = "{shop: [{verbs: [read, write], machines: [order, 'job-*']}, {verbs: read}]}";
    let value = ConfigValue::of_yaml(text).unwrap();
    Roles::read(&value).unwrap()
}

fn refused(text: &str) -> String {
    parse(text, &roles()).unwrap_err()
}

#[test]
fn an_entry_has_a_name_roles_and_a_token_or_a_certificate() {
    let text = format!(
        "# clients\n- name: shop\n  hash: {ONE}\n  roles: [shop, reader]\n  expires: 2027-01-31\n\
         - {{name: ops, certificate: ops.example.org, roles: operator, expires: 2027-01-31T01:00:00+01:00}}\n"
    );
    let clients = parse(&text, &roles()).unwrap();
    let [shop, ops] = &clients[..] else {
        panic!("{clients:?}");
    };
    assert_eq!((&*shop.name, shop.roles.len()), ("shop", 2));
    assert_eq!(shop.grants[0].machines, ["order", "job-*"]);
    assert_eq!(shop.grants[1], Grant::everywhere(&[Verb::Read]));
    let at = UNIX_EPOCH + Duration::from_secs(1_801_353_600);
    assert_eq!((shop.expires, ops.expires), (Some(at), Some(at)));
    assert_eq!(ops.certificate.as_deref(), Some("ops.example.org"));
    assert_eq!(
        (ops.hash, &ops.grants[..]),
        (None, &roles().find("operator").unwrap()[..])
    );
    for empty in ["", "# none\n", "[]"] {
        assert_eq!(parse(empty, &roles()).unwrap(), []);
    }
}

#[test]
fn a_fault_is_told_with_its_line_and_field_and_without_what_may_be_a_token() {
    let ok = format!("- {{name: a, hash: {ONE}, roles: [reader]}}\n");
    for (text, says) in [
        ("name: a", "expected a list"),
        ("- a", "entry 1: expected a mapping"),
        ("- {}", "entry 1: hash or certificate is missing"),
        (
            "\n- name: a\n  roles: [reader]",
            "line 2 (entry 1): hash or certificate is missing",
        ),
        (
            "- {certificate: a, roles: [reader]}",
            "line 1 (entry 1): name is missing",
        ),
        ("- {name: a, certificate: a}", "roles is missing"),
        (
            "- name: a\n  certificate: a\n  roles: [boss]",
            "roles (line 3): \"boss\" is not a role",
        ),
        ("- {name: a, certificate: a, roles: []}", "at least one"),
        (
            "- {name: a, hash: secret-token, roles: [reader]}",
            "hash (line 1): expected the SHA-256",
        ),
        (
            "- {name: timer, certificate: a, roles: [reader]}",
            "choose another name",
        ),
        (
            "- {name: 'token:abcd', certificate: a, roles: [reader]}",
            "choose another name",
        ),
        (
            "- {name: a, certificate: a, roles: [reader], expires: soon}",
            "expires (line 1)",
        ),
        (
            "- {name: a, certificate: a, roles: [reader], expires: 2027-02-30}",
            "is no time",
        ),
        ("- {secret-token: a}", "this field is not known"),
        ("- [", "line"),
    ] {
        let fault = refused(text);
        assert!(fault.contains(says), "{text}: {fault}");
        assert!(!fault.contains("secret-token"), "{fault}");
    }
    let twice = refused(&(ok.clone() + &ok.replace("name: a", "name: b")));
    assert!(
        twice.starts_with("line 2 (entry 2): hash: an earlier entry"),
        "{twice}"
    );
    let twice = "- {name: a, certificate: A, roles: [reader]}\n- {name: b, certificate: a, roles: [reader]}";
    assert!(refused(twice).contains("certificate: \"a\": an earlier entry"));
}

#[test]
fn two_tokens_may_have_one_name_so_that_a_token_can_be_replaced() {
    let other = ONE.replace('2', "3");
    let text = format!(
        "- {{name: a, hash: {ONE}, roles: [reader]}}\n- {{name: a, hash: {other}, roles: [reader]}}\n"
    );
    assert_eq!(parse(&text, &roles()).unwrap().len(), 2);
}

#[test]
fn roles_of_ones_own_are_checked() {
    let read = |text: &str| {
        let value = ConfigValue::of_yaml(text).unwrap();
        Roles::read(&value)
    };
    assert!(read("{a: [{verbs: [admin]}]}").is_some());
    for wrong in [
        "[a]",
        "{a: reader}",
        "{a: []}",
        "{admin: [{verbs: [read]}]}",
        "{a: [{verbs: []}]}",
        "{a: [{verbs: [fly]}]}",
        "{a: [{machines: [order]}]}",
        "{a: [{verbs: [read], machines: []}]}",
        "{a: [{verbs: [operate], machines: [order]}]}",
        "{a: [{verbs: [read], states: [paid]}]}",
        "{' a': [{verbs: [read]}]}",
    ] {
        assert!(read(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn every_input_of_the_corpus_passes_the_fuzz_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/tokens");
    let mut taken = 0;
    for input in std::fs::read_dir(folder).unwrap() {
        fuzzing::take(&std::fs::read(input.unwrap().path()).unwrap());
        taken += 1;
    }
    assert!(taken >= 5, "{taken}");
}

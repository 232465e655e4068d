#![allow(clippy::unwrap_used)]

use super::*;

fn mark(machine: &str, version: u32, begin: &str) -> ImportMark {
    ImportMark {
        machine: machine.to_owned(),
        version,
        begin: begin.to_owned(),
    }
}

#[test]
fn only_rows_without_a_gap_before_them_count_as_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("done");
    let mut done = DoneRows::open(Some(&path)).unwrap();
    done.check(mark("order", 1, "ab")).unwrap();
    for number in [1, 3, 4, 2, 6] {
        done.add(number);
    }
    done.save().unwrap();
    assert_eq!(DoneRows::open(Some(&path)).unwrap().rows(), 4);
    std::fs::write(&path, "none").unwrap();
    assert!(DoneRows::open(Some(&path)).is_err());
}

#[test]
fn the_number_of_another_import_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("done");
    let mut done = DoneRows::open(Some(&path)).unwrap();
    done.check(mark("order", 1, "ab")).unwrap();
    done.add(1);
    done.save().unwrap();
    let check = |of| DoneRows::open(Some(&path)).unwrap().check(of);
    check(mark("order", 1, "ab")).unwrap();
    for (of, part) in [
        (mark("order", 1, "cd"), "another file of rows"),
        (mark("other", 1, "ab"), "machine \"order\""),
        (mark("order", 2, "ab"), "-V 1"),
    ] {
        let error = check(of).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let said = error.to_string();
        assert!(
            said.contains(part) && said.contains(path.to_str().unwrap()),
            "{said}"
        );
    }
}

#[test]
fn refused_rows_are_a_file_that_can_be_imported_in_the_order_of_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rejected.csv");
    let mut rows = RejectedRows::open(Some(&path), Some("id,state"), false).unwrap();
    rows.add(7, b"b,x");
    rows.add(3, b"a,\"b\nc\"");
    rows.add(9, b"c,x");
    rows.flush(8).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "id,state\na,\"b\nc\"\nb,x\n");
}

#[test]
fn an_import_that_goes_on_keeps_the_refused_rows_of_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rejected.csv");
    for (before, after) in [
        ("", "id\nb\n"),
        ("id\na\n", "id\na\nb\n"),
        ("id\nhalf", "id\nhalf\nb\n"),
    ] {
        std::fs::write(&path, before).unwrap();
        let mut rows = RejectedRows::open(Some(&path), Some("id"), true).unwrap();
        rows.add(2, b"b");
        rows.flush(2).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
    }
}

#[test]
fn one_file_under_two_names_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("rows"), "").unwrap();
    std::fs::hard_link(at("rows"), at("linked")).unwrap();
    let rows = at("rows");
    let rows = rows.to_str().unwrap();
    let check = |rejected: &str, resume: &str| {
        check_apart(rows, Some(&at(rejected)), Some(&at(resume))).map_err(|e| e.exit_code())
    };
    assert_eq!(check("rejected", "done"), Ok(()));
    for (rejected, resume) in [
        ("rows", "done"),
        ("./rows", "done"),
        ("linked", "done"),
        ("rejected", "rows"),
        ("new", "./new"),
        ("done.new", "done"),
    ] {
        assert_eq!(check(rejected, resume), Err(2), "{rejected} {resume}");
    }
    assert_eq!(
        check_apart("-", Some(Path::new("/dev/null")), None).ok(),
        Some(())
    );
}

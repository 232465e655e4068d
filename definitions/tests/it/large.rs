//! The largest definitions that are allowed take a time that grows with their size, and not with its square.

use std::fmt::Write;
use std::time::{Duration, Instant};

use rstmdb_definitions::check::check;
use rstmdb_definitions::convert::convert;
use rstmdb_definitions::diff::diff;
use rstmdb_definitions::export::{self, export};
use rstmdb_definitions::import::{self, import};

use crate::common::{json, machine};

const SMALL: usize = 1_500;
const LARGE: usize = 6_000;

/// What the processor has spent on this thread, where the system says it; other programs do not count. Some systems
/// count in steps of some milliseconds.
fn spent(begin: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat");
    let ns = stat.ok().and_then(|it| it.split(' ').next()?.parse().ok());
    ns.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

/// Runs something on inputs of two sizes.
fn grows_with_the_size<T>(what: &str, make: impl Fn(usize) -> T, run: impl Fn(&T)) {
    let time = |states: usize| {
        let input = make(states);
        let once = || {
            let begin = Instant::now();
            let before = spent(begin);
            run(&input);
            spent(begin).saturating_sub(before)
        };
        (0..3).map(|_| once()).min().unwrap_or_default()
    };
    let (small, large) = (time(SMALL), time(LARGE));
    println!("{what}: {small:?} for {SMALL} states, {large:?} for {LARGE}");
    // Four times the size; a square would be sixteen.
    let most = small.max(Duration::from_millis(5)) * 9;
    assert!(large < most, "{what}: {small:?} became {large:?}");
}

/// Twice as many transitions as states: a chain, and ways back to the beginning that several states share.
fn definition(format: u8, states: usize) -> String {
    let names: Vec<String> = (0..states).map(|it| format!("\"s{it}\"")).collect();
    let ways = (0..2 * states - 2).map(|it| {
        let (from, to) = match it % 2 {
            0 => (it / 2, it / 2 + 1),
            _ => (it / 2 + 1, it / 100),
        };
        let other = match from / 2 {
            half if half == from => String::new(),
            half => format!(",\"s{half}\""),
        };
        format!(r#"{{"from":["s{from}"{other}],"event":"E{it}","to":"s{to}","guard":"ctx.a > 0"}}"#)
    });
    let ways: Vec<String> = ways.collect();
    let format = if format == 1 { "" } else { "\"format\":2," };
    format!(
        r#"{{{format}"states":[{}],"initial":"s0","transitions":[{}]}}"#,
        names.join(","),
        ways.join(",")
    )
}

#[test]
fn checking_a_definition() {
    for format in [1, 2] {
        let make = |states| definition(format, states);
        grows_with_the_size(&format!("check of format {format}"), make, |text| {
            assert_eq!(check(text).errors, []);
        });
    }
}

/// Every state answers to each of these: they are told once, not once for each state.
#[test]
fn checking_transitions_from_every_state() {
    let make = |states: usize| {
        let ways = (1..states).map(|it| {
            format!(
                r#"{{"from":"*","except":["s{}"],"event":"E{it}","to":"s{it}"}}"#,
                it / 2
            )
        });
        let ways: Vec<String> = ways.collect();
        let names: Vec<String> = (0..states).map(|it| format!("\"s{it}\"")).collect();
        format!(
            r#"{{"format":2,"states":[{}],"initial":"s0","transitions":[{}]}}"#,
            names.join(","),
            ways.join(",")
        )
    };
    grows_with_the_size("check of `*`", make, |text| {
        assert_eq!(check(text).errors, []);
    });
}

#[test]
fn converting_and_comparing() {
    let make = |states| json(&definition(1, states));
    grows_with_the_size("convert", make, |json| assert!(convert(json).is_ok()));
    let make = |states| {
        let text = definition(2, states);
        (
            machine(&text),
            machine(&text.replace("ctx.a > 0", "ctx.a > 1")),
        )
    };
    grows_with_the_size("diff", make, |(old, new)| {
        assert!(diff(old, new).len() >= SMALL);
    });
}

#[test]
fn writing_other_languages() {
    for language in [
        export::ExportLanguage::Xstate,
        export::ExportLanguage::Scxml,
        export::ExportLanguage::Asl,
        export::ExportLanguage::Mermaid,
        export::ExportLanguage::Dot,
    ] {
        let make = |states| machine(&definition(2, states));
        grows_with_the_size(&format!("export {language:?}"), make, |machine| {
            assert!(export(language, machine, true).is_ok());
        });
    }
}

#[test]
fn reading_other_languages() {
    let xstate = |states: usize| {
        let one = |it: usize| {
            format!(
                r##""s{it}":{{"id":"i{it}","on":{{"NEXT":"s{}","E{it}":"#i{}"}}}}"##,
                (it + 1) % states,
                it / 2
            )
        };
        let all: Vec<String> = (0..states).map(one).collect();
        format!(r#"{{"initial":"s0","states":{{{}}}}}"#, all.join(","))
    };
    let scxml = |states: usize| {
        let mut text = String::from("<scxml initial=\"s0\">\n");
        for it in 0..states {
            let next = (it + 1) % states;
            let _ = writeln!(
                text,
                "<state id=\"s{it}\">\n<transition event=\"NEXT\" target=\"s{next}\"/>\n\
                 <transition event=\"E{it}\" target=\"s{}\"/></state>",
                it / 2
            );
        }
        text + "</scxml>"
    };
    let asl = |states: usize| {
        let one = |it: usize| {
            let last = match it + 1 < states {
                true => format!("\"Next\":\"s{}\"", it + 1),
                false => "\"End\":true".to_owned(),
            };
            format!(r#""s{it}":{{"Type":"Task","Resource":"r",{last}}}"#)
        };
        let all: Vec<String> = (0..states).map(one).collect();
        format!(r#"{{"StartAt":"s0","States":{{{}}}}}"#, all.join(","))
    };
    let mermaid = |states: usize| {
        let mut text = String::from("stateDiagram-v2\n[*] --> s0\n");
        for it in 0..states {
            let next = (it + 1) % states;
            let _ = writeln!(
                text,
                "state \"state {it}\" as s{it}\ns{it} --> s{next} : NEXT\ns{it} --> s{} : E{it}",
                it / 2
            );
        }
        text
    };
    type Make<'m> = (import::ImportLanguage, &'m dyn Fn(usize) -> String);
    let all: [Make<'_>; 4] = [
        (import::ImportLanguage::Xstate, &xstate),
        (import::ImportLanguage::Scxml, &scxml),
        (import::ImportLanguage::Asl, &asl),
        (import::ImportLanguage::Mermaid, &mermaid),
    ];
    for (language, make) in all {
        grows_with_the_size(&format!("import {language:?}"), make, |text| {
            let read = import(language, text, false);
            assert!(read.is_ok(), "{:?}", read.unwrap_err().first());
        });
        // Each fault could suggest a name, out of thousands.
        let broken = |states: usize| make(states).replace("\"s1", "\"t1").replace("#i", "#none");
        grows_with_the_size(&format!("faults of {language:?}"), broken, |text| {
            drop(import(language, text, false));
        });
    }
}

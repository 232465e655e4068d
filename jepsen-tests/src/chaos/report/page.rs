//! The page: complete in itself, without anything from elsewhere.

use super::plot::Plots;
use super::series::Series;
use super::svg::escape;
use super::{Overall, Run, window};
use crate::chaos::check::{CheckerResult, Verdict};
use crate::chaos::history::Outcome;

const STYLE: &str = include_str!("page.css");

/// The page of a run.
pub(super) fn html(run: &Run) -> String {
    let overall = run.overall();
    let class = class_of(overall);
    let title = escape(&run.name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <title>{title}: {}</title>\n<style>\n{STYLE}</style></head>\n<body>\n\
         <h1>{title} <span class=\"verdict {class}\">{}</span></h1>\n",
        overall.label(),
        overall.label()
    );
    out.push_str(&about(run));
    out.push_str(&checkers(run));
    out.push_str(&violations(run));
    out.push_str(&plots(run));
    out.push_str(&faults(run));
    out.push_str(&files(run));
    out.push_str("</body></html>\n");
    out
}

fn class_of(overall: Overall) -> &'static str {
    match overall {
        Overall::Pass => "good",
        Overall::Unknown => "open",
        Overall::Failed | Overall::Violation => "bad",
    }
}

fn about(run: &Run) -> String {
    let count = |is: fn(&Outcome) -> bool| {
        let all = run.entries.iter().filter(|entry| is(&entry.outcome));
        all.count()
    };
    let done = count(|outcome| matches!(outcome, Outcome::Ok(_)));
    let refused = count(|outcome| matches!(outcome, Outcome::Refused { .. }));
    let unknown = count(|outcome| matches!(outcome, Outcome::Unknown { .. }));
    let requests = format!(
        "{}: {done} done, {refused} refused, {unknown} without an answer",
        run.entries.len()
    );
    let rows = [
        ("seed", run.seed.to_string()),
        ("nodes", format!("{} as {}", run.nodes, run.runner)),
        ("begun", run.begun.clone()),
        ("took", format!("{:.1} s", run.duration.as_secs_f64())),
        ("requests", requests),
    ];
    let mut out = String::from("<table class=\"about\">\n");
    for (name, value) in rows {
        out.push_str(&format!(
            "<tr><th>{name}</th><td>{}</td></tr>\n",
            escape(&value)
        ));
    }
    let command = escape(&run.command);
    out.push_str(&format!(
        "<tr><th>again</th><td><code>{command}</code></td></tr>\n</table>\n"
    ));
    for note in &run.notes {
        out.push_str(&format!("<p class=\"note\">{}</p>\n", escape(note)));
    }
    out
}

fn checkers(run: &Run) -> String {
    let mut out = String::from(
        "<h2>Checks</h2>\n<table><tr><th>checker</th><th>of</th><th>operations</th>\
         <th>verdict</th><th></th></tr>\n",
    );
    for (at, result) in run.results.iter().enumerate() {
        let (class, verdict) = verdict(at, result);
        out.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"{class}\">{verdict}</td>\
             <td>{}</td></tr>\n",
            escape(&result.checker),
            escape(&result.subject),
            result.operations,
            escape(&result.notes.join("; "))
        ));
    }
    out.push_str("</table>\n");
    out
}

fn verdict(at: usize, result: &CheckerResult) -> (&'static str, String) {
    match &result.verdict {
        Verdict::Valid => ("good", "valid".to_owned()),
        Verdict::Unknown(why) => ("open", format!("unknown: {}", escape(why))),
        Verdict::Failed(why) => ("bad", format!("the check failed: {}", escape(why))),
        Verdict::Invalid(violations) => {
            let link = format!("<a href=\"#v{at}\">{} found</a>", violations.len());
            ("bad", format!("invalid: {link}"))
        }
    }
}

fn violations(run: &Run) -> String {
    let mut out = String::new();
    for (at, result) in run.results.iter().enumerate() {
        if result.violations().is_empty() {
            continue;
        }
        out.push_str(&format!(
            "<h2 id=\"v{at}\">{} of {}</h2>\n",
            escape(&result.checker),
            escape(&result.subject)
        ));
        for violation in result.violations() {
            let text = escape(&violation.to_string());
            out.push_str(&format!("<h3>{text}</h3>\n"));
            out.push_str(&window::html(violation));
        }
    }
    out
}

fn plots(run: &Run) -> String {
    let measured = u64::try_from(run.duration.as_micros()).unwrap_or(u64::MAX);
    let answered = run.entries.iter().map(|entry| entry.ended).max();
    let duration_us = measured.max(answered.unwrap_or(0)).max(1);
    let series = Series::new(&run.entries, duration_us);
    let plots = Plots {
        series: &series,
        faults: &run.faults,
        duration_us,
    };
    format!(
        "<h2>Over time</h2>\n{}{}{}",
        plots.throughput(),
        plots.latency("Latency of writes that were done", &series.writes),
        plots.latency("Latency of reads that were done", &series.reads)
    )
}

fn faults(run: &Run) -> String {
    let mut out = String::from(
        "<h2>Faults</h2>\n<table><tr><th>kind</th><th>fault</th><th>from</th><th>to</th></tr>\n",
    );
    for fault in &run.faults {
        let seconds = |us: u64| format!("{:.1} s", us as f64 / 1e6);
        out.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
            escape(&fault.kind),
            escape(&fault.name),
            seconds(fault.begun_us),
            seconds(fault.ended_us)
        ));
    }
    out.push_str("</table>\n");
    out
}

fn files(run: &Run) -> String {
    let own = [
        "history.jsonl",
        "faults.json",
        "results.json",
        "schedule.json",
    ];
    let names = own.into_iter().chain(run.logs.iter().map(String::as_str));
    let links: Vec<String> = names
        .map(|name| {
            let name = escape(name);
            format!("<li><a href=\"{name}\">{name}</a></li>")
        })
        .collect();
    format!("<h2>Files</h2>\n<ul>\n{}\n</ul>\n", links.join("\n"))
}

//! The page: a fixed HTML file with the run as JSON inside, which its own script draws. It loads nothing.

use serde::Serialize;

use super::series::Series;
use super::{FaultSpan, Overall, ReportedRun};
use crate::chaos::check::CheckerResult;
use crate::chaos::history::RequestOutcome;

const PAGE: &str = include_str!("page.html");
/// Where the JSON goes.
const PLACE: &str = "__RUN__";

/// What the script draws. Numbers that may be beyond 2^53 are text, because JavaScript would round them.
#[derive(Serialize)]
struct ShownPage<'a> {
    name: &'a str,
    overall: Overall,
    label: &'static str,
    seed: String,
    nodes: usize,
    runner: &'a str,
    begun: &'a str,
    seconds: f64,
    duration_us: u64,
    requests: Requests,
    command: &'a str,
    notes: &'a [String],
    results: &'a [CheckerResult],
    series: Series,
    faults: &'a [FaultSpan],
    files: Vec<&'a str>,
}

/// How many requests ended how.
#[derive(Serialize)]
struct Requests {
    total: usize,
    ok: usize,
    refused: usize,
    unknown: usize,
}

/// The page of a run.
///
/// # Errors
/// When the run cannot be written as JSON.
pub(super) fn html(run: &ReportedRun) -> serde_json::Result<String> {
    let json = serde_json::to_string(&shown(run))?;
    // In JSON `<` is only found inside of strings, where it might end the script.
    Ok(PAGE.replacen(PLACE, &json.replace('<', "\\u003c"), 1))
}

fn shown(run: &ReportedRun) -> ShownPage<'_> {
    let overall = run.overall();
    let measured = u64::try_from(run.duration.as_micros()).unwrap_or(u64::MAX);
    let answered = run.entries.iter().map(|entry| entry.ended).max();
    let duration_us = measured.max(answered.unwrap_or(0)).max(1);
    let own = [
        "history.jsonl",
        "faults.json",
        "results.json",
        "schedule.json",
    ];
    ShownPage {
        name: &run.name,
        overall,
        label: overall.label(),
        seed: run.seed.to_string(),
        nodes: run.nodes,
        runner: &run.runner,
        begun: &run.begun,
        seconds: run.duration.as_secs_f64(),
        duration_us,
        requests: requests(run),
        command: &run.command,
        notes: &run.notes,
        results: &run.results,
        series: Series::new(&run.entries, duration_us),
        faults: &run.faults,
        files: own
            .into_iter()
            .chain(run.logs.iter().map(String::as_str))
            .collect(),
    }
}

fn requests(run: &ReportedRun) -> Requests {
    let count = |is: fn(&RequestOutcome) -> bool| {
        let all = run.entries.iter().filter(|entry| is(&entry.outcome));
        all.count()
    };
    Requests {
        total: run.entries.len(),
        ok: count(|outcome| matches!(outcome, RequestOutcome::Ok(_))),
        refused: count(|outcome| matches!(outcome, RequestOutcome::Refused { .. })),
        unknown: count(|outcome| matches!(outcome, RequestOutcome::Unknown { .. })),
    }
}

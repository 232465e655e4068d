//! wal-read: a page of the log, its end, what is younger than a time, or what comes.

use std::time::Duration;

use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::{InfoResult, NoParams};
use rstmdb_rcp::message::storage::{WalRead, WalStatsResult};

use crate::render::output::DrawnLines;
use crate::render::view;
use crate::session::CliSession;
use crate::{Error, args};

/// The longest page.
const PAGE: u64 = 1000;
/// Interval between looks for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(in crate::commands) async fn read(
    session: &CliSession,
    args: &args::WalReadArgs,
) -> Result<(), Error> {
    let from = match args.since {
        Some(ago) => first_since(session, ago).await?,
        None => args.from_offset,
    };
    if args.follow {
        return tokio::select! {
            // First, so that the signal is taken before the first record is printed.
            biased;
            interrupted = session.interrupted() => interrupted,
            ended = follow(session, args, from) => ended,
        };
    }
    if let Some(count) = args.last {
        let (records, next) = last(session, count, args.meta).await?;
        let fields = [
            ("records".to_owned(), Json::List(records)),
            (
                "next_offset".to_owned(),
                Json::Number(next.to_string().into()),
            ),
        ];
        return session.print_parsed(op::WAL_READ, &Json::Object(fields.into()));
    }
    session.show(op::WAL_READ, &params(args, from)).await
}

fn params(args: &args::WalReadArgs, from_offset: u64) -> WalRead {
    WalRead {
        from_offset,
        limit: args.limit.map(u64::from),
        include_meta: args.meta.then_some(true),
    }
}

/// Prints what there is from an offset on, or the last records, and then each record when it is there.
async fn follow(session: &CliSession, args: &args::WalReadArgs, from: u64) -> Result<(), Error> {
    let mut from = from;
    let mut lines = DrawnLines::default();
    say_if_ahead(session, from).await;
    if let Some(count) = args.last {
        let (records, next) = last(session, count, args.meta).await?;
        print(session, &mut lines, &records)?;
        from = next;
    }
    loop {
        let (records, next) = page(session, &params(args, from)).await?;
        print(session, &mut lines, &records)?;
        if next <= from {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        from = next.max(from);
    }
}

/// A wrong offset would wait for ever, and look as if nothing happened.
async fn say_if_ahead(session: &CliSession, from: u64) {
    let stats: Result<WalStatsResult, Error> = session.ask(op::WAL_STATS, &NoParams {}).await;
    let latest = stats.map(|stats| stats.latest_offset);
    if let Ok(latest) = latest
        && from > latest.saturating_add(1)
        && !session.out.errors_are_json()
    {
        eprintln!("the log ends at offset {latest}; this waits until it reaches {from}");
    }
}

fn print(session: &CliSession, lines: &mut DrawnLines, records: &[Json]) -> Result<(), Error> {
    for record in records {
        if session.out.for_programs() {
            session.out.json_item(&record.to_string())?;
        } else {
            lines.draw(&session.out, session.paint(), |paint| {
                view::fact_line(record, paint)
            })?;
        }
    }
    Ok(())
}

/// The records of a page, and where the next one begins.
async fn page(session: &CliSession, params: &WalRead) -> Result<(Vec<Json>, u64), Error> {
    let answer = session.call(op::WAL_READ, params).await?;
    let page = Json::parse(answer.result.get()).map_err(Error::unexpected)?;
    let next = number(&page["next_offset"]).ok_or_else(|| Error::unexpected("no next_offset"))?;
    Ok((page["records"].items().to_vec(), next))
}

fn number(value: &Json) -> Option<u64> {
    value.as_i64().and_then(|number| number.try_into().ok())
}

/// The first and the last offset that can be read.
async fn bounds(session: &CliSession) -> Result<(u64, u64), Error> {
    let info: InfoResult<'_> = session.ask(op::INFO, &NoParams {}).await?;
    let stats: WalStatsResult = session.ask(op::WAL_STATS, &NoParams {}).await?;
    let first = info.cluster.map_or(1, |cluster| cluster.earliest_offset);
    Ok((first, stats.latest_offset.max(first)))
}

/// The last records, and the offset behind them. An offset has no record, one, or those of a whole batch: so it looks
/// back further until there are enough.
async fn last(session: &CliSession, count: u32, meta: bool) -> Result<(Vec<Json>, u64), Error> {
    let count = count as usize;
    let (first, latest) = bounds(session).await?;
    let mut back = count as u64;
    loop {
        let begin = latest.saturating_sub(back).saturating_add(1).max(first);
        let (mut records, mut from) = (Vec::new(), begin);
        loop {
            let params = WalRead {
                from_offset: from,
                limit: Some(PAGE),
                include_meta: meta.then_some(true),
            };
            let (more, next) = page(session, &params).await?;
            let ended = more.is_empty() || next <= from;
            records.extend(more);
            records.drain(..records.len().saturating_sub(count));
            from = next.max(from);
            if ended {
                break;
            }
        }
        if records.len() >= count || begin == first {
            return Ok((records, from));
        }
        back = back.saturating_mul(4);
    }
}

/// The offset of the first record that is not older than this. Times do not fall along the log, so half of what is left
/// is ruled out by each look.
async fn first_since(session: &CliSession, ago: Duration) -> Result<u64, Error> {
    let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    // Behind an answer, which tells the server's time.
    let (mut low, latest) = bounds(session).await?;
    let wanted = session.paint().now_ms().saturating_sub(ago);
    let mut high = latest.saturating_add(1);
    while low < high {
        let middle = low + (high - low) / 2;
        let params = WalRead {
            from_offset: middle,
            limit: Some(1),
            include_meta: None,
        };
        let (records, _) = page(session, &params).await?;
        let time = records
            .first()
            .and_then(|it| it["entry"]["time_ms"].as_i64());
        let offset = records.first().and_then(|it| number(&it["offset"]));
        match (time, offset) {
            (Some(time), Some(offset)) if time < wanted => low = offset.max(middle) + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

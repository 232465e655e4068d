//! Copies what happens into tables of PostgreSQL, exactly: every live instance as it is, and every event once.
//!
//! ```text
//! createdb projection
//! PGDATABASE=projection cargo run -p rstmdb-rcp --features client --example sql_projection
//! ```
//!
//! The program may be killed at any time, and so may the server. The position in the log stands in a table, and it moves
//! in the same transaction as the rows. So rows and position agree after any end of the program, and nothing is lost or
//! done twice. `docs/sql-projection.md` says why it is exact.
//!
//! The tables are written through the program `psql`, which takes PostgreSQL's usual variables (`PGHOST`, `PGDATABASE`
//! …). A program of yours will use a driver; the loop stays the same.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use futures_util::FutureExt;
use rstmdb_rcp::client::{Client, ClientOptions, Watch, WatchItem};
use rstmdb_rcp::json::from_raw;
use rstmdb_rcp::message::watch::{Event, EventKind, Include, WatchAll, WatchAllResult};

type Failure = Box<dyn std::error::Error>;

/// At most this many events go into one transaction.
const EVENTS_MAX: usize = 500;

/// `event` has a primary key, so that an event that came twice would be an error. Contexts are `json` and not `jsonb`:
/// that keeps them as they are, numbers of any length included.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS instance (
    id text PRIMARY KEY, machine text NOT NULL, version bigint NOT NULL,
    state text NOT NULL, ctx json NOT NULL, wal_offset bigint NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    wal_offset bigint, n bigint, kind text NOT NULL, instance_id text,
    from_state text, to_state text, event text, payload json,
    PRIMARY KEY (wal_offset, n));
CREATE TABLE IF NOT EXISTS position (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    cluster_id text NOT NULL, wal_offset bigint NOT NULL, done bigint NOT NULL);
";

/// Where the tables stand: all before `wal_offset`, and `done` events of it. The events of one atomic batch share their
/// offset, and a transaction may end between them.
#[derive(Clone, Copy, PartialEq)]
struct Position {
    wal_offset: u64,
    done: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut sql = Sql::open()?;
    // A program that was killed may have left a transaction that the database is still working on. It holds this lock.
    sql.run("SELECT 'locked' FROM pg_advisory_lock(7401);")?;
    sql.run(TABLES)?;
    let stored = load(&mut sql)?;
    let addr = std::env::var("RSTMDB_SERVER").unwrap_or_else(|_| "127.0.0.1:7401".to_owned());
    let client = Client::connect(ClientOptions {
        addrs: vec![addr],
        ..ClientOptions::default()
    })
    .await?;
    let mut watch = begin(&client, stored.as_ref()).await?;
    let mut position = match stored {
        Some((_, position)) => position,
        None => store_first(&mut sql, &watch)?,
    };
    // How many events of the position's offset this watch has shown. Those that are done come again.
    let mut shown = 0;
    while let Some(first) = watch.next_item().await {
        let (begun, mut rows) = (position, String::new());
        let (mut next, mut taken) = (Some(first), 0);
        // As much as is there, up to a bound.
        while let Some(item) = next.take() {
            match item? {
                WatchItem::Event(event) => {
                    if event.wal_offset > position.wal_offset {
                        (position, shown) = (Position::at(event.wal_offset), 0);
                    }
                    shown += 1;
                    if shown > position.done {
                        position.done = shown;
                        project(&event, shown, &mut rows)?;
                    }
                }
                // Nothing else happened up to here. It keeps the position ahead of what retention removes.
                WatchItem::Progress { wal_offset } => {
                    if wal_offset >= position.wal_offset {
                        (position, shown) = (Position::at(wal_offset + 1), 0);
                    }
                }
            }
            taken += 1;
            if taken < EVENTS_MAX {
                next = watch.next_item().now_or_never().flatten();
            }
        }
        if position != begun {
            let Position { wal_offset, done } = position;
            sql.run(&format!(
                "BEGIN;\n{rows}UPDATE position SET wal_offset = {wal_offset}, done = {done};\nCOMMIT;"
            ))?;
        }
    }
    Ok(())
}

impl Position {
    fn at(wal_offset: u64) -> Self {
        Self {
            wal_offset,
            done: 0,
        }
    }
}

fn load(sql: &mut Sql) -> Result<Option<(String, Position)>, Failure> {
    let rows = sql.run("SELECT cluster_id, wal_offset, done FROM position;")?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let mut columns = row.split('|');
    let mut column = || columns.next().ok_or("the position has too few columns");
    let cluster_id = column()?.to_owned();
    let position = Position {
        wal_offset: column()?.parse()?,
        done: column()?.parse()?,
    };
    Ok(Some((cluster_id, position)))
}

/// Goes on at the stored position; without one at the beginning of the log.
async fn begin(client: &Client, stored: Option<&(String, Position)>) -> Result<Watch, Failure> {
    let watch = WatchAll {
        include: Some(vec![Include::Created, Include::Deleted]),
        from_offset: Some(stored.map_or(1, |(_, position)| position.wal_offset)),
        // Named, so that another cluster at the same address, or a restored one, is an error.
        cluster_id: stored.map(|(cluster_id, _)| cluster_id.as_str().into()),
        ..WatchAll::default()
    };
    Ok(client.watch_all(&watch).await?)
}

/// The first position. From a log whose beginning is gone nothing exact can be made.
fn store_first(sql: &mut Sql, watch: &Watch) -> Result<Position, Failure> {
    let started: WatchAllResult<'_> = from_raw(watch.started())?;
    if started.earliest_offset != Some(1) {
        return Err(
            "the log no longer begins at offset 1: set archive.url, or keep more history".into(),
        );
    }
    let cluster_id = watch.cluster_id().ok_or("the server names no cluster")?;
    let position = Position::at(1);
    sql.run(&format!(
        "INSERT INTO position (cluster_id, wal_offset, done) VALUES ({}, 1, 0);",
        text(cluster_id)?
    ))?;
    Ok(position)
}

/// The statements for one event, which is the `n`th of its offset.
fn project(event: &Event<'_>, n: u64, rows: &mut String) -> Result<(), Failure> {
    let (id, offset) = (text(&event.instance_id)?, event.wal_offset);
    let ctx = event.ctx.as_ref().map_or("null", |ctx| ctx.get());
    let kind = match event.kind() {
        EventKind::Created => {
            writeln!(
                rows,
                "INSERT INTO instance VALUES ({id}, {}, {}, {}, {}, {offset});",
                text(&event.machine)?,
                event.version,
                text(&event.to_state)?,
                text(ctx)?,
            )?;
            "created"
        }
        EventKind::Event => {
            writeln!(
                rows,
                "UPDATE instance SET version = {}, state = {}, ctx = {}, wal_offset = {offset} WHERE id = {id};",
                event.version,
                text(&event.to_state)?,
                text(ctx)?,
            )?;
            "event"
        }
        EventKind::Deleted => {
            writeln!(rows, "DELETE FROM instance WHERE id = {id};")?;
            "deleted"
        }
        // Only told to a watch that asks for it: the state and the context stay.
        EventKind::TimerSpent => "timer_spent",
        EventKind::Flushed => {
            writeln!(rows, "DELETE FROM instance;")?;
            "flushed"
        }
        EventKind::Unknown => {
            return Err("the server tells something that this program does not know".into());
        }
    };
    let payload = match &event.payload {
        Some(payload) => text(payload.get())?,
        None => "NULL".to_owned(),
    };
    writeln!(
        rows,
        "INSERT INTO event VALUES ({offset}, {n}, '{kind}', {id}, {}, {}, {}, {payload});",
        text(&event.from_state)?,
        text(&event.to_state)?,
        text(&event.event)?,
    )?;
    Ok(())
}

/// A text as SQL has it. JSON writes the character 0 as an escape, so none is in it.
fn text(text: &str) -> Result<String, Failure> {
    match text.contains('\0') {
        true => Err("PostgreSQL has no texts with the character 0".into()),
        false => Ok(format!("'{}'", text.replace('\'', "''"))),
    }
}

/// A session of `psql`.
struct Sql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Sql {
    fn open() -> Result<Self, Failure> {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-c", "SET standard_conforming_strings = on", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("psql takes no input")?;
        let output = child.stdout.take().ok_or("psql gives no output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Runs statements, and returns the rows that they give. After an error psql ends.
    fn run(&mut self, statements: &str) -> Result<Vec<String>, Failure> {
        writeln!(self.input, "{statements}\n\\echo --done--")?;
        self.input.flush()?;
        let mut rows = Vec::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                return Err(format!("psql has ended: {}", self.child.wait()?).into());
            }
            match line.trim_end_matches('\n') {
                "--done--" => return Ok(rows),
                row => rows.push(row.to_owned()),
            }
        }
    }
}

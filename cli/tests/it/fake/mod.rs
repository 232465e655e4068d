//! A server of canned answers, spoken to over real sockets by the real program.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use rstmdb_rcp::WireMode;
use rstmdb_rcp::frame::FrameLimits;
use rstmdb_rcp::message::response::{encode_error, encode_ok};
use rstmdb_rcp::message::watch::{Event, Progress, encode_event, encode_progress};
use rstmdb_rcp::message::{ErrorBody, RequestHead, ResponseMeta, op};
use rstmdb_rcp::wire::Decoder;
use serde_json::Value;
use serde_json::value::RawValue;

/// What the server does with a request.
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
pub enum Answer {
    /// A result, as JSON text.
    Ok(String),
    /// A result, then an event.
    OkThenEvent(String, Event<'static>),
    /// A result, events, and that these were all up to an offset.
    OkThenAll(String, Vec<Event<'static>>, u64),
    /// A result, and then an event each time so long has passed.
    OkThenSlowly(String, Vec<Event<'static>>, Duration),
    /// An error.
    Refuse(ErrorBody),
    /// Nothing at all.
    Silence,
    /// The connection is closed.
    HangUp,
}

type Handler = dyn Fn(&str, &Value) -> Answer + Send + Sync;

/// A running server; it lives as long as the test's process.
pub struct Fake {
    /// Where it listens, on 127.0.0.1.
    pub address: String,
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

/// What a connection is served with.
struct Script {
    log: Arc<Mutex<Vec<(String, String)>>>,
    handler: Arc<Handler>,
    /// The time that each answer tells, if it tells one.
    server_time: Option<String>,
}

/// An address on which nothing listens.
pub fn unused_address() -> String {
    let port = crate::unused::unused().unwrap().expect("a free port");
    format!("127.0.0.1:{port}")
}

impl Fake {
    /// Starts to answer with `handler`; HELLO, BYE and WAL_STATS are answered already.
    pub fn start(handler: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Fake {
        Fake::start_at("127.0.0.1:0", handler)
    }

    /// The same at an address.
    pub fn start_at(
        address: &str,
        handler: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
    ) -> Fake {
        Fake::serving(address, None, Arc::new(handler))
    }

    /// The same; each answer says that this is the time.
    pub fn start_with_time(
        server_time: &str,
        handler: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
    ) -> Fake {
        Fake::serving("127.0.0.1:0", Some(server_time), Arc::new(handler))
    }

    fn serving(address: &str, server_time: Option<&str>, handler: Arc<Handler>) -> Fake {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Script {
            log: requests.clone(),
            handler,
            server_time: server_time.map(str::to_owned),
        });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let script = script.clone();
                thread::spawn(move || serve(stream.unwrap(), &script));
            }
        });
        Fake { address, requests }
    }

    /// The requests that came, as (operation, parameters), session operations left out.
    pub fn requests(&self) -> Vec<(String, String)> {
        self.requests.lock().unwrap().clone()
    }

    /// The program, told to talk to this server.
    pub fn cli(&self, args: &[&str]) -> Command {
        let mut command = cli(args);
        command.env("RSTMDB_SERVER", &self.address);
        command
    }
}

/// The program.
pub fn cli(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstmdb-cli"));
    command.args(args).stdin(Stdio::null());
    // The tests must not use the profiles of the user who runs them.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// Runs `command` with `input` on its standard input.
pub fn run_with_input(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Asserts the exit code, and returns what was printed.
#[track_caller]
pub fn exited(output: &Output, code: i32) -> (String, String) {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout: {out}\nstderr: {err}"
    );
    (out, err)
}

fn serve(mut stream: TcpStream, script: &Script) {
    let mut decoder = Decoder::new(WireMode::Binary, FrameLimits::default());
    let mut input = BytesMut::new();
    let mut chunk = [0; 4096];
    loop {
        while let Some(message) = decoder.take(&mut input).unwrap() {
            let mut out = BytesMut::new();
            let mode = decoder.mode();
            let later = stream.try_clone().unwrap();
            let go_on = answer(
                &message.payload,
                mode,
                &mut out,
                script,
                &mut decoder,
                later,
            );
            if stream.write_all(&out).is_err() || !go_on {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Writes the answer; false when the connection is to be closed.
fn answer(
    payload: &[u8],
    mode: WireMode,
    out: &mut BytesMut,
    script: &Script,
    decoder: &mut Decoder,
    later: TcpStream,
) -> bool {
    let request = RequestHead::parse(payload).unwrap();
    let params: Value = serde_json::from_str(request.params.get()).unwrap();
    let ok = |out: &mut BytesMut, result: &str| {
        let result = RawValue::from_string(result.to_owned()).unwrap();
        let meta = script.server_time.clone().map(|time| ResponseMeta {
            server_time: Some(time),
            ..ResponseMeta::default()
        });
        encode_ok(mode, out, &request.id, &result, meta.as_ref()).unwrap();
    };
    match &*request.op {
        op::HELLO => {
            let chosen = params["wire_modes"][0].as_str().unwrap_or("binary_json");
            ok(
                out,
                &format!(
                    r#"{{"protocol_version":1,"wire_mode":"{chosen}","server_name":"rstmdb","server_version":"0","features":["cluster","lifecycle"]}}"#
                ),
            );
            decoder.set_mode(WireMode::from_name(chosen).unwrap());
            return true;
        }
        op::BYE => {
            ok(out, r#"{"goodbye":true}"#);
            return false;
        }
        op::WAL_STATS => {
            ok(
                out,
                r#"{"entry_count":9,"segment_count":1,"total_size_bytes":1,"latest_offset":100,"io_stats":{"bytes_written":0,"bytes_read":0,"writes":0,"reads":0,"fsyncs":0}}"#,
            );
            return true;
        }
        _ => {}
    }
    let entry = (request.op.to_string(), request.params.get().to_owned());
    script.log.lock().unwrap().push(entry);
    match (script.handler)(&request.op, &params) {
        Answer::Ok(result) => ok(out, &result),
        Answer::OkThenEvent(result, event) => {
            ok(out, &result);
            encode_event(mode, out, &event).unwrap();
        }
        Answer::OkThenAll(result, events, wal_offset) => {
            ok(out, &result);
            for event in &events {
                encode_event(mode, out, event).unwrap();
            }
            let progress = Progress {
                subscription_id: "sub-1".into(),
                wal_offset,
            };
            encode_progress(mode, out, &progress).unwrap();
        }
        Answer::OkThenSlowly(result, events, pause) => {
            ok(out, &result);
            thread::spawn(move || push_slowly(later, mode, &events, pause));
        }
        Answer::Refuse(error) => encode_error(mode, out, &request.id, &error, None).unwrap(),
        Answer::Silence => {}
        Answer::HangUp => return false,
    }
    true
}

fn push_slowly(mut stream: TcpStream, mode: WireMode, events: &[Event<'_>], pause: Duration) {
    for event in events {
        thread::sleep(pause);
        let mut out = BytesMut::new();
        encode_event(mode, &mut out, event).unwrap();
        if stream.write_all(&out).is_err() {
            return;
        }
    }
}

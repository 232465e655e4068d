//! The connection of one invocation. It is opened when first needed and shared by all that the invocation does.
//!
//! | module | subject |
//! |---|---|
//! | [`filters`] | filters that name what the server does not know |
//! | [`hint`] | what a refusal was probably about |
//! | [`pages`] | lists of more than one page |
//! | [`profiles`] | named connections in a file |
//! | [`watches`] | the watches that run while the operator types commands |

pub mod filters;
pub mod hint;
pub mod pages;
pub mod profiles;
pub mod watches;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rstmdb_rcp::client::{Client, ClientOptions, Error as ClientError, RawResponse, TlsOptions};
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::{Code, WireMode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::OnceCell;

use crate::Error;
use crate::args::{self, Global, OutputForm};
use crate::render::output::{Output, Paint};
use crate::render::{lists, view};
use watches::ReplWatches;

/// What commands work with: the connection, and how to print. Cheap to clone.
#[derive(Clone)]
pub struct CliSession {
    options: Arc<ClientOptions>,
    client: Arc<OnceCell<Client>>,
    /// Where results go.
    pub out: Output,
    verbose: bool,
    /// How far the clock of the server that answered last is ahead of this machine's, in milliseconds.
    ahead_ms: Arc<AtomicI64>,
    /// The watches that run in the background; `None` outside the REPL.
    pub watches: Option<ReplWatches>,
    /// The name of the profile that says how to connect, if one does.
    pub profile: Option<String>,
}

impl CliSession {
    /// Ends with Ctrl-C. Never in the REPL, where Ctrl-C ends the command without this.
    ///
    /// # Errors
    /// When the signal cannot be awaited.
    pub async fn interrupted(&self) -> Result<(), Error> {
        if self.watches.is_some() {
            std::future::pending::<()>().await;
        }
        tokio::signal::ctrl_c().await.map_err(Error::Output)
    }

    /// Nothing is connected before the first request.
    pub fn new(global: &Global) -> CliSession {
        CliSession {
            options: Arc::new(client_options(global)),
            client: Arc::default(),
            out: Output::new(global.form.asked(), global.color),
            verbose: global.verbose,
            ahead_ms: Arc::default(),
            watches: None,
            profile: global.profile.clone(),
        }
    }

    /// The same connection, printing as one line of the REPL asks.
    pub fn for_line(&self, form: Option<OutputForm>, verbose: bool) -> CliSession {
        let mut session = self.clone();
        // The terminal may have another size than when the last line was read.
        session.out = session.out.resized().asked_for(form);
        session.verbose |= verbose;
        session
    }

    /// The connection, opened now if it is not yet.
    pub async fn client(&self) -> Result<&Client, Error> {
        self.client
            .get_or_try_init(|| async { self.connect(ClientOptions::clone(&self.options)).await })
            .await
    }

    /// How to connect.
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Whether the connection was opened.
    pub fn is_connected(&self) -> bool {
        self.client.initialized()
    }

    /// Options for a separate connection of a command. Nothing is added to its writes.
    pub fn own_options(&self) -> ClientOptions {
        ClientOptions {
            retry_writes: false,
            ..ClientOptions::clone(&self.options)
        }
    }

    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// A connection beside the shared one.
    pub async fn connect(&self, options: ClientOptions) -> Result<Client, Error> {
        let begin = Instant::now();
        // Whoever types a command wants to know at once that nobody is there.
        let client = Client::connect_once(options).await.map_err(from_client)?;
        self.trace(|| format!("connected to {} {}", client.address(), elapsed(begin)));
        Ok(client)
    }

    /// Asks, and returns the answer as it was sent.
    pub async fn call(&self, op: &str, params: &impl Serialize) -> Result<RawResponse, Error> {
        let params = to_raw_value(params)
            .map_err(|error| Error::Usage(format!("the request can't be sent: {error}")))?;
        self.call_raw(op, &params).await
    }

    /// As [`CliSession::call`], with parameters that are JSON already.
    pub async fn call_raw(&self, op: &str, params: &RawValue) -> Result<RawResponse, Error> {
        let client = self.client().await?;
        self.trace(|| format!("→ {op} {params}"));
        let begin = Instant::now();
        let answer = client.call_raw(op, params).await;
        self.trace(|| match &answer {
            Ok(answer) => format!(
                "← {op} ok {} {}",
                elapsed(begin),
                serde_json::to_string(&answer.meta).unwrap_or_default()
            ),
            Err(error) => format!("← {op} {error} {}", elapsed(begin)),
        });
        let answer = answer.map_err(from_client)?;
        self.note_time(answer.meta.server_time.as_deref());
        Ok(answer)
    }

    fn note_time(&self, server_time: Option<&str>) {
        let there = server_time.and_then(|time| time.parse::<Timestamp>().ok());
        if let Some(there) = there {
            let here = Timestamp::now().as_millisecond();
            let ahead = there.as_millisecond().saturating_sub(here);
            self.ahead_ms.store(ahead, Ordering::Relaxed);
        }
    }

    /// How to paint what the server has told: its times are told by its clock.
    pub fn paint(&self) -> Paint {
        Paint {
            ahead_ms: self.ahead_ms.load(Ordering::Relaxed),
            ..self.out.resized().paint
        }
    }

    /// Prints what `draw` makes of this terminal, and says on standard error if cells of it are shortened.
    pub fn draw(&self, draw: impl Fn(Paint) -> String) -> Result<(), Error> {
        self.out.draw(self.paint(), draw)
    }

    /// Asks, and reads the answer.
    pub async fn ask<R: DeserializeOwned>(
        &self,
        op: &str,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        let answer = self.call(op, params).await?;
        serde_json::from_str(answer.result.get()).map_err(Error::unexpected)
    }

    /// Asks, and prints the answer.
    pub async fn show(&self, op: &str, params: &impl Serialize) -> Result<(), Error> {
        let answer = self.call(op, params).await?;
        self.print(op, &answer.result)
    }

    /// Prints a result: unchanged for programs, readable for people.
    pub fn print(&self, op: &str, result: &RawValue) -> Result<(), Error> {
        match self.out.form() {
            OutputForm::Json | OutputForm::Yaml => self.out.json(result.get()),
            OutputForm::Jsonl | OutputForm::Table | OutputForm::Wide => {
                let parsed = Json::parse(result.get()).map_err(Error::unexpected)?;
                self.print_parsed(op, &parsed)
            }
        }
    }

    /// The same for a result that was put together here.
    pub fn print_parsed(&self, op: &str, result: &Json) -> Result<(), Error> {
        match self.out.form() {
            OutputForm::Json | OutputForm::Yaml => self.out.json(&result.to_string()),
            OutputForm::Jsonl => {
                let Some(items) = lists::items(op, result) else {
                    return self.out.json(&result.to_string());
                };
                for item in items {
                    self.out.json(&item.to_string())?;
                }
                Ok(())
            }
            OutputForm::Table | OutputForm::Wide => {
                self.draw(|paint| view::render(op, result, paint))
            }
        }
    }

    /// Says goodbye to the server, if a connection was opened.
    pub async fn close(&self) {
        if let Some(client) = self.client.get() {
            client.clone().close().await;
        }
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{}", line());
        }
    }
}

fn elapsed(begin: Instant) -> String {
    format!("({:.2} ms)", begin.elapsed().as_secs_f64() * 1e3)
}

fn client_options(global: &Global) -> ClientOptions {
    ClientOptions {
        addrs: global.server.clone(),
        // Many deployments set an empty variable to mean "none".
        token: global.token.clone().filter(|token| !token.is_empty()),
        tls: global.wants_tls().then(|| TlsOptions {
            ca_cert: global.ca_cert.clone(),
            client_cert: global.client_cert.clone(),
            client_key: global.client_key.clone(),
            insecure: global.insecure,
            server_name: global.server_name.clone(),
        }),
        wire_mode: match global.wire_mode {
            args::WireMode::Binary => WireMode::Binary,
            args::WireMode::Jsonl => WireMode::Jsonl,
        },
        timeout: global.timeout,
        connect_timeout: global.timeout.min(ClientOptions::default().connect_timeout),
        client_name: concat!("rstmdb-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
        // One command is one intention: the client retries it through a failover, and it takes effect once.
        retry_writes: true,
        ..ClientOptions::default()
    }
}

/// The exit code's error for an error of the client library. The library says whether an outcome is unknown;
/// every such error becomes [`Error::Unanswered`].
pub fn from_client(error: ClientError) -> Error {
    let hint = about_tls(&error.to_string());
    let error = match classified(error) {
        // A server that is being started closes a handshake, too, so the library tries again. Here it is one command.
        Error::NoConnection(reason) if hint.is_some() => Error::Handshake(reason),
        error => error,
    };
    match hint {
        Some(hint) => Error::Hinted {
            error: Box::new(error),
            hint: hint.to_owned(),
        },
        None => error,
    }
}

/// Which option is missing, or too much, where only one side speaks TLS.
fn about_tls(error: &str) -> Option<&'static str> {
    if error.contains("the server speaks TLS") {
        return Some(
            "use --tls (RSTMDB_TLS=1), and --ca-cert FILE if your system does not trust the server's certificate",
        );
    }
    let none = [
        "the server does not speak TLS",
        "perhaps this port does not use TLS",
    ];
    let none = none.iter().any(|said| error.contains(said));
    none.then_some("leave out --tls, -k, --ca-cert and --server-name (RSTMDB_TLS, RSTMDB_CA_CERT)")
}

fn classified(error: ClientError) -> Error {
    let unknown = error.outcome_unknown();
    match error {
        ClientError::Refused(body) if unknown || body.code == Code::Timeout => Error::Unanswered {
            said: with_outcome(&body, unknown),
            body: Box::new(body),
        },
        ClientError::Refused(body) => Error::Refused(Box::new(body)),
        ClientError::Connect { reason } => Error::NoConnection(reason),
        ClientError::Timeout { .. } | ClientError::Disconnected { .. } if unknown => {
            let body = ErrorBody::new(Code::Timeout, error.to_string()).with_unknown_outcome();
            Error::Unanswered {
                said: with_outcome(&error, unknown),
                body: Box::new(body),
            }
        }
        ClientError::Timeout { .. } => Error::Unanswered {
            said: error.to_string(),
            body: Box::new(ErrorBody {
                retryable: true,
                ..ErrorBody::new(Code::Timeout, error.to_string())
            }),
        },
        ClientError::Disconnected { reason, .. } => Error::NoConnection(reason),
        ClientError::Options(message) | ClientError::Request(message) => Error::Usage(message),
        ClientError::Tls(_) | ClientError::Protocol(_) => Error::Handshake(error.to_string()),
        // Closed: no usable connection exists.
        other => Error::NoConnection(other.to_string()),
    }
}

fn with_outcome(error: &impl std::fmt::Display, unknown: bool) -> String {
    let outcome = if unknown {
        "; the outcome is unknown"
    } else {
        ""
    };
    format!("{error}{outcome}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_client_library_has_its_exit_code() {
        let refused = |code| ErrorBody::new(code, "no");
        let lost = |outcome_unknown| ClientError::Disconnected {
            reason: "reset".to_owned(),
            outcome_unknown,
        };
        let late = |outcome_unknown| ClientError::Timeout {
            op: "PING".to_owned(),
            after: Duration::from_secs(5),
            earlier: None,
            outcome_unknown,
        };
        let unreachable = ClientError::Connect {
            reason: "refused".to_owned(),
        };
        let unknown = refused(Code::InternalError).with_unknown_outcome();
        for (error, code) in [
            (ClientError::Refused(refused(Code::GuardFailed)), 1),
            (ClientError::Refused(refused(Code::AuthFailed)), 1),
            (ClientError::Refused(refused(Code::NoLeader)), 1),
            (ClientError::Options("no address".to_owned()), 2),
            (unreachable, 3),
            (ClientError::Protocol("not RCP".to_owned()), 3),
            (ClientError::Tls("unknown issuer".to_owned()), 3),
            (ClientError::Closed, 3),
            (lost(false), 3),
            (lost(true), 4),
            (late(false), 4),
            (late(true), 4),
            (ClientError::Refused(refused(Code::Timeout)), 4),
            (ClientError::Refused(unknown), 4),
        ] {
            let shown = error.to_string();
            assert_eq!(from_client(error).exit_code(), code, "for {shown}");
        }
    }

    #[test]
    fn which_option_tls_needs_is_said() {
        let said = |text: &str| {
            let error = from_client(ClientError::Tls(text.to_owned()));
            assert_eq!(error.exit_code(), 3);
            error.report().unwrap_or_default()
        };
        let tls = said("the server speaks TLS on this port; connect with TLS");
        assert!(tls.contains("hint: use --tls"), "{tls}");
        let plain = from_client(ClientError::Connect {
            reason: "a:1: TLS handshake: tls handshake eof; perhaps this port does not use TLS"
                .to_owned(),
        });
        let plain = plain.report_json().unwrap_or_default();
        assert!(plain.contains("\"retryable\":false"), "{plain}");
        assert!(plain.contains("leave out --tls"), "{plain}");
        assert!(!said("unknown issuer").contains("hint"));
    }

    #[test]
    fn an_unknown_outcome_is_said() {
        let body = ErrorBody::new(Code::WalIoError, "disk").with_unknown_outcome();
        let error = from_client(ClientError::Refused(body));
        assert_eq!(
            error.to_string(),
            "WAL_IO_ERROR: disk; the outcome is unknown"
        );
    }
}

use std::path::PathBuf;
use std::time::Duration;

use crate::WireMode;
use crate::feature::Features;

/// How a client reaches its cluster and how it behaves.
#[derive(Clone)]
pub struct ClientOptions {
    /// `host:port`, `host` or `[ipv6]:port`, at least one; names are resolved at each attempt.
    pub addrs: Vec<String>,
    /// For AUTH, if given.
    pub token: Option<String>,
    /// TLS, if given.
    pub tls: Option<TlsOptions>,
    /// How messages are sent once HELLO is done.
    pub wire_mode: WireMode,
    /// The deadline of a call, retries included.
    pub timeout: Duration,
    /// The deadline of one attempt to connect to one address, HELLO and AUTH included.
    pub connect_timeout: Duration,
    /// For the server's logs.
    pub client_name: String,
    /// Offered in HELLO; all by default.
    pub features: Vec<String>,
    /// Gives every write that has no idempotency key one of its own, so that it can be retried. A key given
    /// as `null` means that the write must have none. [`client`](crate::client) describes what a retry does
    /// once another client has deleted the instance.
    pub retry_writes: bool,
    /// The first pause before trying again; each further one is twice as long.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// How long a watch looks for a server to resume on. After that it ends with the reason.
    pub watch_resume_timeout: Duration,
    /// After this time without an event, a watch sends a PING. Without an answer within this time again (or
    /// `timeout`, if that is shorter) it resumes on another node. The wait for a lock does the same.
    pub watch_keepalive: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            addrs: vec![format!("127.0.0.1:{}", crate::DEFAULT_PORT)],
            token: None,
            tls: None,
            wire_mode: WireMode::Binary,
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            client_name: concat!("rstmdb-rcp/", env!("CARGO_PKG_VERSION")).to_owned(),
            features: Features::ALL.names().map(str::to_owned).collect(),
            retry_writes: false,
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
            watch_resume_timeout: Duration::from_secs(60),
            watch_keepalive: Duration::from_secs(5),
        }
    }
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("addrs", &self.addrs)
            .field("token", &self.token.as_ref().map(|_| "(secret)"))
            .field("tls", &self.tls)
            .field("wire_mode", &self.wire_mode)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// How the server is authenticated, and the client to it.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// PEM with the roots to trust; the system's if absent.
    pub ca_cert: Option<PathBuf>,
    /// PEM with the client's chain, for servers that ask for one.
    pub client_cert: Option<PathBuf>,
    /// PEM with the key of `client_cert`.
    pub client_key: Option<PathBuf>,
    /// Accept ANY certificate. The connection is encrypted, but its server can be anyone's: an attacker in
    /// between can read and change everything, including the token. For experiments only.
    pub insecure: bool,
    /// The name the certificate has to carry; the address's host if absent.
    pub server_name: Option<String>,
}

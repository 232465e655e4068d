//! The part of the configuration about the listeners for clients, and about the collector of traces.

use std::path::PathBuf;
use std::time::Duration;

/// The RCP listener.
#[derive(Debug, Clone, Default)]
pub struct NetworkConfig {
    /// `network.bind_addr`
    pub bind_addr: String,
    /// `network.idle_timeout_secs`; none when 0
    pub idle_timeout: Option<Duration>,
    /// `network.max_connections`
    pub connections_max: usize,
    /// `network.request_timeout_ms`
    pub request_timeout: Duration,
    /// `network.keepalive_secs`; none when 0
    pub keepalive: Option<Duration>,
    /// `network.buffers_max_mb`, in bytes
    pub buffers_bytes_max: u64,
}

/// The HTTP listener.
#[derive(Debug, Clone, Default)]
pub struct HttpConfig {
    /// `http.bind_addr`; none when it is off
    pub bind_addr: Option<String>,
}

/// What is written down of what clients do.
#[derive(Debug, Clone, Default)]
pub struct AuditConfig {
    /// `audit.file`; none: nothing is written
    pub file: Option<PathBuf>,
    /// `audit.max_mb`, in bytes
    pub bytes_max: u64,
    /// `audit.keep`
    pub keep: usize,
}

/// Where traces go.
#[derive(Debug, Clone, Default)]
pub struct TracingConfig {
    /// `tracing.otlp_endpoint`; none: there are no traces
    pub otlp_endpoint: Option<String>,
    /// `tracing.sample`, from 0 to 1
    pub sample: f64,
}

//! What a user says about a write.

use clap::Args;
use rstmdb_rcp::message::meta::Meta;

/// The options that every write takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "About the write")]
pub struct About {
    /// Keep this pair with the write; may be given more than once.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Why, for people who read the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The work that this write belongs to; that of its cause when absent.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// The cause: the offset of an earlier write, or any other id.
    #[arg(long, value_name = "OFFSET|ID")]
    causation_id: Option<String>,
}

impl About {
    /// As the protocol carries it.
    pub fn meta(self) -> Meta<'static> {
        let headers = self.headers.into_iter();
        Meta {
            headers: headers
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            reason: self.reason.map(Into::into),
            correlation_id: self.correlation_id.map(Into::into),
            causation_id: self.causation_id.map(Into::into),
        }
    }
}

pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

//! BATCH.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fields::{Fields, unexpected};
use super::meta::{Meta, names_of_write};
use super::response::ErrorBody;
use super::{ParamFault, Params, op};
use crate::BATCH_OPS_MAX;

/// Whether all operations of a batch take effect together or each on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchMode {
    /// Each on its own.
    #[default]
    BestEffort,
    /// All take effect at one offset, or none does.
    Atomic,
}

/// Parameters of BATCH.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Batch<'a> {
    /// Best effort if absent.
    pub mode: BatchMode,
    /// At most [`BATCH_OPS_MAX`].
    pub ops: Vec<BatchOp<'a>>,
    /// The metadata of the batch. In a batch of best effort, an operation gets each part that it leaves out. In an
    /// atomic batch, operations have no metadata of their own.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// Only answer what the operations would do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// One operation of a batch.
#[derive(Debug, Clone, Serialize)]
pub struct BatchOp<'a> {
    /// The operation's name.
    pub op: Cow<'a, str>,
    /// An object.
    pub params: &'a RawValue,
}

impl<'a> Params<'a> for Batch<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write!["mode", "ops"];
        let fields = Fields::of_params(params, names)?;
        let mode = match fields.optional_text("mode")?.as_deref() {
            None | Some("best_effort") => BatchMode::BestEffort,
            Some("atomic") => BatchMode::Atomic,
            Some(_) => {
                return Err(fields.unexpected("mode", "\"best_effort\" or \"atomic\""));
            }
        };
        const EXPECTED: &str = "a list of operations";
        if fields.get("ops").is_none() {
            return Err(fields.unexpected("ops", EXPECTED));
        }
        let ops = fields
            .items("ops", EXPECTED, BATCH_OPS_MAX)?
            .into_iter()
            .enumerate()
            .map(|(at, item)| read_op(item).map_err(|fault| fault.within(&BatchOp::path(at))))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            mode,
            ops,
            meta: Meta::of(&fields)?,
            dry_run: fields.dry_run()?,
        })
    }
}

impl BatchOp<'_> {
    /// Where the operation at this position stands, for [`ParamFault::within`].
    pub fn path(at: usize) -> String {
        format!("params.ops[{at}]")
    }
}

fn read_op(item: &RawValue) -> Result<BatchOp<'_>, ParamFault> {
    let fields = Fields::split("", item.get(), ["op", "params"])
        .map_err(|_| unexpected("op".into(), "an object with op and params", item.get()))?;
    let name = fields.text("op")?;
    if !op::is_allowed_in_batch(&name) {
        return Err(fields.unexpected("op", "an operation on machines or instances"));
    }
    let params = match fields.optional_object("params")? {
        Some(params) => params,
        None => serde_json::from_str("{}").map_err(|_| fields.unexpected("params", "an object"))?,
    };
    Ok(BatchOp { op: name, params })
}

/// Result of BATCH.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchResult<'a> {
    /// In the order of the operations.
    pub results: Vec<BatchItem<'a>>,
    /// True in the answer to a dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The outcome of one operation of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchItem<'a> {
    /// Which of the two follows.
    pub status: OpStatus,
    /// The operation's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Cow<'a, RawValue>>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// `ok` or `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpStatus {
    /// With a result.
    Ok,
    /// With an error.
    Error,
}

impl BatchItem<'_> {
    /// An operation that succeeded.
    pub fn ok(result: Box<RawValue>) -> Self {
        Self {
            status: OpStatus::Ok,
            result: Some(Cow::Owned(result)),
            error: None,
        }
    }

    /// An operation that was refused.
    pub fn error(error: ErrorBody) -> Self {
        Self {
            status: OpStatus::Error,
            result: None,
            error: Some(error),
        }
    }
}

//! PUT_MACHINE, DELETE_MACHINE, GET_MACHINE, LIST_MACHINES.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::meta::{Meta, names_of_write};
use super::{ParamFault, Params, ReadOptions};

/// Parameters of PUT_MACHINE.
#[derive(Debug, Clone, Serialize)]
pub struct PutMachine<'a> {
    /// The name.
    pub machine: Cow<'a, str>,
    /// ≥ 1.
    pub version: u32,
    /// An object.
    pub definition: &'a RawValue,
    /// SHA-256 of the definition, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Cow<'a, str>>,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// Only tell what it would do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl<'a> PutMachine<'a> {
    /// Without a checksum.
    pub fn new(machine: impl Into<Cow<'a, str>>, version: u32, definition: &'a RawValue) -> Self {
        Self {
            machine: machine.into(),
            version,
            definition,
            checksum: None,
            meta: Meta::default(),
            dry_run: false,
        }
    }
}

impl<'a> Params<'a> for PutMachine<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write!["machine", "version", "definition", "checksum"];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            machine: fields.text("machine")?,
            version: fields.version("version")?,
            definition: fields.object("definition")?,
            checksum: fields.optional_text("checksum")?,
            meta: Meta::of(&fields)?,
            dry_run: fields.dry_run()?,
        })
    }
}

/// Result of PUT_MACHINE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutMachineResult<'a> {
    /// The name.
    pub machine: Cow<'a, str>,
    /// The version.
    pub version: u32,
    /// SHA-256 of the definition, in hex.
    pub stored_checksum: Cow<'a, str>,
    /// False when the same definition was put again.
    pub created: bool,
    /// Extension: what the definition's author should look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<MachineWarning<'a>>,
    /// True in the answer to a dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Something in a definition that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineWarning<'a> {
    /// The place in the definition, as a path like `transitions[3].label`; empty for all of it.
    pub place: Cow<'a, str>,
    /// What it is.
    pub text: Cow<'a, str>,
}

/// Parameters of DELETE_MACHINE: either a version, or all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DeleteMachine<'a> {
    /// The name.
    pub machine: Cow<'a, str>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// All versions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all_versions: bool,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// Only tell what it would do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl<'a> Params<'a> for DeleteMachine<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write!["machine", "version", "all_versions"];
        let fields = Fields::of_params(params, names)?;
        let version = fields.optional_version("version")?;
        let all_versions = fields.optional_bool("all_versions")?.unwrap_or(false);
        if version.is_some() == all_versions {
            let problem = "expected a version, or all_versions: true, and not both";
            return Err(ParamFault::new(
                "params.version".to_owned(),
                problem.to_owned(),
            ));
        }
        Ok(Self {
            machine: fields.text("machine")?,
            version,
            all_versions,
            meta: Meta::of(&fields)?,
            dry_run: fields.dry_run()?,
        })
    }
}

/// Result of DELETE_MACHINE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMachineResult<'a> {
    /// The name.
    pub machine: Cow<'a, str>,
    /// Always true.
    pub deleted: bool,
    /// The versions that are gone, ascending.
    pub versions: Vec<u32>,
    /// Where it stands in the log; `None` in the answer to a dry run.
    pub wal_offset: Option<u64>,
    /// True in the answer to a dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Parameters of GET_MACHINE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct GetMachine<'a> {
    /// The name.
    pub machine: Cow<'a, str>,
    /// The highest if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Extension: what else to show. Not inside a BATCH.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<IncludeOfMachine>,
    /// Extension.
    #[serde(flatten)]
    pub read: ReadOptions,
}

/// What GET_MACHINE shows only to those who ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncludeOfMachine {
    /// Where the parts of its diagram stand.
    Layout,
}

impl IncludeOfMachine {
    /// All there is, by its name.
    const NAMED: [(&'static str, Self); 1] = [("layout", Self::Layout)];
}

impl<'a> Params<'a> for GetMachine<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = [
            "machine",
            "version",
            "include",
            "consistency",
            "min_wal_offset",
        ];
        let fields = Fields::of_params(params, names)?;
        let include = fields.optional_names("include", &IncludeOfMachine::NAMED)?;
        Ok(Self {
            machine: fields.text("machine")?,
            version: fields.optional_version("version")?,
            include: include.unwrap_or_default(),
            read: fields.read_options()?,
        })
    }
}

/// Result of GET_MACHINE.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetMachineResult<'a> {
    /// As it was put.
    pub definition: Cow<'a, RawValue>,
    /// SHA-256 of the definition, in hex.
    pub checksum: Cow<'a, str>,
    /// Ours: which version this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Ours: the format of the definition, if it is not 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
    /// Ours: what the definition's author should look at; of format 2 only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<MachineWarning<'a>>,
    /// With [`IncludeOfMachine::Layout`]: where the parts of its diagram stand. `None` also if the machine is too large
    /// for a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Cow<'a, RawValue>>,
}

/// Parameters of LIST_MACHINES.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ListMachines {
    /// All if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How many to skip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Extension.
    #[serde(flatten)]
    pub read: ReadOptions,
}

impl Params<'_> for ListMachines {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let names = ["limit", "offset", "consistency", "min_wal_offset"];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            limit: fields.optional_integer("limit")?,
            offset: fields.optional_integer("offset")?,
            read: fields.read_options()?,
        })
    }
}

/// Result of LIST_MACHINES.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListMachinesResult<'a> {
    /// By name.
    pub items: Vec<MachineItem<'a>>,
}

/// One machine of LIST_MACHINES.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineItem<'a> {
    /// The name.
    pub machine: Cow<'a, str>,
    /// Ascending.
    pub versions: Vec<u32>,
    /// Ours: the format of the highest version, if it is not 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
    /// Ours: how many warnings the highest version has, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning_count: Option<u64>,
}

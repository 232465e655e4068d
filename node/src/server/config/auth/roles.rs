//! What a role may do.

use std::collections::BTreeMap;

use super::super::value::ConfigValue;

/// The longest pattern of machines, and the longest name of a role. A machine's name has no more.
const NAME_BYTES_MAX: usize = 256;

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// See machines, instances, timers, locks and history.
    Read,
    /// Create, change and delete instances; use locks.
    Write,
    /// Put and delete definitions.
    Define,
    /// Follow events.
    Watch,
    /// Create instances in states of their own.
    Import,
    /// Run the node and the cluster; take backups.
    Operate,
    /// Everything but `import`.
    Admin,
}

impl Verb {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Read,
        Self::Write,
        Self::Define,
        Self::Watch,
        Self::Import,
        Self::Operate,
        Self::Admin,
    ];

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Define => "define",
            Self::Watch => "watch",
            Self::Import => "import",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// Whether it concerns the node or the cluster as a whole, so that no machines can be named beside it.
    fn is_of_everything(self) -> bool {
        matches!(self, Self::Operate | Self::Admin)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }
}

/// Verbs, and the machines on which they may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// What may be done.
    pub(crate) verbs: Vec<Verb>,
    /// Names and patterns of machines.
    pub(crate) machines: Vec<String>,
}

impl Grant {
    /// These verbs on every machine.
    pub(crate) fn everywhere(verbs: &[Verb]) -> Self {
        Self {
            verbs: verbs.to_vec(),
            machines: vec![EVERY_MACHINE.to_owned()],
        }
    }
}

/// The pattern that every machine fits.
const EVERY_MACHINE: &str = "*";

/// The roles that are built in.
const BUILT_IN: [(&str, &[Verb]); 4] = [
    ("admin", &[Verb::Admin, Verb::Import]),
    ("operator", &[Verb::Read, Verb::Watch, Verb::Operate]),
    ("writer", &[Verb::Read, Verb::Watch, Verb::Write]),
    ("reader", &[Verb::Read, Verb::Watch]),
];

/// The roles of `auth.roles`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roles(BTreeMap<String, Vec<Grant>>);

impl Roles {
    /// What the role may do; `None` if there is no such role.
    pub(crate) fn find(&self, name: &str) -> Option<Vec<Grant>> {
        let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
        match built_in {
            Some((_, verbs)) => Some(vec![Grant::everywhere(verbs)]),
            None => self.0.get(name).cloned(),
        }
    }

    /// The names of all roles.
    pub(super) fn names(&self) -> String {
        let built_in = BUILT_IN.iter().map(|(name, _)| *name);
        let all: Vec<&str> = built_in.chain(self.0.keys().map(String::as_str)).collect();
        all.join(", ")
    }

    /// Reads `auth.roles`.
    pub(in crate::server::config) fn read(value: &ConfigValue) -> Option<Self> {
        let entries = match value {
            ConfigValue::Null => return Some(Self::default()),
            ConfigValue::Map(entries) => entries,
            ConfigValue::Text(_) | ConfigValue::List(_) => return None,
        };
        let mut roles = BTreeMap::new();
        for (name, _, grants) in entries {
            let ConfigValue::List(grants) = grants else {
                return None;
            };
            let is_taken = BUILT_IN.iter().any(|(known, _)| known == name);
            if is_taken || !is_name(name) || grants.is_empty() {
                return None;
            }
            let grants: Option<Vec<Grant>> = grants.iter().map(grant).collect();
            roles.insert(name.clone(), grants?);
        }
        Some(Self(roles))
    }
}

/// Whether it can be the name of a role or of a client.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.trim() == name
        && !name.contains(char::is_control)
}

fn grant(value: &ConfigValue) -> Option<Grant> {
    let ConfigValue::Map(entries) = value else {
        return None;
    };
    let (mut verbs, mut machines) = (None, None);
    for (field, _, value) in entries {
        match field.as_str() {
            "verbs" => verbs = Some(value.texts()?),
            "machines" => machines = Some(value.texts()?),
            _ => return None,
        }
    }
    let verbs: Option<Vec<Verb>> = verbs?.into_iter().map(Verb::from_name).collect();
    let verbs = verbs.filter(|verbs| !verbs.is_empty())?;
    let machines = machines.unwrap_or_else(|| vec![EVERY_MACHINE]);
    let fit = machines.iter().all(|name| name.len() <= NAME_BYTES_MAX);
    let is_limited = machines != [EVERY_MACHINE];
    if !fit || machines.is_empty() || is_limited && verbs.iter().any(|it| it.is_of_everything()) {
        return None;
    }
    Some(Grant {
        verbs,
        machines: machines.into_iter().map(str::to_owned).collect(),
    })
}

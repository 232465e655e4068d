//! What an operation takes and answers, field by field: for the query of a request, and for the OpenAPI document.

/// What JSON calls the type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// true or false.
    Bool,
    /// An object.
    Object,
    /// A list of strings; in a query the name stands once for each.
    Texts,
    /// A list of whole numbers.
    Integers,
    /// Any other list.
    List,
}

/// One parameter, or one field of a result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Its name, as in RCP.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: Kind,
    /// Whether it is always there.
    pub(crate) required: bool,
    /// What it is; empty where the name says it.
    pub(crate) about: &'static str,
}

/// What an operation takes and answers.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What it does, in a few words.
    pub(crate) summary: &'static str,
    /// Its own parameters.
    pub(crate) params: &'static [Field],
    /// The fields of its result.
    pub(crate) result: &'static [Field],
    /// It takes what every read takes.
    pub(crate) reads: bool,
    /// It takes the metadata that every write takes.
    pub(crate) writes: bool,
}

/// A field that is always there.
pub(super) const fn must(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: true,
        about,
    }
}

/// A field that may be absent.
pub(crate) const fn maybe(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: false,
        about,
    }
}

/// What every read of the replicated state takes.
static OF_READS: [Field; 2] = [
    maybe(
        "consistency",
        Kind::Text,
        "`linearizable` (default), `lease` or `local`",
    ),
    maybe(
        "min_wal_offset",
        Kind::Integer,
        "answer once this node has applied that offset",
    ),
];

/// The metadata of a write.
static OF_WRITES: [Field; 5] = [
    maybe(
        "headers",
        Kind::Object,
        "any names and texts, kept with the write",
    ),
    maybe("reason", Kind::Text, "why, for people"),
    maybe(
        "correlation_id",
        Kind::Text,
        "names the work that this write and others belong to",
    ),
    maybe(
        "causation_id",
        Kind::Text,
        "the cause: the offset of another write, or any other text",
    ),
    maybe(
        "fence",
        Kind::Object,
        "the lock under which the client writes: `lock` and `token`",
    ),
];

impl Shape {
    /// All parameters: its own, and those that all operations of its kind take.
    pub(crate) fn all_params(&self) -> impl Iterator<Item = &'static Field> + use<> {
        let shared = |is_there, fields: &'static [Field]| if is_there { fields } else { &[] };
        self.params
            .iter()
            .chain(shared(self.reads, &OF_READS))
            .chain(shared(self.writes, &OF_WRITES))
    }

    /// The parameter of this name.
    pub(crate) fn param(&self, name: &str) -> Option<&'static Field> {
        self.all_params().find(|field| field.name == name)
    }
}

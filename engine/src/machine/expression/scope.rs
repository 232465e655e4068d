//! What an expression can read.

use super::source::FieldSource;
use super::syntax::{Document, ScopeName};
use super::value::ExprValue;

/// The documents and names of one decision. A later expression of the decision does not read again what an earlier one
/// has read.
#[derive(Debug)]
pub struct EvalScope<'a> {
    ctx: FieldSource<'a>,
    event: FieldSource<'a>,
    headers: FieldSource<'a>,
    names: ScopeNames<'a>,
}

/// The values of the names that are no documents.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScopeNames<'a> {
    /// The time of the decision, in Unix milliseconds.
    pub now_ms: i64,
    /// The state before the event.
    pub state: &'a str,
    /// The instance's id.
    pub instance_id: &'a str,
    /// The machine's name.
    pub machine: &'a str,
    /// The name of the token that the client has shown.
    pub actor: &'a str,
}

impl<'a> EvalScope<'a> {
    /// The texts are JSON objects that were checked before. In the context no name stands twice at the top, as in
    /// every stored one; elsewhere the last of a repeated name counts.
    pub fn new(ctx: &'a str, event: &'a str, headers: &'a str, names: ScopeNames<'a>) -> Self {
        Self {
            ctx: FieldSource::new(ctx, true),
            event: FieldSource::new(event, false),
            headers: FieldSource::new(headers, false),
            names,
        }
    }

    pub(super) fn document(&mut self, document: Document) -> &mut FieldSource<'a> {
        match document {
            Document::Ctx => &mut self.ctx,
            Document::Event => &mut self.event,
            Document::Headers => &mut self.headers,
        }
    }

    pub(super) fn name(&self, name: ScopeName) -> ExprValue<'a> {
        self.names.value(name)
    }

    pub(super) fn names(&self) -> ScopeNames<'a> {
        self.names
    }
}

impl<'a> ScopeNames<'a> {
    pub(super) fn value(&self, name: ScopeName) -> ExprValue<'a> {
        match name {
            ScopeName::Now => ExprValue::Int(self.now_ms),
            ScopeName::State => ExprValue::borrowed(self.state),
            ScopeName::InstanceId => ExprValue::borrowed(self.instance_id),
            ScopeName::Machine => ExprValue::borrowed(self.machine),
            ScopeName::Actor => ExprValue::borrowed(self.actor),
        }
    }
}

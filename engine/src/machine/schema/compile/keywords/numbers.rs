//! Keywords whose value is a number.

use super::{JsonDecimal, JsonNode, JsonTree, Keywords, SchemaRule};

impl<'t> Keywords<'_, 't> {
    pub(super) fn number(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<Box<str>> {
        match value.node {
            JsonNode::Number(text) => Some(Box::from(text)),
            _ => {
                self.expected("a number", value, place);
                None
            }
        }
    }

    pub(super) fn bound(
        &mut self,
        value: &'t JsonTree<'t>,
        place: &str,
        rule: impl FnOnce(Box<str>) -> SchemaRule,
    ) -> Option<SchemaRule> {
        self.number(value, place).map(rule)
    }

    pub(super) fn multiple_of(
        &mut self,
        value: &'t JsonTree<'t>,
        place: &str,
    ) -> Option<SchemaRule> {
        let text = self.number(value, place)?;
        let number = JsonDecimal::new(&text);
        let usable = number > JsonDecimal::new("0") && number.is_multiple_of(&number) == Some(true);
        if !usable {
            let text = "must be above 0 and have at most 18 digits";
            self.compiler.fault(place, text);
        }
        Some(SchemaRule::MultipleOf(text))
    }
}

//! Macros: a part that is evaluated for each item of a list, or each key of a map.

use std::rc::Rc;

use super::{At, ExprEval, Result};
use crate::machine::expression::error::Why;
use crate::machine::expression::source;
use crate::machine::expression::syntax::{Expr, Loop, Macro};
use crate::machine::expression::value::ExprValue;

impl<'a> ExprEval<'a, '_> {
    pub(super) fn looped(&mut self, expr: &'a Expr, kind: Macro, parts: &'a Loop) -> Result<'a> {
        let range = self.eval(&parts.range)?;
        let items: Rc<[ExprValue<'a>]> = match &range {
            ExprValue::List(_) | ExprValue::JsonList(_) => {
                source::items(&range, self.steps).at(expr)?
            }
            ExprValue::Map(_) | ExprValue::JsonMap(_) => {
                let entries = source::entries(&range, self.steps).at(expr)?;
                entries.iter().map(|(key, _)| key.clone()).collect()
            }
            other => {
                let what = format!("{}.{}(…)", other.kind().name(), kind.text());
                return Err(Why::NoOverload(what)).at(expr);
            }
        };
        // The variables of the enclosing macros come first, then this one.
        self.variables.push(ExprValue::Null);
        let result = self.turns(kind, parts, &items);
        self.variables.pop();
        result
    }

    fn turns(&mut self, kind: Macro, parts: &'a Loop, items: &[ExprValue<'a>]) -> Result<'a> {
        let (mut failed, mut count, mut made) = (None, 0, Vec::new());
        for item in items {
            if let Some(variable) = self.variables.last_mut() {
                *variable = item.clone();
            }
            let holds = match &parts.condition {
                Some(condition) => self.condition(condition, kind.text()),
                None => Ok(true),
            };
            match (kind, holds) {
                (_, Err(fail)) if fail.is_final() => return Err(fail),
                (Macro::All | Macro::Exists, Err(fail)) => failed = failed.or(Some(fail)),
                (_, Err(fail)) => return Err(fail),
                (Macro::All, Ok(false)) => return Ok(ExprValue::Bool(false)),
                (Macro::Exists, Ok(true)) => return Ok(ExprValue::Bool(true)),
                (Macro::ExistsOne, Ok(true)) => count += 1,
                (Macro::Filter, Ok(true)) => made.push(item.clone()),
                (Macro::Map, Ok(true)) => {
                    if let Some(result) = &parts.result {
                        made.push(self.eval(result)?);
                    }
                }
                _ => {}
            }
        }
        if let Some(fail) = failed {
            return Err(fail);
        }
        Ok(match kind {
            Macro::All => ExprValue::Bool(true),
            Macro::Exists => ExprValue::Bool(false),
            Macro::ExistsOne => ExprValue::Bool(count == 1),
            Macro::Filter | Macro::Map => ExprValue::List(made.into()),
        })
    }
}

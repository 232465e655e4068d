//! Lists of names that the protocol knows.

use super::{Fields, ParamFault, unexpected};

impl<const N: usize> Fields<'_, N> {
    /// A list of names, each of which is one of `known`; `None` if it is absent.
    pub(in crate::message) fn optional_names<T: Copy>(
        &self,
        name: &str,
        known: &[(&str, T)],
    ) -> Result<Option<Vec<T>>, ParamFault> {
        if self.get(name).is_none() {
            return Ok(None);
        }
        let texts = self.texts(name)?.into_iter().enumerate();
        let found = texts.map(|(at, text)| {
            let found = known.iter().find(|(name, _)| *name == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<String> =
                    known.iter().map(|(name, _)| format!("{name:?}")).collect();
                unexpected(
                    format!("{}[{at}]", self.path_of(name)),
                    &format!("one of {}", names.join(", ")),
                    &format!("{text:?}"),
                )
            })
        });
        found.collect::<Result<_, _>>().map(Some)
    }
}

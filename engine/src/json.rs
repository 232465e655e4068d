//! JSON text as the engine handles it: checked once, then spliced without building values.

mod check;
mod object;
mod value;

pub(crate) use check::check;
pub(crate) use object::{Object, compact, merge};
pub(crate) use value::{compare_numbers, equal};

#[cfg(test)]
mod tests;

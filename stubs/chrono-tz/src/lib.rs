//! Nothing. The crate `display-more`, which openraft needs, names chrono-tz as a dependency and does not use it.

//! The features a HELLO negotiates: the server answers with the intersection.

use std::fmt;

/// A set of features.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(u8);

const NAMES: [(&str, Features); 5] = [
    ("idempotency", Features::IDEMPOTENCY),
    ("batch", Features::BATCH),
    ("wal_read", Features::WAL_READ),
    ("cluster", Features::CLUSTER),
    ("lifecycle", Features::LIFECYCLE),
];

impl Features {
    /// Idempotency keys (legacy).
    pub const IDEMPOTENCY: Features = Features(1);
    /// BATCH (legacy).
    pub const BATCH: Features = Features(1 << 1);
    /// WAL_READ (legacy).
    pub const WAL_READ: Features = Features(1 << 2);
    /// Our extensions: more codes, more parameters and results, `end` frames.
    pub const CLUSTER: Features = Features(1 << 3);
    /// ALLOWED_EVENTS, `dry_run`, and what guards have read in the details of a refused event; metadata of writes and
    /// what follows from it. A client may use these without offering the feature; the codes of errors that came with
    /// them are then told as older ones.
    pub const LIFECYCLE: Features = Features(1 << 4);
    /// All that this version knows.
    pub const ALL: Features = Features(0b1_1111);
    /// None.
    pub const NONE: Features = Features(0);

    /// The set of these names; names this version does not know are left out.
    pub fn from_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Features {
        let mut set = Features::NONE;
        for name in names {
            for (known, feature) in NAMES {
                if known == name.as_ref() {
                    set = set.union(feature);
                }
            }
        }
        set
    }

    /// The names, in the order the protocol lists them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .into_iter()
            .filter(move |(_, feature)| self.contains(*feature))
            .map(|(name, _)| name)
    }

    /// Whether all of `other` is in this set.
    pub fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// What both sets hold: the answer to a HELLO.
    #[must_use]
    pub fn intersection(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }

    /// What either set holds.
    #[must_use]
    pub fn union(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiation_is_the_intersection_and_ignores_unknown_names() {
        let offered = Features::from_names(["batch", "telepathy", "cluster", "batch"]);
        let agreed = offered.intersection(Features::ALL);
        assert_eq!(agreed.names().collect::<Vec<_>>(), ["batch", "cluster"]);
        assert!(agreed.contains(Features::CLUSTER));
        assert!(!agreed.contains(Features::WAL_READ));
    }

    #[test]
    fn a_client_that_offers_nothing_gets_nothing() {
        let agreed = Features::from_names::<&str>([]).intersection(Features::ALL);
        assert_eq!(agreed, Features::NONE);
        assert_eq!(agreed.names().count(), 0);
    }

    #[test]
    fn every_feature_has_a_name() {
        assert_eq!(Features::from_names(Features::ALL.names()), Features::ALL);
    }
}

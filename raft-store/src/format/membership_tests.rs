#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn info(n: u64) -> NodeInfo {
    NodeInfo {
        peer_addr: format!("10.0.0.{n}:7401"),
        rcp_addr: format!("node-{n}:7400"),
    }
}

fn memberships() -> impl Strategy<Value = Membership> {
    let voters = prop::collection::btree_set(0..9u64, 1..5);
    let configs = prop::collection::vec(voters, 1..3);
    (configs, prop::collection::btree_set(0..20u64, 0..4)).prop_map(|(configs, learners)| {
        let voters: BTreeSet<u64> = configs.iter().flatten().copied().collect();
        let nodes: BTreeMap<u64, NodeInfo> =
            voters.union(&learners).map(|id| (*id, info(*id))).collect();
        Membership::new(configs, nodes).unwrap()
    })
}

fn ids() -> impl Strategy<Value = Option<LogId>> {
    prop::option::of((0..9u64, any::<u64>()).prop_map(|(term, index)| log_id(term, index)))
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(membership in memberships(), set_by in ids(), last in ids()) {
        let bytes = encode_membership(&membership);
        prop_assert_eq!(decode_membership(&bytes), Ok(membership.clone()));
        let stored = StoredMembership::new(set_by, membership);
        let bytes = encode_stored_membership(&stored);
        prop_assert_eq!(decode_stored_membership(&bytes), Ok(stored.clone()));
        let meta = SnapshotMeta { last_log_id: last, last_membership: stored };
        let bytes = encode_snapshot_meta(&meta);
        prop_assert_eq!(decode_snapshot_meta(&bytes), Ok(meta.clone()));
    }

    #[test]
    fn any_bytes_give_a_value_or_an_error(
        membership in memberships(),
        cut in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = encode_membership(&membership);
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes.extend(garbage);
        for result in [
            decode_membership(&bytes).map(drop),
            decode_stored_membership(&bytes).map(drop),
            decode_snapshot_meta(&bytes).map(drop),
        ] {
            prop_assert!(result.is_ok() || result.is_err_and(|told| !told.is_empty()));
        }
    }
}

#[test]
fn a_voter_without_an_address_is_an_error() {
    let message = MembershipMessage {
        configs: vec![VotersRecord { voters: vec![4] }],
        nodes: Vec::new(),
    };
    let told = decode_membership(&message.encode_to_vec()).unwrap_err();
    assert!(told.contains("invalid membership"), "{told}");
}

//! Decoding gives the value that was encoded. An unknown field or kind is refused by its name.

mod locks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use proptest::option::of;
use proptest::prelude::*;
use prost::Message;
use rstmdb_engine::chain::Head;
use rstmdb_engine::definition::Warning;
use rstmdb_engine::fact::{self, Entry as FactEntry};
use rstmdb_engine::reply::{InstanceSummary, MachineSummary, Trial, Would};
use rstmdb_engine::{
    ApplyEvent, BatchOp, Command, CreateInstance, DeleteInstance, DeleteMachine, DryRun, Import,
    InstanceView, ListInstances, MachineNames, PutMachine, Query, Reach, Refusal, Reply,
};
use rstmdb_raft_store::{
    Data, Entry, LeaderId, LogId, Membership, NodeInfo, Payload, SnapshotMeta, StoredMembership,
    Vote, log_id,
};

use crate::replica::{
    Caller, ChangeError, DigestAt, Done, Error, ForwardResult, Forwarded, LeaderChange, NodeReport,
    Replied, ReplyMark, Role, Submission,
};
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::op::Op;
use crate::server::messages::reply;
use crate::server::messages::testing::told;
use crate::server::peer::codec::{DecodeError, decode_result, encode_result, received};
use crate::server::peer::{fuzzing, wire};
use crate::server::product::Product;

/// Over the wire and back: through the bytes, which is where unset and default fields differ.
fn travel<M: Message + Default>(message: impl Into<M>) -> M {
    M::decode(message.into().encode_to_vec().as_slice()).unwrap()
}

fn text() -> impl Strategy<Value = String> {
    "[a-zäß ]{0,6}"
}

fn arc() -> impl Strategy<Value = std::sync::Arc<str>> {
    text().prop_map(Into::into)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..8).prop_map(Bytes::from)
}

fn a_log_id() -> impl Strategy<Value = LogId> {
    any::<(u64, u64)>().prop_map(|(term, index)| log_id(term, index))
}

fn vote() -> impl Strategy<Value = Vote> {
    any::<(u64, u64, bool)>().prop_map(|(term, voted_for, committed)| Vote {
        leader_id: LeaderId { term, voted_for },
        committed,
    })
}

fn node_info() -> impl Strategy<Value = NodeInfo> {
    (text(), text()).prop_map(|(peer_addr, rcp_addr)| NodeInfo {
        peer_addr,
        rcp_addr,
    })
}

fn membership() -> impl Strategy<Value = Membership> {
    let nodes = proptest::collection::btree_map(1_u64..9, node_info(), 1..4);
    (nodes, 1_usize..3).prop_map(|(nodes, sets): (BTreeMap<u64, NodeInfo>, usize)| {
        let all: BTreeSet<u64> = nodes.keys().copied().collect();
        let one: BTreeSet<u64> = all.iter().copied().take(1).collect();
        let configs = [all, one].into_iter().take(sets).collect();
        Membership::new(configs, nodes).unwrap()
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(Payload::Blank),
        bytes().prop_map(|bytes| Payload::Normal(Data(bytes))),
        membership().prop_map(Payload::Membership),
    ];
    (a_log_id(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
}

fn snapshot_meta() -> impl Strategy<Value = SnapshotMeta> {
    let stored = prop_oneof![
        Just(StoredMembership::default()),
        (of(a_log_id()), membership()).prop_map(|(id, members)| StoredMembership::new(id, members)),
    ];
    (of(a_log_id()), stored).prop_map(|(last_log_id, last_membership)| SnapshotMeta {
        last_log_id,
        last_membership,
    })
}

/// A JSON object, as clients write them.
fn document() -> impl Strategy<Value = Bytes> {
    (text(), any::<u32>()).prop_map(|(name, n)| format!("{{ {name:?}: [{n}] }}").into())
}

fn query() -> impl Strategy<Value = Query> {
    let list = (
        of(text()),
        of(text()),
        (1_u64..1000).prop_map(Some),
        of(any::<u64>()),
        of(text()),
    );
    prop_oneof![
        text().prop_map(|instance_id| Query::GetInstance { instance_id }),
        list.prop_map(|(machine, state, limit, offset, after)| {
            Query::ListInstances(ListInstances {
                machine,
                state,
                limit,
                offset,
                after,
            })
        }),
        (text(), of(1_u32..)).prop_map(|(machine, version)| Query::GetMachine { machine, version }),
        (of(any::<u64>()), of(any::<u64>()))
            .prop_map(|(limit, offset)| Query::ListMachines { limit, offset }),
    ]
}

fn single_command() -> impl Strategy<Value = Command> {
    let put = (text(), 1_u32.., document(), of(text()));
    let create = (
        text(),
        any::<bool>(),
        text(),
        1_u32..,
        of(document()),
        of(text()),
    );
    let apply = (
        text(),
        text(),
        of(document()),
        of(text()),
        of(any::<u64>()),
        of(text()),
        of(text()),
    );
    prop_oneof![
        put.prop_map(|(machine, version, definition, checksum)| {
            Command::PutMachine(PutMachine {
                machine,
                version,
                definition,
                checksum,
            })
        }),
        create.prop_map(
            |(instance_id, id_given, machine, version, initial_ctx, key)| {
                Command::CreateInstance(CreateInstance {
                    instance_id,
                    id_given,
                    machine,
                    version,
                    initial_ctx,
                    idempotency_key: key,
                    import: None,
                })
            }
        ),
        apply.prop_map(
            |(instance_id, event, payload, state, offset, event_id, key)| {
                Command::ApplyEvent(ApplyEvent {
                    instance_id,
                    event,
                    payload,
                    expected_state: state,
                    expected_wal_offset: offset,
                    event_id,
                    idempotency_key: key,
                    timers: None,
                })
            }
        ),
        (text(), text(), text(), of(any::<u64>()), of(any::<u64>())).prop_map(
            |(instance_id, machine, state, created_ms, updated_ms)| {
                Command::CreateInstance(CreateInstance {
                    instance_id,
                    id_given: true,
                    machine,
                    version: 1,
                    initial_ctx: None,
                    idempotency_key: None,
                    import: Some(Box::new(Import {
                        state,
                        created_ms,
                        updated_ms,
                    })),
                })
            }
        ),
        (text(), of(1_u32..)).prop_map(|(machine, version)| {
            Command::DeleteMachine(DeleteMachine { machine, version })
        }),
        (text(), of(any::<u64>()), of(text())).prop_map(
            |(instance_id, expected_wal_offset, idempotency_key)| {
                Command::DeleteInstance(DeleteInstance {
                    instance_id,
                    expected_wal_offset,
                    idempotency_key,
                })
            }
        ),
        Just(Command::FlushAll),
    ]
}

fn batch_op() -> impl Strategy<Value = BatchOp> {
    let write = single_command().prop_filter("not in a batch", |command| {
        !matches!(command, Command::FlushAll | Command::DeleteMachine(_))
    });
    prop_oneof![
        write.prop_map(BatchOp::Write),
        query().prop_map(BatchOp::Read),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        single_command(),
        proptest::collection::vec(batch_op(), 0..4).prop_map(Command::Batch),
        single_command().prop_map(DryRun::Whole).prop_map(asked),
        proptest::collection::vec(batch_op(), 0..4)
            .prop_map(|ops| { asked(DryRun::EachAlone(ops.into_iter().map(Ok).collect())) }),
    ]
}

fn asked(what: DryRun) -> Command {
    Command::DryRun(Box::new(what))
}

fn view() -> impl Strategy<Value = InstanceView> {
    let parts = (
        (arc(), arc(), any::<u32>(), arc(), bytes()),
        (any::<u64>(), any::<u64>(), of(arc()), any::<u64>()),
    );
    parts.prop_map(
        |((instance_id, machine, version, state, ctx), (created_ms, updated_ms, id, offset))| {
            InstanceView {
                instance_id,
                machine,
                version,
                state,
                ctx,
                created_ms,
                updated_ms,
                last_event_id: id,
                last_wal_offset: offset,
                timers: Vec::new(),
                timers_suspended: false,
            }
        },
    )
}

fn summary() -> impl Strategy<Value = InstanceSummary> {
    view().prop_map(|view| InstanceSummary {
        id: view.instance_id,
        machine: view.machine,
        version: view.version,
        state: view.state,
        created_ms: view.created_ms,
        updated_ms: view.updated_ms,
        last_wal_offset: view.last_wal_offset,
    })
}

fn single_reply() -> impl Strategy<Value = Reply> {
    let machines =
        (arc(), proptest::collection::vec(any::<u32>(), 0..4)).prop_map(|(machine, versions)| {
            MachineSummary {
                machine,
                versions,
                format: 1,
                warning_count: 0,
            }
        });
    prop_oneof![
        (
            arc(),
            any::<u32>(),
            arc(),
            any::<bool>(),
            proptest::collection::vec((any::<String>(), any::<String>()), 0..3)
        )
            .prop_map(|(machine, version, checksum, created, warnings)| {
                let warnings = warnings.into_iter();
                let warnings = warnings
                    .map(|(place, text)| Warning { place, text })
                    .collect();
                Reply::PutMachine {
                    machine,
                    version,
                    checksum,
                    created,
                    warnings,
                }
            }),
        (arc(), arc(), any::<u64>()).prop_map(|(instance_id, state, wal_offset)| Reply::Created {
            instance_id,
            state,
            wal_offset,
        }),
        (
            arc(),
            arc(),
            bytes(),
            any::<bool>(),
            of(arc()),
            any::<u64>()
        )
            .prop_map(
                |(from_state, to_state, ctx, applied, event_id, wal_offset)| Reply::Applied {
                    from_state,
                    to_state,
                    ctx,
                    applied,
                    event_id,
                    wal_offset,
                }
            ),
        (arc(), arc(), arc(), arc(), of(arc()), any::<u64>()).prop_map(
            |(instance_id, idempotency_key, from_state, to_state, event_id, wal_offset)| {
                Reply::Replayed {
                    instance_id,
                    idempotency_key,
                    from_state,
                    to_state,
                    event_id,
                    wal_offset,
                }
            }
        ),
        (arc(), any::<u64>()).prop_map(|(instance_id, wal_offset)| Reply::Deleted {
            instance_id,
            wal_offset,
        }),
        (
            arc(),
            proptest::collection::vec(any::<u32>(), 0..3),
            any::<u64>()
        )
            .prop_map(|(machine, versions, wal_offset)| Reply::MachineDeleted {
                machine,
                versions,
                wal_offset,
            }),
        any::<(u64, u64)>().prop_map(|(instances_removed, machines_removed)| Reply::Flushed {
            instances_removed,
            machines_removed,
        }),
        view().prop_map(Reply::Instance),
        (
            proptest::collection::vec(summary(), 0..3),
            any::<u64>(),
            any::<bool>()
        )
            .prop_map(|(items, total, has_more)| Reply::Instances {
                items,
                total,
                has_more,
            }),
        (arc(), any::<u32>(), bytes(), arc(), 1..3_u32).prop_map(
            |(machine, version, definition, checksum, format)| {
                Reply::Machine {
                    machine,
                    version,
                    definition,
                    checksum,
                    format,
                    warnings: Arc::default(),
                }
            }
        ),
        proptest::collection::vec(machines, 0..3).prop_map(|items| Reply::Machines { items }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        single_reply(),
        proptest::collection::vec(single_reply(), 0..4).prop_map(Reply::Batch),
        (single_reply(), any::<(bool, bool)>(), of(text())).prop_map(|(reply, flags, set)| {
            Reply::DryRun(Box::new(Trial {
                reply,
                id_drawn: flags.0,
                replayed: flags.1,
                would: set.map(|name| Would {
                    set: vec![name],
                    ..Would::default()
                }),
            }))
        }),
    ]
}

/// An entry with the event that each repeated event of `replied` repeats.
fn replays(replied: &Replied, ctx: &Bytes) -> FactEntry {
    let replies = match replied.here() {
        Some(Reply::Batch(replies)) => replies.as_slice(),
        Some(Reply::DryRun(trial)) => std::slice::from_ref(&trial.reply),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let facts = replies.iter().filter_map(|reply| match reply {
        Reply::Replayed {
            instance_id,
            idempotency_key,
            ..
        } => Some(fact::Fact {
            body: Some(fact::Body::ApplyEvent(fact::ApplyEvent {
                instance_id: instance_id.to_string(),
                ctx: ctx.clone(),
                key: Some(fact::Key {
                    key: idempotency_key.to_string(),
                    ..fact::Key::default()
                }),
                ..fact::ApplyEvent::default()
            })),
        }),
        _ => None,
    });
    FactEntry {
        facts: facts.collect(),
        ..FactEntry::default()
    }
}

fn single_refusal() -> impl Strategy<Value = Refusal> {
    let two = (text(), text());
    prop_oneof![
        (of(text()), text()).prop_map(|(field, message)| Refusal::BadRequest { field, message }),
        (text(), of(any::<u32>()))
            .prop_map(|(machine, version)| Refusal::MachineNotFound { machine, version }),
        (text(), any::<u32>())
            .prop_map(|(machine, version)| Refusal::MachineVersionExists { machine, version }),
        (text(), any::<u64>(), any::<u32>()).prop_map(|(machine, versions, versions_max)| {
            Refusal::MachineVersionLimitExceeded {
                machine,
                versions,
                versions_max,
            }
        }),
        text().prop_map(|instance_id| Refusal::InstanceNotFound { instance_id }),
        text().prop_map(|instance_id| Refusal::InstanceExists { instance_id }),
        two.prop_map(|(current_state, event)| Refusal::InvalidTransition {
            current_state,
            event,
        }),
        (
            text(),
            text(),
            proptest::collection::vec(text(), 0..3),
            0..3_usize
        )
            .prop_map(|(current_state, event, guards, guards_left_out)| {
                Refusal::GuardFailed {
                    current_state,
                    event,
                    errors: Vec::new(),
                    guards,
                    guards_left_out,
                    tried: Box::default(),
                }
            }),
        (text(), text()).prop_map(|(place, why)| Refusal::ExpressionFailed { place, why }),
        (text(), text()).prop_map(|(place, why)| Refusal::ExpressionLimit { place, why }),
        (text(), text(), text()).prop_map(|(path, rule, why)| Refusal::SchemaFailed {
            of: "payload",
            path,
            rule,
            why,
        }),
        (text(), text()).prop_map(|(expected_state, actual_state)| Refusal::StateConflict {
            expected_state,
            actual_state,
        }),
        any::<(u64, u64)>().prop_map(|(expected_wal_offset, actual_wal_offset)| {
            Refusal::OffsetConflict {
                expected_wal_offset,
                actual_wal_offset,
            }
        }),
        (text(), any::<u64>()).prop_map(|(idempotency_key, actual_wal_offset)| {
            Refusal::KeyConflict {
                idempotency_key,
                actual_wal_offset,
            }
        }),
        (text(), any::<u32>(), text()).prop_map(|(machine, version, reason)| {
            Refusal::MachineNotUnderstood {
                machine,
                version,
                reason,
            }
        }),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        single_refusal(),
        (any::<u32>(), single_refusal()).prop_map(|(index, refusal)| Refusal::InBatch {
            index: index as usize,
            refusal: Box::new(refusal),
        }),
    ]
}

fn error() -> impl Strategy<Value = Error> {
    prop_oneof![
        refusal().prop_map(Error::Refused),
        any::<(u64, u64)>()
            .prop_map(|(wanted, earliest)| Error::OffsetCompacted { wanted, earliest }),
        Just(Error::NotLeader),
        Just(Error::Diverged),
        Just(Error::NoLeader),
        Just(Error::OutcomeUnknown),
        text().prop_map(|reason| Error::ReadOnly { reason }),
        Just(Error::ShuttingDown),
        Just(Error::LostTwice),
        Just(Error::DecisionFailed),
        (text(), any::<bool>()).prop_map(|(reason, outcome_unknown)| Error::Storage {
            reason,
            outcome_unknown,
        }),
    ]
}

fn change() -> impl Strategy<Value = LeaderChange> {
    prop_oneof![
        (any::<u64>(), node_info())
            .prop_map(|(node_id, node)| LeaderChange::AddLearner { node_id, node }),
        any::<u64>().prop_map(|node_id| LeaderChange::Promote { node_id }),
        any::<u64>().prop_map(|node_id| LeaderChange::Remove { node_id }),
        of(any::<u64>()).prop_map(|to| LeaderChange::TransferLeader { to }),
        Just(LeaderChange::RaiseLevel),
        (any::<u64>(), node_info(), any::<bool>()).prop_map(|(node_id, node, by_itself)| {
            LeaderChange::SetAddress {
                node_id,
                node,
                by_itself,
            }
        }),
    ]
}

fn change_error() -> impl Strategy<Value = ChangeError> {
    prop_oneof![
        Just(ChangeError::NotLeader),
        any::<u64>().prop_map(|node_id| ChangeError::UnknownNode { node_id }),
        text().prop_map(|reason| ChangeError::Refused { reason }),
        any::<(u64, u64)>().prop_map(|(node_id, lag)| ChangeError::Lagging { node_id, lag }),
        text().prop_map(|reason| ChangeError::Unconfirmed { reason }),
        any::<(u32, u32, Vec<u64>)>().prop_map(|(needed, current, held_back_by)| {
            ChangeError::HeldBack {
                needed,
                current,
                held_back_by,
            }
        }),
    ]
}

fn report() -> impl Strategy<Value = NodeReport> {
    let role = prop_oneof![
        Just(Role::Leader),
        Just(Role::Follower),
        Just(Role::Learner),
        Just(Role::Candidate),
    ];
    let numbers = any::<(u64, u64, u64, u64, u64, u64)>();
    let digests = (
        any::<DigestAt>(),
        proptest::collection::vec(any::<DigestAt>(), 0..4),
        proptest::collection::vec(any::<(u64, [u8; 32])>(), 0..4),
    );
    let rest = (of(any::<u64>()), of(text()), any::<bool>(), text());
    (role, numbers, digests, rest).prop_map(|(role, numbers, digests, rest)| NodeReport {
        node_id: numbers.0,
        role,
        term: numbers.1,
        leader: rest.0,
        last_log: numbers.2,
        commit_index: numbers.3,
        applied: digests.0,
        checkpoints: digests.1,
        earliest_offset: numbers.4,
        read_only: rest.1,
        diverged: rest.2,
        version: rest.3,
        uptime_secs: numbers.5,
        members: vec![numbers.0, numbers.1],
        clock_ms: rest.0,
        log_ms: rest.0.map(|ms| ms / 2),
        heads: (digests.2.into_iter())
            .map(|(offset, head)| (offset, Head(head)))
            .collect(),
        level: 1 + numbers.0 as u32 % 7,
        understands: 1 + numbers.1 as u32 % 7,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn votes_come_back_as_they_were(vote in vote(), last in of(a_log_id()), flag in any::<bool>()) {
        let request = VoteRequest::<Product> {
            vote,
            last_log_id: last,
            leadership_transfer: flag,
        };
        let message: wire::VoteRequest = travel(request.clone());
        prop_assert_eq!(VoteRequest::try_from(message).unwrap(), request);

        let response = VoteResponse::<Product>::new(vote, last, flag);
        let message: wire::VoteReply = travel(response.clone());
        prop_assert_eq!(VoteResponse::try_from(message).unwrap(), response);
    }

    #[test]
    fn appends_come_back_as_they_were(
        vote in vote(),
        prev in of(a_log_id()),
        commit in of(a_log_id()),
        entries in proptest::collection::vec(entry(), 0..4),
    ) {
        let request = AppendEntriesRequest::<Product> {
            vote,
            prev_log_id: prev,
            entries,
            leader_commit: commit,
        };
        let message: wire::AppendRequest = travel(request.clone());
        let back = AppendEntriesRequest::<Product>::try_from(message).unwrap();
        prop_assert_eq!(&back.entries, &request.entries);
        prop_assert_eq!(
            (back.vote, back.prev_log_id, back.leader_commit),
            (request.vote, request.prev_log_id, request.leader_commit)
        );
    }

    #[test]
    fn answers_to_appends_come_back_as_they_were(vote in vote(), id in a_log_id(), some in any::<bool>()) {
        let id_or_none = some.then_some(id);
        for response in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(id_or_none),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote),
        ] {
            let message: wire::AppendReply = travel(response.clone());
            prop_assert_eq!(AppendEntriesResponse::<Product>::try_from(message).unwrap(), response);
        }
        let results: [StreamAppendResult<Product>; 3] = [
            Ok(id_or_none),
            Err(StreamAppendError::Conflict(id)),
            Err(StreamAppendError::HigherVote(vote)),
        ];
        for result in results {
            let message: wire::StreamAppendReply = travel(result.clone());
            prop_assert_eq!(StreamAppendResult::<Product>::try_from(message).unwrap(), result);
        }
    }

    #[test]
    fn what_belongs_to_a_snapshot_comes_back_as_it_was(meta in snapshot_meta()) {
        let message: wire::SnapshotMeta = travel(&meta);
        prop_assert_eq!(SnapshotMeta::try_from(message).unwrap(), meta);
    }

    #[test]
    fn handing_over_comes_back_as_it_was(
        a in vote(),
        b in vote(),
        last in of(a_log_id()),
        other in of(a_log_id()),
        to in any::<u64>(),
    ) {
        let request = TransferLeaderRequest::<Product>::new(a, to, last);
        let message: wire::TransferLeaderRequest = travel(&request);
        prop_assert_eq!(TransferLeaderRequest::try_from(message).unwrap(), request);
        let responses: [TransferLeaderResponse<Product>; 3] = [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: a, actual: b }),
            Err(TransferLeaderError::LogNotFlushed { expected: last, actual: other }),
        ];
        for response in responses {
            let message: wire::TransferLeaderReply = travel(response.clone());
            prop_assert_eq!(TransferLeaderResponse::<Product>::try_from(message).unwrap(), response);
        }
    }

    #[test]
    fn a_leader_reads_in_a_forwarded_request_what_the_follower_read_in_it(
        seq in any::<u64>(),
        actor in arc(),
        limited in any::<bool>(),
        command in command(),
    ) {
        let request = Submission::from(command.clone()).sent;
        let caller = Caller { actor, reach: limited.then(|| Arc::new(reach())) };
        let forwarded = Forwarded { seq, request, caller: caller.clone(), traceparent: None };
        let message: wire::Forwarded = travel(forwarded);
        let back = received(message, Arc::new(())).unwrap();
        prop_assert_eq!(back.command, command);
        prop_assert_eq!((back.seq, back.caller), (seq, caller));
    }

    #[test]
    fn a_client_of_a_follower_reads_what_a_client_of_the_leader_reads(
        reply in reply(),
        offset in of(any::<u64>()),
        cluster in any::<bool>(),
        ctx in document(),
        has_entry in any::<bool>(),
    ) {
        let done = Done { reply: reply.into(), offset };
        let sent = ForwardResult { seq: 1, outcome: Ok(done.clone()) };
        let came = decode_result(travel(encode_result(sent))).outcome.unwrap();
        prop_assert_eq!(came.offset, offset);
        prop_assert_eq!(came.reply.incomplete_to(), done.reply.incomplete_to());
        let told = |mut replied: Replied| {
            let mut room = 20;
            replied.complete(&mut room, &mut |_| has_entry.then(|| replays(&done.reply, &ctx)));
            if !cluster {
                reply::hide_extensions(&mut replied);
            }
            let mut out = BytesMut::new();
            reply::write(&mut out, &replied);
            (out, room)
        };
        prop_assert_eq!(told(came.reply), told(done.reply.clone()));
    }

    #[test]
    fn a_client_of_a_follower_is_told_the_error_that_a_client_of_the_leader_is_told(
        error in error(),
        keyed in any::<bool>(),
    ) {
        let sent = ForwardResult { seq: 1, outcome: Err(error.clone()) };
        let came = decode_result(travel(encode_result(sent))).outcome.unwrap_err();
        prop_assert_eq!(came.outcome_unknown(), error.outcome_unknown());
        let told = |error| failure::of_replica(error, PossibleEffect::Write { keyed });
        prop_assert_eq!(told(&came), told(&error));
    }

    #[test]
    fn a_simulation_reads_a_leaders_refusal_as_it_was(refusal in refusal()) {
        let no_details = |refusal: &Refusal| {
            matches!(
                refusal,
                Refusal::BadRequest { .. } | Refusal::MachineNotUnderstood { .. }
            )
        };
        let is_told = match &refusal {
            Refusal::InBatch { refusal, .. } => !no_details(refusal),
            refusal => !no_details(refusal),
        };
        prop_assume!(is_told);
        let sent = ForwardResult { seq: 1, outcome: Err(Error::Refused(refusal.clone())) };
        let came = decode_result(travel(encode_result(sent))).outcome;
        match told(&Command::FlushAll, came) {
            Err(Error::Refused(came)) => prop_assert_eq!(came, refusal),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn changes_come_back_as_they_were(change in change(), error in change_error()) {
        let message: wire::ChangeRequest = travel(&change);
        prop_assert_eq!(LeaderChange::try_from(message).unwrap(), change);
        let message: wire::ChangeError = travel(error.clone());
        prop_assert_eq!(ChangeError::from(message), error);
    }

    #[test]
    fn reports_come_back_as_they_were(report in report()) {
        let message: wire::ReportReply = travel(report.clone());
        prop_assert_eq!(NodeReport::try_from(message).unwrap(), report);
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_understood_and_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        fuzzing::take(&bytes);
    }

    #[test]
    fn damaged_messages_are_refused_or_understood_and_never_panic(
        vote in vote(),
        entry in entry(),
        command in command(),
        reply in reply(),
        report in report(),
        at in any::<proptest::sample::Index>(),
        flipped in 1_u8..,
    ) {
        let request = Submission::from(command).sent;
        let forwarded = Forwarded { seq: 1, request, caller: "a".into(), traceparent: None };
        let done = ForwardResult { seq: 1, outcome: Ok(Done { reply: reply.into(), offset: None }) };
        let append = wire::AppendRequest {
            vote: Some(vote.into()),
            entries: vec![entry.into()],
            ..wire::AppendRequest::default()
        };
        for mut message in [
            append.encode_to_vec(),
            wire::ForwardBatch { requests: vec![forwarded.into()] }.encode_to_vec(),
            wire::ForwardResults { results: vec![encode_result(done)] }.encode_to_vec(),
            wire::ReportReply::from(report).encode_to_vec(),
        ] {
            let at = at.index(message.len());
            message[at] ^= flipped;
            fuzzing::take(&message);
        }
    }
}

#[test]
fn a_missing_part_is_refused_by_its_name() {
    let missing = |error: DecodeError| match error {
        DecodeError::Missing(field) => field,
        other @ DecodeError::Invalid { .. } => panic!("{other}"),
    };
    let append = AppendEntriesRequest::<Product>::try_from(wire::AppendRequest::default());
    assert_eq!(missing(append.unwrap_err()), "AppendRequest.vote");
    let vote = VoteRequest::<Product>::try_from(wire::VoteRequest::default());
    assert_eq!(missing(vote.unwrap_err()), "VoteRequest.vote");
    let entry = wire::Entry {
        log_id: Some(log_id(1, 1).into()),
        payload: None,
    };
    assert_eq!(
        missing(Entry::try_from(entry).unwrap_err()),
        "Entry.payload"
    );
    let mark = ReplyMark::try_from(wire::Mark::default());
    assert_eq!(missing(mark.unwrap_err()), "Mark.part");
    let report = NodeReport::try_from(wire::ReportReply::default());
    assert_eq!(missing(report.unwrap_err()), "ReportReply.role");
}

#[test]
fn an_impossible_value_is_refused_by_the_name_of_its_field() {
    let report = wire::ReportReply {
        role: wire::Role::Leader.into(),
        applied: Some(wire::DigestAt {
            offset: 1,
            digest: Bytes::from_static(b"short"),
        }),
        ..wire::ReportReply::default()
    };
    let refused = NodeReport::try_from(report).unwrap_err().to_string();
    assert_eq!(
        refused,
        "DigestAt.digest is not valid: it must be 16 bytes long"
    );
    // A voter that is not among the nodes.
    let config = wire::MembershipConfig {
        configs: vec![wire::Voters { node_ids: vec![4] }],
        nodes: Vec::new(),
    };
    let refused = Membership::try_from(config).unwrap_err().to_string();
    assert!(
        refused.starts_with("MembershipConfig is not valid"),
        "{refused}"
    );
}

#[test]
fn an_outcome_of_a_newer_version_is_an_unknown_outcome_of_that_command_alone() {
    let newer = wire::ForwardResult {
        seq: 7,
        outcome: None,
    };
    let result = decode_result(newer);
    assert_eq!(result.seq, 7);
    assert!(matches!(result.outcome, Err(Error::OutcomeUnknown)));
}

#[test]
fn an_error_of_a_newer_version_keeps_its_text_and_what_is_known_of_the_outcome() {
    let newer = |outcome_unknown| wire::Error {
        text: "the moon is in the way".to_owned(),
        outcome_unknown,
        kind: None,
    };
    let certain = Error::try_from(newer(false)).unwrap();
    assert!(certain.to_string().contains("the moon is in the way"));
    assert!(!certain.outcome_unknown());
    assert!(Error::try_from(newer(true)).unwrap().outcome_unknown());
}

#[test]
fn a_request_that_is_not_understood_is_refused_by_name() {
    let refused = |op: &str, params: &'static str| {
        let message = wire::Forwarded {
            op: op.to_owned(),
            params: params.into(),
            ..wire::Forwarded::default()
        };
        received(message, Arc::new(())).err().unwrap().to_string()
    };
    for (op, params, says) in [
        (
            "RENAME_MACHINE",
            "{}",
            "op: \"RENAME_MACHINE\" is no command",
        ),
        ("GET_INSTANCE", "{}", "op: \"GET_INSTANCE\" is no command"),
        ("APPLY_EVENT", "{", "params: they are no JSON"),
        ("APPLY_EVENT", "{}", "params.instance_id: required"),
        (
            "BATCH",
            r#"{"ops":[]}"#,
            "only an atomic batch is one command",
        ),
    ] {
        let text = refused(op, params);
        assert!(text.contains(says), "{text}");
    }
}

fn reach() -> Reach {
    Reach {
        read: ["order", "job-*"].into_iter().collect(),
        write: ["order"].into_iter().collect(),
        watch: MachineNames::default(),
    }
}

#[test]
fn a_request_that_has_lost_its_limits_is_refused() {
    let asked = |reach: Option<Reach>| Forwarded {
        traceparent: None,
        seq: 1,
        request: Submission::from(Command::FlushAll).sent,
        caller: Caller {
            actor: "a".into(),
            reach: reach.map(Arc::new),
        },
    };
    let limited: wire::Forwarded = travel(asked(Some(reach())));
    // A node that knows no limits looks this name up.
    assert!(Op::from_forwarded_name(&limited.op).is_none());
    let lost = wire::Forwarded {
        reach: None,
        ..limited.clone()
    };
    let unlimited: wire::Forwarded = travel(asked(None));
    let added = wire::Forwarded {
        reach: limited.reach.clone(),
        ..unlimited.clone()
    };
    for message in [lost, added] {
        assert!(received(message, Arc::new(())).is_err());
    }
    for message in [limited, unlimited] {
        assert!(received(message, Arc::new(())).is_ok());
    }
}

#[test]
fn marks_outside_of_a_result_are_an_unknown_outcome() {
    let mark = |at, bytes| wire::Mark {
        at,
        bytes,
        part: Some(wire::mark::Part::Extension(wire::Blank {})),
    };
    for marks in [
        vec![mark(0, 3)],
        vec![mark(u64::MAX, 1)],
        vec![mark(1, 1), mark(0, 1)],
    ] {
        let done = wire::Done {
            result: Bytes::from_static(b"{}"),
            offset: Some(3),
            marks,
        };
        let result = decode_result(wire::ForwardResult {
            seq: 7,
            outcome: Some(wire::forward_result::Outcome::Done(done)),
        });
        assert!(matches!(result.outcome, Err(Error::OutcomeUnknown)));
    }
}

#[test]
fn a_simulation_reads_a_leaders_reply_as_it_was() {
    let create = Command::CreateInstance(CreateInstance {
        instance_id: "i".to_owned(),
        id_given: true,
        machine: "m".to_owned(),
        version: 1,
        initial_ctx: None,
        idempotency_key: None,
        import: None,
    });
    let created = Reply::Created {
        instance_id: "i".into(),
        state: "s".into(),
        wal_offset: 3,
    };
    let event = Command::ApplyEvent(ApplyEvent {
        instance_id: "i".to_owned(),
        event: "E".to_owned(),
        idempotency_key: Some("k".to_owned()),
        ..ApplyEvent::default()
    });
    let applied = Reply::Applied {
        from_state: "s".into(),
        to_state: "t".into(),
        ctx: Bytes::from_static(br#"{"n":1}"#),
        applied: true,
        event_id: None,
        wal_offset: 4,
    };
    let replayed = Reply::Replayed {
        instance_id: "i".into(),
        idempotency_key: "k".into(),
        from_state: "s".into(),
        to_state: "t".into(),
        event_id: Some("e".into()),
        wal_offset: 4,
    };
    let batch = Command::Batch(vec![
        BatchOp::Write(create.clone()),
        BatchOp::Write(event.clone()),
    ]);
    let both = Reply::Batch(vec![created.clone(), applied.clone()]);
    for (command, reply) in [
        (create, created),
        (event.clone(), applied),
        (event, replayed),
        (batch, both),
    ] {
        let outcome = Ok(Done {
            reply: reply.clone().into(),
            offset: Some(4),
        });
        let came = decode_result(travel(encode_result(ForwardResult { seq: 1, outcome })));
        let done = told(&command, came.outcome).unwrap();
        assert_eq!((done.reply.here(), done.offset), (Some(&reply), Some(4)));
    }
}

#[test]
fn an_answer_too_large_for_a_frame_says_so_and_where_the_write_took_effect() {
    let ctx = Bytes::from(vec![b'1'; 10 * 1024 * 1024]);
    let read = Reply::Applied {
        from_state: "a".into(),
        to_state: "b".into(),
        ctx,
        applied: true,
        event_id: None,
        wal_offset: 9,
    };
    let outcome = Ok(Done {
        reply: Reply::Batch(vec![read.clone(), read]).into(),
        offset: Some(9),
    });
    let message = encode_result(ForwardResult { seq: 1, outcome });
    let told = decode_result(message).outcome.unwrap_err();
    let told = failure::of_replica(&told, PossibleEffect::Write { keyed: false });
    assert!(told.message.contains("its answer does not fit"), "{told}");
    let details = serde_json::json!({ "outcome": "applied", "wal_offset": 9 });
    assert_eq!(told.details, Some(details));
}

//! The requests of a replica to other nodes, answered by a replica.

use bytes::Bytes;
use futures_util::StreamExt;
use rstmdb_engine::{ApplyEvent, BatchOp, Command, CreateInstance, PutMachine};
use rstmdb_raft_store::{Entry, Payload, log_id};
use rstmdb_rcp::Code;
use tonic::Request;

use super::fake::Fake;
use super::replicas::Node;
use super::support::{CLUSTER, PATIENCE, channel, client, incarnation, peer};
use crate::replica::write::decide::decision::tests::PANICS;
use crate::replica::{
    Consistency, Done, Error, ForwardResult, ForwardStream, Forwarded, LeaderChange, PeerError,
    Peers, Replied, Role, Submission,
};
use crate::server::peer::wire::membership_client::MembershipClient;
use crate::server::peer::wire::node_client::NodeClient;
use crate::server::peer::{Connections, wire};

const DEFINITION: &str = r#"{"states":["new"],"initial":"new","transitions":[]}"#;

pub fn put() -> Command {
    Command::PutMachine(PutMachine {
        machine: "m".to_owned(),
        version: 1,
        definition: Bytes::from_static(DEFINITION.as_bytes()),
        checksum: None,
    })
}

pub fn create(id: &str, ctx: Option<String>) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.to_owned(),
        id_given: true,
        machine: "m".to_owned(),
        version: 1,
        initial_ctx: ctx.map(Bytes::from),
        idempotency_key: None,
        import: None,
    })
}

/// A machine, and instances of the given contexts.
pub async fn fill(node: &Node, contexts: Vec<String>) {
    let actor = || "test".into();
    node.replica.submit(put(), actor()).await.unwrap();
    for (at, ctx) in contexts.into_iter().enumerate() {
        let command = create(&format!("i{at}"), Some(ctx));
        node.replica.submit(command, actor()).await.unwrap();
    }
}

#[tokio::test]
async fn a_leader_decodes_nothing_that_it_has_decided() {
    let node = Node::alone(1).await;
    fill(&node, vec!["{}".to_owned(), r#"{"a":1}"#.to_owned()]).await;
    // The first of the entries has raised the feature level.
    assert_eq!(node.replica.entries_not_decoded(), 4);
}

pub fn forwarded(seq: u64, command: Command) -> Forwarded {
    Forwarded {
        seq,
        request: Submission::from(command).sent,
        caller: "test".into(),
        traceparent: None,
    }
}

/// What the leader wrote.
fn text(done: &Done) -> String {
    let Replied::ByLeader(relayed) = &done.reply else {
        panic!("{done:?} did not come from the leader");
    };
    let pieces: Vec<&[u8]> = relayed.pieces().collect();
    String::from_utf8(pieces.concat()).unwrap()
}

async fn results(stream: &mut ForwardStream, count: usize) -> Vec<ForwardResult> {
    let mut results = Vec::new();
    while results.len() < count {
        let more = tokio::time::timeout(PATIENCE, stream.results.recv()).await;
        results.extend(more.expect("results in time").expect("the stream goes on"));
    }
    results.sort_by_key(|result| result.seq);
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_panics_is_an_error_and_those_behind_it_are_decided() {
    let node = Node::alone(1).await;
    fill(&node, vec!["{}".to_owned()]).await;
    let panics = || {
        Command::ApplyEvent(ApplyEvent {
            instance_id: "i0".to_owned(),
            event: PANICS.to_owned(),
            idempotency_key: Some("k".to_owned()),
            ..ApplyEvent::default()
        })
    };
    let before = node.applied();
    let batch = Command::Batch(vec![
        BatchOp::Write(create("i1", None)),
        BatchOp::Write(panics()),
    ]);
    let submitted = [
        panics(),
        create("i2", None),
        panics(),
        batch,
        create("i1", None),
    ];
    let submitted = submitted.map(|command| node.replica.submit(command, "test".into()));
    let outcomes = futures_util::future::join_all(submitted).await;
    for (at, outcome) in outcomes.into_iter().enumerate() {
        match (at, outcome) {
            (0 | 2 | 3, Err(Error::DecisionFailed)) | (1 | 4, Ok(_)) => {}
            (at, outcome) => panic!("{at}: {outcome:?}"),
        }
    }
    assert_eq!(node.applied(), before + 2);
    assert_eq!(node.replica.counters().decisions_failed.load(), 3);
    // Another node's client is told the same.
    let caller = client(2);
    let mut stream = caller.forward(&node.served.peer(1)).await.unwrap();
    stream
        .commands
        .send(vec![
            forwarded(0, panics()),
            forwarded(1, create("i3", None)),
        ])
        .unwrap();
    let results = results(&mut stream, 2).await;
    assert!(
        matches!(results[0].outcome, Err(Error::DecisionFailed)),
        "{results:?}"
    );
    assert!(results[1].outcome.is_ok(), "{results:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_commands_take_effect_in_order_and_are_answered() {
    let leader = Node::alone(1).await;
    let caller = client(2);
    let mut stream = caller.forward(&leader.served.peer(1)).await.unwrap();
    let send = |batch| stream.commands.send(batch).unwrap();
    send(vec![forwarded(1, put()), forwarded(2, create("a", None))]);
    send(vec![forwarded(3, create("a", None))]);
    let results = results(&mut stream, 3).await;
    let outcomes: Vec<_> = results.into_iter().map(|result| result.outcome).collect();
    let [Ok(put), Ok(created), Err(Error::RefusedByLeader(refused))] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert!(text(put).starts_with(r#"{"machine":"m","version":1,"#));
    let at = put.offset.unwrap() + 1;
    let result = format!(r#"{{"instance_id":"a","state":"new","wal_offset":{at}}}"#);
    assert_eq!((text(created), created.offset), (result, Some(at)));
    assert_eq!(refused.error.code, Code::InstanceExists);
    assert_eq!(refused.error.details.as_ref().unwrap()["instance_id"], "a");
    assert!(refused.may_be_of_a_later_life);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_larger_than_a_message_is_cut_and_arrives_whole() {
    let leader = Node::alone(1).await;
    fill(&leader, Vec::new()).await;
    let caller = client(2);
    let mut stream = caller.forward(&leader.served.peer(1)).await.unwrap();
    let ctx = format!("{{\"blob\":\"{}\"}}", "x".repeat(1024 * 1024));
    let create = |seq| forwarded(seq, create(&format!("i{seq}"), Some(ctx.clone())));
    stream.commands.send((0..70).map(create).collect()).unwrap();
    let results = results(&mut stream, 70).await;
    assert!(results.iter().all(|result| result.outcome.is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_of_commands_ends_with_the_server_and_with_the_caller() {
    let leader = Node::alone(1).await;
    let caller = client(2);
    let ForwardStream {
        commands,
        mut results,
    } = caller.forward(&leader.served.peer(1)).await.unwrap();
    drop(commands);
    let ended = tokio::time::timeout(PATIENCE, results.recv())
        .await
        .unwrap();
    assert!(ended.is_none());

    let mut stream = caller.forward(&leader.served.peer(1)).await.unwrap();
    leader.served.stop().await;
    let ended = tokio::time::timeout(PATIENCE, stream.results.recv())
        .await
        .unwrap();
    assert!(ended.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_a_newer_version_is_refused_and_the_others_of_its_batch_are_not() {
    let leader = Node::alone(1).await;
    let mut node = NodeClient::new(channel(leader.served.addr));
    let unknown = wire::Forwarded {
        seq: 1,
        op: "RENAME_MACHINE".to_owned(),
        params: Bytes::from_static(b"{}"),
        ..wire::Forwarded::default()
    };
    let requests = vec![unknown, forwarded(2, put()).into()];
    let batches = futures_util::stream::iter([wire::ForwardBatch { requests }]);
    let mut answers = node.forward(signed(batches)).await.unwrap().into_inner();
    let mut results = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        results.extend(
            answer
                .results
                .into_iter()
                .map(super::super::codec::decode_result),
        );
    }
    results.sort_by_key(|result| result.seq);
    let [refused, done] = &results[..] else {
        panic!("{results:?}");
    };
    let reason = refused.outcome.as_ref().unwrap_err();
    assert!(!reason.outcome_unknown());
    let reason = reason.to_string();
    assert!(
        reason.contains("does not understand") && reason.contains("RENAME_MACHINE"),
        "{reason}"
    );
    assert!(done.outcome.is_ok(), "{done:?}");
}

/// As node 2 would ask.
pub fn signed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in [
        ("rstmdb-protocol", "3.0".to_owned()),
        ("rstmdb-cluster", format!("{CLUSTER:032x}")),
        ("rstmdb-node", "2".to_owned()),
        ("rstmdb-incarnation", format!("{:032x}", incarnation(2))),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_answers_which_offset_a_read_must_see_and_how_it_stands() {
    let leader = Node::alone(1).await;
    fill(&leader, Vec::new()).await;
    let (caller, leads) = (client(2), leader.served.peer(1));
    let applied = leader.applied();
    for level in [Consistency::Linearizable, Consistency::Lease] {
        assert_eq!(caller.read_index(&leads, level).await.unwrap(), applied);
    }
    let report = caller.report(&leads).await.unwrap();
    assert_eq!(report.role, Role::Leader);
    assert_eq!(report.node_id, 1);
    assert_eq!(report.applied.0, applied);
    assert_eq!(report.applied.1, leader.replica.status().digest);

    let hello = caller.hello(&leads.node.peer_addr).await.unwrap();
    assert!(hello.formed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_lead_says_so_and_has_not_formed() {
    let fresh = Node::fresh(3).await;
    let (caller, other) = (client(2), fresh.served.peer(3));
    let read = caller.read_index(&other, Consistency::Linearizable).await;
    assert!(matches!(read, Err(PeerError::NotLeader)), "{read:?}");
    let hello = caller.hello(&other.node.peer_addr).await.unwrap();
    assert!(!hello.formed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_answered_to_nodes_and_to_operators() {
    let leader = Node::alone(1).await;
    let change = LeaderChange::Promote { node_id: 9 };
    let changed = client(2).change(&leader.served.peer(1), &change).await;
    assert!(changed.unwrap().is_err());

    let mut members = MembershipClient::new(channel(leader.served.addr));
    let answer = members.change(wire::ChangeRequest::from(&change)).await;
    assert!(answer.unwrap().into_inner().error.is_some());
    let report = members.report(wire::ReportRequest {}).await.unwrap();
    assert_eq!(report.into_inner().node_id, 1);
    let nothing = members.change(wire::ChangeRequest::default()).await;
    assert_eq!(nothing.unwrap_err().code(), tonic::Code::InvalidArgument);
}

fn history_of(parts: Vec<wire::history_part::Part>) -> Fake {
    let parts = parts.into_iter();
    Fake {
        history: parts
            .map(|part| wire::HistoryPart { part: Some(part) })
            .collect(),
        ..Fake::node(2)
    }
}

async fn ask_history(caller: &Connections, fake: Fake) -> Result<Option<Vec<Entry>>, PeerError> {
    let at = peer(2, fake.serve().await);
    let Some(run) = caller.history(&at, 9).await? else {
        return Ok(None);
    };
    assert_eq!((run.first, run.last), (3, 5));
    let portions: Vec<_> = run.entries.collect().await;
    let portions: Result<Vec<_>, _> = portions.into_iter().collect();
    Ok(Some(portions?.concat()))
}

#[tokio::test]
async fn history_comes_in_portions_after_its_range() {
    use wire::history_part::Part;
    let entry = |index| Entry {
        log_id: log_id(1, index),
        payload: Payload::Blank,
    };
    let range = || Part::Range(wire::HistoryRange { first: 3, last: 5 });
    let portion = |indexes: &[u64]| {
        let entries = indexes.iter().map(|index| entry(*index).into()).collect();
        Part::Entries(wire::Entries { entries })
    };
    let caller = client(1);
    let whole = history_of(vec![range(), portion(&[3, 4]), portion(&[5])]);
    let entries = ask_history(&caller, whole).await.unwrap().unwrap();
    assert_eq!(entries, [entry(3), entry(4), entry(5)]);

    let none = history_of(Vec::new());
    assert!(ask_history(&caller, none).await.unwrap().is_none());

    for wrong in [vec![portion(&[3])], vec![range(), range()]] {
        let answer = ask_history(&caller, history_of(wrong)).await;
        assert!(matches!(answer, Err(PeerError::Failed(_))), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_history_says_so() {
    let node = Node::alone(1).await;
    let history = client(2).history(&node.served.peer(1), 1).await;
    assert!(history.unwrap().is_none());
}

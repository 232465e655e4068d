//! Locks on a cluster: owners that wait get them in order, whichever node leads, and do not wait for an owner that is
//! gone.

use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use rstmdb::replica::{Done, Error, LockAttempt, Replied, Submission};
use rstmdb::server::testing::told;
use rstmdb_engine::{AcquireLock, Command, LockCommand, LockReply, LockView, ReleaseLock, Reply};
use rstmdb_sim::Sim;

use super::{Cluster, in_simulation, submit};

const TTL: u64 = 60_000;

fn acquire(owner: &str, wait_ms: u64) -> AcquireLock {
    AcquireLock {
        name: "l".to_owned(),
        owner: owner.to_owned(),
        ttl_ms: TTL,
        wait_ms: Some(wait_ms),
    }
}

/// Asks through a node, and waits.
async fn ask(cluster: &Cluster, node: u64, owner: &str, wait_ms: u64) -> Result<Done, Error> {
    let replica = cluster.node(node).clone();
    let owner = owner.to_owned();
    wait_for(replica, owner, wait_ms).await
}

async fn wait_for(
    replica: rstmdb::replica::Replica<Sim>,
    owner: String,
    wait_ms: u64,
) -> Result<Done, Error> {
    let command = |wait_ms| Command::Lock(LockCommand::Acquire(acquire(&owner, wait_ms)));
    let again = owner.clone();
    let request = LockAttempt {
        acquire: acquire(&owner, wait_ms),
        meta: None,
        sent: Box::new(move |left_ms| {
            let asked = LockCommand::Acquire(acquire(&again, left_ms));
            Submission::from(Command::Lock(asked)).sent
        }),
    };
    let outcome = replica.acquire_lock(request, "test".into()).await;
    told(&command(wait_ms), outcome)
}

fn held(done: Result<Done, Error>) -> LockView {
    match done.unwrap().reply {
        Replied::Here(Reply::Lock(LockReply::Held { lock, .. })) => lock,
        other => panic!("{other:?}"),
    }
}

async fn release(cluster: &Cluster, node: u64, token: u64) {
    let release = LockCommand::Release(ReleaseLock {
        name: "l".to_owned(),
        token,
    });
    submit(cluster.node(node), Command::Lock(release))
        .await
        .unwrap();
}

#[test]
fn owners_on_every_node_get_a_lock_in_the_order_in_which_they_came() {
    in_simulation(91, async {
        let cluster = Cluster::form(91, 3).await;
        cluster.leader().await;
        let mut token = held(ask(&cluster, 1, "first", 0).await).token;
        let mut waiting = Vec::new();
        for node in 1..=3 {
            let replica = cluster.node(node).clone();
            let asked = wait_for(replica, format!("of-{node}"), 120_000);
            waiting.push(Sim::spawn(asked));
            Sim::sleep(Duration::from_millis(500)).await;
        }
        for (number, waits) in waiting.into_iter().enumerate() {
            Sim::sleep(Duration::from_secs(15)).await;
            release(&cluster, 2, token).await;
            let lock = held(waits.await.unwrap());
            assert_eq!(*lock.owner, *format!("of-{}", number + 1));
            assert!(lock.token > token);
            token = lock.token;
        }
        cluster.converge().await;
    });
}

#[test]
fn an_owner_that_waits_keeps_its_place_when_leaders_are_killed() {
    for seed in 92..96 {
        in_simulation(seed, async {
            let mut cluster = Cluster::form(seed, 3).await;
            let leader = cluster.leader().await;
            let others: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
            let token = held(ask(&cluster, others[0], "first", 0).await).token;
            let replica = cluster.node(others[0]).clone();
            let second = Sim::spawn(wait_for(replica, "second".to_owned(), 120_000));
            Sim::sleep(Duration::from_millis(300)).await;
            let replica = cluster.node(others[1]).clone();
            let third = Sim::spawn(wait_for(replica, "third".to_owned(), 120_000));
            Sim::sleep(Duration::from_millis(300)).await;
            cluster.world.kill(leader, false);
            cluster.nodes.remove(&leader);
            Sim::sleep(Duration::from_secs(3)).await;
            cluster.start(leader).await;
            Sim::sleep(Duration::from_secs(25)).await;
            release(&cluster, others[1], token).await;
            let lock = held(second.await.unwrap());
            assert_eq!(&*lock.owner, "second");
            release(&cluster, others[0], lock.token).await;
            assert_eq!(&*held(third.await.unwrap()).owner, "third");
        });
    }
}

#[test]
fn a_client_whose_wait_has_ended_does_not_keep_the_next_waiting() {
    in_simulation(98, async {
        let cluster = Cluster::form(98, 3).await;
        let leader = cluster.leader().await;
        for (number, node) in [leader, leader % 3 + 1].into_iter().enumerate() {
            let token = held(ask(&cluster, 1, "first", 0).await).token;
            let replica = cluster.node(node).clone();
            let short = Sim::spawn(wait_for(replica, format!("short-{number}"), 1_000));
            Sim::sleep(Duration::from_millis(300)).await;
            let replica = cluster.node(3).clone();
            let next = Sim::spawn(wait_for(replica, format!("next-{number}"), 120_000));
            match short.await.unwrap() {
                Err(Error::Refused(refusal)) => assert_eq!(refusal.code(), "LOCK_HELD"),
                other => panic!("{other:?}"),
            }
            release(&cluster, 1, token).await;
            let begun = Sim::now();
            let lock = held(next.await.unwrap());
            assert_eq!(*lock.owner, *format!("next-{number}"));
            let waited = Sim::now() - begun;
            assert!(waited < Duration::from_secs(1), "{waited:?}");
            release(&cluster, 1, lock.token).await;
        }
        cluster.converge().await;
    });
}

#[test]
fn a_lock_of_a_client_that_is_gone_goes_to_the_next_in_time() {
    in_simulation(97, async {
        let cluster = Cluster::form(97, 3).await;
        cluster.leader().await;
        let token = held(ask(&cluster, 1, "first", 0).await).token;
        // This client gives up, and its node does not ask for it any more.
        let replica = cluster.node(2).clone();
        let gone = wait_for(replica, "gone".to_owned(), 120_000);
        assert!(Sim::timeout(Duration::from_secs(1), gone).await.is_err());
        let replica = cluster.node(3).clone();
        let next = Sim::spawn(wait_for(replica, "next".to_owned(), 120_000));
        Sim::sleep(Duration::from_secs(1)).await;
        release(&cluster, 1, token).await;
        let begun = Sim::now();
        assert_eq!(&*held(next.await.unwrap()).owner, "next");
        let waited = Sim::now() - begun;
        assert!(waited < Duration::from_secs(12), "{waited:?}");
    });
}

#[test]
fn a_lock_expires_in_time_and_a_wait_ends_in_time() {
    in_simulation(98, async {
        let cluster = Cluster::form(98, 3).await;
        cluster.leader().await;
        held(ask(&cluster, 1, "first", 0).await);
        let begun = Sim::now();
        let refused = ask(&cluster, 2, "second", 5_000).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        let waited = Sim::now() - begun;
        assert!(waited < Duration::from_secs(6), "{waited:?}");
        assert_eq!(
            &*held(ask(&cluster, 3, "third", 120_000).await).owner,
            "third"
        );
        let waited = (Sim::now() - begun).as_millis();
        assert!((59_000..61_000).contains(&waited), "{waited} ms");
        // Its owner does not renew it.
        Sim::sleep(Duration::from_millis(TTL + 1_000)).await;
        cluster.converge().await;
        let left = cluster.node(1).with_state(|state| state.locks_held());
        assert_eq!(left, 0);
    });
}

//! A folder that is being restored cannot be opened otherwise until the restore is finished.

use std::path::Path;

use crate::support::log::options;
use rstmdb_raft_store::{Error, Identity, MemFs, Store, begin_restore, read_identity, rejoin};

fn identity() -> Identity {
    Identity {
        cluster_id: 7,
        node_id: 1,
        incarnation: 9,
        cluster_name: "orders".to_owned(),
    }
}

#[test]
fn an_unfinished_folder_is_refused_also_after_a_power_cut() {
    let fs = MemFs::new(1);
    let mut options = options();
    options.cluster_id = 7;
    let (store, writer) = begin_restore(fs.clone(), options.clone()).unwrap();
    drop((store, writer));
    for _ in 0..2 {
        let opened = Store::open(fs.clone(), options.clone());
        let Err(Error::RestoreUnfinished { dir }) = opened else {
            panic!("it was opened");
        };
        assert_eq!(dir, options.dir);
        fs.crash();
    }
    // Emptying it in the way of a damaged node makes it an empty folder.
    rejoin(&fs, &options.dir).unwrap();
    Store::open(fs, options).unwrap();
}

#[test]
fn a_finished_folder_is_the_nodes() {
    let fs = MemFs::new(2);
    let mut options = options();
    options.cluster_id = 7;
    let (store, writer) = begin_restore(fs.clone(), options.clone()).unwrap();
    let writing = std::thread::spawn(move || writer.run());
    store.close();
    writing.join().unwrap();
    store.finish_restore(&identity()).unwrap();
    drop(store);
    let found = read_identity(&fs, Path::new(&options.dir)).unwrap();
    assert_eq!(found, Some(identity()));
    Store::open(fs, options).unwrap();
}

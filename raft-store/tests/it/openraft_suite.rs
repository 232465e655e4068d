//! openraft's own storage suite, on the real file system and on the simulated one.

use crate::support::{Machine, OnSim, OnTokio};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{AsyncRuntime, StorageError};
use rstmdb_raft_store::{LogStore, MemFs, Options, RealFs, Store};

struct OnDisk;

impl StoreBuilder<OnTokio, LogStore<OnTokio, RealFs>, Machine<RealFs>, tempfile::TempDir>
    for OnDisk
{
    async fn build(
        &self,
    ) -> Result<
        (
            tempfile::TempDir,
            LogStore<OnTokio, RealFs>,
            Machine<RealFs>,
        ),
        StorageError<OnTokio>,
    > {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path());
        options.segment_bytes = 1 << 16;
        options.cache_bytes = 100;
        let (store, writer) = Store::open(RealFs, options).unwrap();
        std::thread::spawn(|| writer.run());
        Ok((dir, store.log_store(), Machine::new(&store)))
    }
}

#[test]
fn the_suite_passes_on_the_real_file_system() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Suite::test_all(OnDisk)).unwrap();
}

struct InMemory;

impl StoreBuilder<OnSim, LogStore<OnSim, MemFs>, Machine<MemFs>> for InMemory {
    async fn build(
        &self,
    ) -> Result<((), LogStore<OnSim, MemFs>, Machine<MemFs>), StorageError<OnSim>> {
        let mut options = Options::new("/data");
        options.catalog = false;
        options.segment_bytes = 4096;
        options.cache_bytes = 0;
        options.clock = std::sync::Arc::new(|| 1);
        let (store, writer) = Store::open(MemFs::new(1), options).unwrap();
        let _task = openraft_rt_sim::SimRuntime::spawn(writer.drive());
        Ok(((), store.log_store(), Machine::new(&store)))
    }
}

#[test]
fn the_suite_passes_in_simulation() {
    openraft_rt_sim::SimRuntime::with_seed(1)
        .block_on(Suite::test_all(InMemory))
        .unwrap();
}

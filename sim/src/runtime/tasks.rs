//! Which node a task belongs to, so that a node can be killed, be frozen, and have its own clock.
//!
//! Every task of a run is polled under the number of its node (0: of no node). A killed node's tasks
//! are dropped at once, wherever they are, because a killed process runs no further instruction.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use openraft::AsyncRuntime;
use openraft_rt_sim::{SimJoinHandle, SimRuntime};
use parking_lot::Mutex;
use rstmdb_raft_store::MemFs;

use crate::trace;

/// A clock that runs at the right speed.
pub const RATE_EXACT: u64 = 1_000_000;

#[derive(Default)]
struct ProcessLife {
    alive: bool,
    frozen: bool,
    /// Millionths of the right speed.
    rate: u64,
    parked: Vec<Waker>,
    tasks: BTreeMap<u64, Arc<dyn Kill>>,
    disk: Option<MemFs>,
}

#[derive(Default)]
struct Registry {
    lives: Vec<ProcessLife>,
    next_task: u64,
}

impl Registry {
    fn life(&mut self, node: u64) -> &mut ProcessLife {
        let place = usize::try_from(node).unwrap_or_default();
        if self.lives.len() <= place {
            self.lives.resize_with(place + 1, ProcessLife::default);
        }
        &mut self.lives[place]
    }
}

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
    static REGISTRY: RefCell<Registry> = RefCell::new(Registry::default());
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Forgets all nodes: a run begins.
pub fn begin() {
    CURRENT.set(0);
    let before = REGISTRY.with_borrow_mut(std::mem::take);
    drop(before);
}

/// The node whose task is running.
pub fn current() -> u64 {
    CURRENT.get()
}

/// The speed of the present node's clock, in millionths of the right one.
pub fn rate() -> u64 {
    let node = current();
    if node == 0 {
        return RATE_EXACT;
    }
    REGISTRY.with_borrow_mut(|registry| registry.life(node).rate)
}

/// A node begins to live: a process on this disk, with a clock of this speed.
pub fn give_life(node: u64, disk: MemFs, rate: u64) {
    REGISTRY.with_borrow_mut(|registry| {
        let life = registry.life(node);
        life.alive = true;
        life.frozen = false;
        life.rate = rate;
        life.disk = Some(disk);
    });
}

/// Whether a node's process is there, frozen or not.
pub fn is_alive(node: u64) -> bool {
    REGISTRY.with_borrow_mut(|registry| registry.life(node).alive)
}

/// Whether a node's process is there and stands still.
pub fn is_frozen(node: u64) -> bool {
    REGISTRY.with_borrow_mut(|registry| registry.life(node).frozen)
}

/// Ends a node's process: none of its tasks runs on. `rest` is what others hold of it.
pub fn kill(node: u64, rest: impl Any) {
    let tasks = REGISTRY.with_borrow_mut(|registry| {
        let life = registry.life(node);
        life.alive = false;
        life.frozen = false;
        life.parked.clear();
        life.disk = None;
        std::mem::take(&mut life.tasks)
    });
    // All of them stop before any is dropped: a task that a drop wakes must not run.
    let before = CURRENT.replace(node);
    let futures: Vec<_> = tasks.values().filter_map(|task| task.stop()).collect();
    drop(futures);
    drop(rest);
    CURRENT.set(before);
}

/// Stops a node's process where it stands (SIGSTOP).
pub fn freeze(node: u64) {
    REGISTRY.with_borrow_mut(|registry| registry.life(node).frozen = true);
}

/// Lets it continue (SIGCONT). Timers that were due meanwhile fire late.
pub fn thaw(node: u64) {
    let parked = REGISTRY.with_borrow_mut(|registry| {
        let life = registry.life(node);
        life.frozen = false;
        std::mem::take(&mut life.parked)
    });
    parked.into_iter().for_each(Waker::wake);
}

/// Spawns a task of the node whose task is running.
pub fn spawn_here<F>(future: F) -> SimJoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn(current(), future)
}

/// Spawns a task of a node. A dead node's task never runs.
pub fn spawn<F>(node: u64, future: F) -> SimJoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let slot = Arc::new(TaskSlot(Mutex::new(TaskStand::Idle(Box::pin(future)))));
    let number = REGISTRY.with_borrow_mut(|registry| {
        let number = registry.next_task;
        registry.next_task += 1;
        let life = registry.life(node);
        if node == 0 || life.alive {
            life.tasks.insert(number, slot.clone());
            Some(number)
        } else {
            None
        }
    });
    if number.is_none() {
        drop(slot.stop());
    }
    SimRuntime::spawn(Owned {
        node,
        number: number.unwrap_or_default(),
        slot,
    })
}

/// Where a task stands.
enum TaskStand<F> {
    Idle(Pin<Box<F>>),
    Running,
    Stopped,
}

struct TaskSlot<F>(Mutex<TaskStand<F>>);

trait Kill: Send + Sync {
    /// Ends the task, and gives what it leaves to be dropped.
    fn stop(&self) -> Option<Box<dyn Any>>;
}

/// Owns a future that the compiler does not know to be `'static`, until the future is dropped.
struct Leftover<F>(#[allow(dead_code)] Pin<Box<F>>);

impl<F: Send + 'static> Kill for TaskSlot<F> {
    fn stop(&self) -> Option<Box<dyn Any>> {
        match std::mem::replace(&mut *self.0.lock(), TaskStand::Stopped) {
            TaskStand::Idle(future) => Some(Box::new(Leftover(future))),
            TaskStand::Running | TaskStand::Stopped => None,
        }
    }
}

/// A task and the node that it belongs to.
struct Owned<F> {
    node: u64,
    number: u64,
    slot: Arc<TaskSlot<F>>,
}

impl<F> Owned<F> {
    /// Whether the task may run; else it is woken once its node is.
    fn may_run(&self, context: &Context<'_>) -> bool {
        REGISTRY.with_borrow_mut(|registry| {
            let life = registry.life(self.node);
            if life.frozen {
                life.parked.push(context.waker().clone());
            }
            !life.frozen
        })
    }

    /// A node whose disk has lost power is dead: it must send nothing more.
    fn look_at_the_power(&self) {
        REGISTRY.with_borrow_mut(|registry| {
            let life = registry.life(self.node);
            if life.disk.as_ref().is_some_and(MemFs::has_lost_power) {
                life.frozen = true;
            }
        });
    }

    fn forget(&self) {
        REGISTRY.with_borrow_mut(|registry| registry.life(self.node).tasks.remove(&self.number));
    }
}

impl<F> Future for Owned<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.may_run(context) {
            return Poll::Pending;
        }
        let TaskStand::Idle(mut future) =
            std::mem::replace(&mut *self.slot.0.lock(), TaskStand::Stopped)
        else {
            return Poll::Pending;
        };
        *self.slot.0.lock() = TaskStand::Running;
        let before = CURRENT.replace(self.node);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        let polled = match polled {
            Ok(Poll::Pending) => {
                let mut stand = self.slot.0.lock();
                if matches!(*stand, TaskStand::Running) {
                    *stand = TaskStand::Idle(future);
                }
                Poll::Pending
            }
            Ok(Poll::Ready(output)) => {
                drop(future);
                *self.slot.0.lock() = TaskStand::Stopped;
                self.forget();
                Poll::Ready(output)
            }
            Err(_) => {
                trace::violated(
                    "no task panics",
                    format!("node {}: {}", self.node, panicked()),
                );
                self.forget();
                Poll::Pending
            }
        };
        CURRENT.set(before);
        if self.node != 0 {
            self.look_at_the_power();
        }
        polled
    }
}

/// Remembers the panics of runs instead of printing them. Panics of other threads are printed as before.
pub fn catch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if trace::now().is_zero() {
            before(info);
        } else {
            PANICKED.with_borrow_mut(|panicked| *panicked = Some(info.to_string()));
        }
    }));
}

/// The message of the last panic of this thread.
pub fn panicked() -> String {
    PANICKED
        .with_borrow_mut(Option::take)
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

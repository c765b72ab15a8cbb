//! The tasks that may hold locks and have been stopped by a wait, by number.
//!
//! A lock knows its holder by the number of its task: that costs one store, and nothing has to be kept alive
//! for it. Whoever comes to wait for the lock finds the holder's record here, if the holder may be stopped
//! itself. A task enters itself before the first wait that stops it after it has taken a lock, and leaves
//! when it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::header::Header;
use super::id::TaskId;
use super::shared::Shared;
use crate::base::sync::{Mutex, lock};
use crate::kernel::backend::StrandState;

/// A power of two well above the number of threads that meet on a shard by chance.
#[cfg(not(loom))]
const SHARDS: usize = 16;

/// Some of the tasks, by number.
type Shard = Mutex<BTreeMap<TaskId, Arc<Shared>>>;

#[cfg(not(loom))]
fn shard(id: TaskId) -> &'static Shard {
    static SHARD: [Shard; SHARDS] = [const { Mutex::new(BTreeMap::new()) }; SHARDS];
    &SHARD[id.as_u64() as usize % SHARDS]
}

#[cfg(loom)]
fn shard(_: TaskId) -> &'static Shard {
    loom::lazy_static! { static ref ALL: Shard = Mutex::new(BTreeMap::new()); }
    &ALL
}

/// Records that what is being polled on the stack of `state` has taken a lock, or is about to try to. Returns
/// the number of its task; `None` outside of any task, and in what another task may go on with.
#[inline]
pub(crate) fn take_lock(state: &StrandState) -> Option<TaskId> {
    if state.nested_polls().is_lent() {
        return None;
    }
    state.header().map(Header::takes_lock)
}

/// Enters a task that is about to be stopped.
pub(super) fn enter(task: &Arc<Shared>) {
    let before = lock(shard(task.id())).insert(task.id(), Arc::clone(task));
    drop(before);
}

/// Takes a task out that has ended.
pub(super) fn leave(id: TaskId) {
    let left = lock(shard(id)).remove(&id);
    drop(left);
}

/// Returns whether the task with this number, which may hold a lock, may be stopped by a wait.
pub(super) fn is_stopped(id: TaskId) -> bool {
    lock(shard(id)).get(&id).is_some_and(|task| task.is_blocked())
}

/// Returns the task with this number, if it [is stopped](is_stopped).
pub(super) fn find_stopped(id: TaskId) -> Option<Arc<Shared>> {
    lock(shard(id)).get(&id).filter(|task| task.is_blocked()).cloned()
}

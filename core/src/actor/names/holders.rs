//! The processes that have something in a collection, and the hook by which each loses that at its end.
//!
//! A process is given the hook with the first thing and loses it with the last, under the lock of the
//! collection, which is taken before that of a process and never after it. So a process that ends has either
//! not been entered or waits for the lock to leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actor::Pid;
use crate::actor::process::pid::{AtExit, HookId};

/// The keys of what each process has. Under the lock of the collection.
pub(super) struct Holders<K>(BTreeMap<Pid, Holder<K>>);

/// A process that has something.
struct Holder<K> {
    /// Takes everything from it when it ends.
    hook: HookId,
    /// The keys, at least one, in the order in which it got them.
    keys: Vec<K>,
}

impl<K: PartialEq> Holders<K> {
    /// Enters `key` among what `pid` has. `hook` makes its hook. Returns false when the process is not alive
    /// here.
    pub(super) fn add(&mut self, pid: &Pid, key: K, hook: impl FnOnce() -> Arc<dyn AtExit>) -> bool {
        match self.0.get_mut(pid) {
            // Its hook may be about to be called. Then the hook takes this, too, and nobody has had any use
            // of it.
            Some(holder) if pid.is_alive_here() => holder.keys.push(key),
            Some(_) => return false,
            None => {
                let Some(hook) = pid.at_exit(hook()) else { return false };
                self.0.insert(pid.clone(), Holder { hook, keys: vec![key] });
            }
        }
        true
    }

    /// Takes `key` from `pid`.
    pub(super) fn remove(&mut self, pid: &Pid, key: &K) {
        if let Some(holder) = self.0.get_mut(pid) {
            holder.keys.retain(|other| other != key);
            if holder.keys.is_empty() {
                pid.forget_hook(holder.hook);
                self.0.remove(pid);
            }
        }
    }

    /// Takes everything from `pid`, which ends, if this is its hook.
    pub(super) fn end(&mut self, pid: &Pid, hook: HookId) -> Vec<K> {
        if self.0.get(pid).is_none_or(|holder| holder.hook != hook) {
            return Vec::new();
        }
        self.0.remove(pid).map(|holder| holder.keys).unwrap_or_default()
    }

    /// Returns what `pid` has, in the order in which it got it.
    pub(super) fn keys_of(&self, pid: &Pid) -> &[K] {
        self.0.get(pid).map_or(&[], |holder| &holder.keys)
    }

    /// Takes all hooks back, because the collection is gone.
    pub(super) fn forget_all(&self) {
        self.0.iter().for_each(|(pid, holder)| pid.forget_hook(holder.hook));
    }
}

impl<K> Default for Holders<K> {
    fn default() -> Holders<K> {
        Holders(BTreeMap::new())
    }
}

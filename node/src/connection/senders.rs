//! [`Senders`]: references to the processes of the peer that its messages have named of late.
//!
//! A process that writes often says in each message who it is. To make a reference takes six pieces of
//! memory, which the thread of the receiver has to give back; so the same one is handed out again.

use std::any::Any;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twoply_core::actor::ProcessRef;

/// The number of references that are kept, each in the slot of its number.
const SLOTS: usize = 8;

/// The references by the numbers of their processes. They keep the connection, until it ends.
pub(super) struct Senders(Mutex<State>);

#[derive(Default)]
struct State {
    slots: [Option<(u64, Box<dyn Any + Send>)>; SLOTS],
    closed: bool,
}

impl Senders {
    pub(super) fn new() -> Senders {
        Senders(Mutex::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reference to this process of the peer, which is made if there is none for such messages.
    pub(super) fn get_or<M: Send + 'static>(
        &self,
        serial: u64,
        make: impl FnOnce() -> ProcessRef<M>,
    ) -> ProcessRef<M> {
        let slot = serial as usize % SLOTS;
        if let Some((of, process)) = &self.state().slots[slot]
            && *of == serial
            && let Some(process) = process.downcast_ref::<ProcessRef<M>>()
        {
            return process.clone();
        }
        let process = make();
        let kept = Box::new(process.clone());
        let mut state = self.state();
        let before = if state.closed { None } else { state.slots[slot].replace((serial, kept)) };
        drop(state);
        drop(before);
        process
    }

    /// Forgets all of them, and keeps no more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        let before = mem::replace(&mut *state, State { closed: true, ..State::default() });
        drop(state);
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twoply_core::actor::remote::{self, NodeTable};

    use super::*;
    use crate::connection::Nobody;

    #[test]
    fn a_reference_is_made_once_for_messages_of_a_kind() {
        let (senders, node) = (Senders::new(), NodeTable::new().node("there@localhost", 1));
        let pid = |serial| remote::pid(&node, serial, Arc::new(Nobody));
        let mut made = 0;
        let mut get = |serial| {
            senders.get_or::<u8>(serial, || {
                made += 1;
                remote::process_ref(pid(serial), Arc::new(Nobody))
            });
            made
        };
        let other = 1 + SLOTS as u64;
        assert_eq!([1, 1, 2, 1].map(&mut get), [1, 1, 2, 2]);
        // Two that share a slot.
        assert_eq!([other, other, 1].map(&mut get), [3, 3, 4]);
        // Messages of another kind.
        let there = senders.get_or::<u16>(1, || remote::process_ref(pid(1), Arc::new(Nobody)));
        assert_eq!(there.pid(), pid(1));
        assert_eq!(get(1), 5);
        senders.close();
        assert_eq!([1, 1].map(&mut get), [6, 7]);
    }
}

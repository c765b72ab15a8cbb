//! The waits for locks and permits.

use std::sync::Arc;

use twoply_core::sync::{Mutex, RwLock, Semaphore};

use super::{Waits, any_wait, leak, waits};

/// All of them.
pub(super) fn locks() -> Vec<Waits> {
    let mutexes: &[_; 3] = leak([0, 1, 2].map(|value| Arc::new(Mutex::new(value))));
    let locked = mutexes.each_ref().map(|mutex| mutex.try_lock().expect("nobody has it"));
    let written = leak(Arc::new(RwLock::new(0)));
    let writer = written.try_write().expect("nobody has it");
    let read: &[_; 4] = leak([0, 1, 2, 3].map(|value| Arc::new(RwLock::new(value))));
    let readers = read.each_ref().map(|lock| lock.try_read().expect("nobody has it"));
    let taken = leak(Arc::new(Semaphore::new(2)));
    let permits = taken.try_acquire_many(2).expect("nobody has them");
    let closed = leak(Semaphore::new(0));
    let ([locked, locked_too, locked_at_last], [reader, another, third, fourth]) = (locked, readers);
    vec![
        waits("lock", [any_wait(mutexes[0].lock())], move || drop(locked)),
        waits("lock_owned", [any_wait(mutexes[1].clone().lock_owned())], move || drop(locked_too)),
        waits("checked lock_owned", [any_wait(mutexes[2].clone().lock_owned().checked())], move || {
            drop(locked_at_last);
        }),
        waits(
            "read",
            [
                any_wait(written.read()),
                any_wait(written.clone().read_owned()),
                any_wait(written.read().checked()),
                any_wait(written.clone().read_owned().checked()),
            ],
            move || drop(writer),
        ),
        waits("write", [any_wait(read[0].write())], move || drop(reader)),
        waits("checked write", [any_wait(read[2].write().checked())], move || drop(third)),
        waits("checked write_owned", [any_wait(read[3].clone().write_owned().checked())], move || {
            drop(fourth);
        }),
        waits("write_owned", [any_wait(read[1].clone().write_owned())], move || drop(another)),
        waits("acquire", [any_wait(taken.acquire()), any_wait(taken.clone().acquire_owned())], move || {
            drop(permits);
        }),
        waits("closed acquire", [any_wait(closed.acquire()), any_wait(closed.acquire_many(2))], || {
            closed.close();
        }),
    ]
}

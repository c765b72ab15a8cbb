//! The shared part of a task under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib task::header`.

use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use loom::cell::Cell;
use loom::thread;

use super::*;
use crate::kernel::backend::{Job, Mode, SpawnError};

/// The number of a task of a model. The numbers of real ones depend on what has run before.
pub(in crate::kernel::task) fn id(number: u64) -> TaskId {
    TaskId::of(number)
}

/// The shared part of such a task.
pub(in crate::kernel::task) fn shared(number: u64) -> Arc<Shared> {
    Shared::new(id(number), TaskKind::Future, None, None)
}

/// A backend on which nothing runs.
struct Nowhere(Arc<TaskList>);

impl Backend for Nowhere {
    fn name(&self) -> &'static str {
        "nowhere"
    }

    fn mode(&self) -> Mode {
        Mode::Polling
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.0
    }

    fn start(&self, _: Job) -> Result<(), SpawnError> {
        Err(SpawnError::ShutDown)
    }

    fn resume(&self, _: Job, _: bool) {}
}

/// The header of such a task, which stays where it is.
pub(crate) fn header(tasks: &Arc<TaskList>, number: u64) -> Arc<Header> {
    Arc::new(Header {
        id: id(number),
        backend: Arc::new(Nowhere(Arc::clone(tasks))),
        slot: SharedSlot::new(TaskKind::Future),
    })
}

/// Counts how often it is woken, unseen by the model.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_shared_part_made_while_the_task_ends_says_that_it_is_over() {
    loom::model(|| {
        let slot = Arc::new(SharedSlot::new(TaskKind::Future));
        let task = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.finish())
        };
        let shared = Arc::clone(slot.get_or_make(|| shared(1)));
        task.join().unwrap();
        assert!(slot.is_finished());
        assert!(shared.is_finished(), "nobody has marked it");
    });
}

#[test]
fn whoever_makes_the_shared_part_of_a_finished_task_marks_it() {
    loom::model(|| {
        let slot = Arc::new(SharedSlot::new(TaskKind::Future));
        let makers = [1, 2].map(|_| {
            let slot = Arc::clone(&slot);
            thread::spawn(move || drop(slot.get_or_make(|| shared(1)).clone()))
        });
        slot.finish();
        for maker in makers {
            maker.join().unwrap();
        }
        assert!(slot.get().is_some_and(|shared| shared.is_finished()));
    });
}

#[test]
fn who_sees_the_end_sees_what_the_task_did() {
    loom::model(|| {
        let (slot, news) = (Arc::new(SharedSlot::new(TaskKind::Future)), Arc::new(Cell::new(0)));
        let task = {
            let (slot, news) = (Arc::clone(&slot), Arc::clone(&news));
            thread::spawn(move || {
                news.set(7);
                slot.finish();
            })
        };
        if slot.get_or_make(|| shared(1)).is_finished() {
            assert_eq!(news.get(), 7);
        }
        task.join().unwrap();
    });
}

/// A cancellation reaches a task that comes to wait: by its waker, or by the flag that the task then looks
/// at.
#[test]
fn a_cancellation_reaches_a_task_that_comes_to_wait() {
    loom::model(|| {
        let shared = shared(1);
        let parker = Parker::new(Deaf);
        let canceller = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.cancel())
        };
        shared.set_parker(&parker);
        canceller.join().unwrap();
        assert!(parker.cancelled());
    });
}

/// As that, by the waker that only the list has at first.
#[test]
fn a_cancellation_finds_the_waker_in_the_list() {
    loom::model(|| {
        let header = header(&TaskList::new(), 1);
        let counter = Arc::<Counter>::default();
        let canceller = {
            let header = Arc::clone(&header);
            thread::spawn(move || header.shared().cancel())
        };
        // SAFETY: it stays where it is, and is finished below.
        unsafe { header.enter(Some(&Waker::from(Arc::clone(&counter)))) };
        let seen = header.is_cancelled();
        canceller.join().unwrap();
        assert!(seen || counter.0.load(Ordering::SeqCst) == 1, "nobody wakes it");
        header.finish();
    });
}

#[test]
fn nothing_keeps_the_waker_of_a_task_that_is_over() {
    loom::model(|| {
        let header = header(&TaskList::new(), 1);
        let counter = Arc::<Counter>::default();
        // SAFETY: it stays where it is, and is finished below.
        unsafe { header.enter(Some(&Waker::from(Arc::clone(&counter)))) };
        let other = {
            let header = Arc::clone(&header);
            thread::spawn(move || Arc::clone(header.shared()))
        };
        header.finish();
        let shared = other.join().unwrap();
        assert!(shared.is_finished());
        assert_eq!(Arc::strong_count(&counter), 1, "the waker is kept");
    });
}

/// No stack is parked in the model.
struct Deaf;

impl crate::event::parker::Unpark for Deaf {
    fn unpark(&self) {}
}

//! A task's record under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib task::state`.

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

/// The state of such a task.
pub(in crate::kernel::task) fn state(number: u64) -> Arc<TaskState> {
    TaskState::new(id(number), None, None)
}

/// A backend on which nothing runs.
struct Nowhere(Arc<Registry>);

impl Backend for Nowhere {
    fn name(&self) -> &'static str {
        "nowhere"
    }

    fn mode(&self) -> Mode {
        Mode::Polling
    }

    fn registry(&self) -> &Arc<Registry> {
        &self.0
    }

    fn start(&self, _: Job) -> Result<(), SpawnError> {
        Err(SpawnError::ShutDown)
    }

    fn resume(&self, _: Job, _: bool) {}
}

/// The head of such a task, which stays where it is.
pub(crate) fn head(registry: &Arc<Registry>, number: u64) -> Arc<Head> {
    Arc::new(Head {
        id: id(number),
        home: Arc::new(Nowhere(Arc::clone(registry))),
        record: Record::default(),
    })
}

/// Counts how often it is woken, unseen by the model.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_record_made_while_the_task_ends_says_that_it_is_over() {
    loom::model(|| {
        let record = Arc::new(Record::default());
        let task = {
            let record = Arc::clone(&record);
            thread::spawn(move || record.finish())
        };
        let state = Arc::clone(record.get_or_make(|| state(1)));
        task.join().unwrap();
        assert!(record.is_finished());
        assert!(state.is_finished(), "nobody has marked it");
    });
}

#[test]
fn whoever_makes_the_record_of_a_finished_task_marks_it() {
    loom::model(|| {
        let record = Arc::new(Record::default());
        let makers = [1, 2].map(|_| {
            let record = Arc::clone(&record);
            thread::spawn(move || drop(record.get_or_make(|| state(1)).clone()))
        });
        record.finish();
        for maker in makers {
            maker.join().unwrap();
        }
        assert!(record.get().is_some_and(|state| state.is_finished()));
    });
}

#[test]
fn who_sees_the_end_sees_what_the_task_did() {
    loom::model(|| {
        let (record, news) = (Arc::new(Record::default()), Arc::new(Cell::new(0)));
        let task = {
            let (record, news) = (Arc::clone(&record), Arc::clone(&news));
            thread::spawn(move || {
                news.set(7);
                record.finish();
            })
        };
        if record.get_or_make(|| state(1)).is_finished() {
            assert_eq!(news.get(), 7);
        }
        task.join().unwrap();
    });
}

/// A cancellation reaches a task that comes to wait: by its waker, or by the flag that the task then looks at.
#[test]
fn a_cancellation_reaches_a_task_that_comes_to_wait() {
    loom::model(|| {
        let state = state(1);
        let parker = Parker::new(Deaf);
        let canceller = {
            let state = Arc::clone(&state);
            thread::spawn(move || state.cancel())
        };
        // As `Head::enter` and `Head::block_on` do.
        {
            let mut reach = lock(&state.reach);
            reach.blocked = Some(Arc::clone(&parker));
            if state.is_cancelled() {
                parker.cancel();
            }
        }
        canceller.join().unwrap();
        assert!(parker.cancelled());
    });
}

/// As that, by the waker that only the list has at first.
#[test]
fn a_cancellation_finds_the_waker_in_the_list() {
    loom::model(|| {
        let head = head(&Registry::new(), 1);
        let bell = Arc::<Bell>::default();
        let canceller = {
            let head = Arc::clone(&head);
            thread::spawn(move || head.state().cancel())
        };
        // SAFETY: it stays where it is, and is finished below.
        unsafe { head.enter(Some(&Waker::from(Arc::clone(&bell)))) };
        let seen = head.is_cancelled();
        canceller.join().unwrap();
        assert!(seen || bell.0.load(Ordering::SeqCst) == 1, "nobody wakes it");
        head.finish();
    });
}

#[test]
fn nothing_keeps_the_waker_of_a_task_that_is_over() {
    loom::model(|| {
        let head = head(&Registry::new(), 1);
        let bell = Arc::<Bell>::default();
        // SAFETY: it stays where it is, and is finished below.
        unsafe { head.enter(Some(&Waker::from(Arc::clone(&bell)))) };
        let other = {
            let head = Arc::clone(&head);
            thread::spawn(move || Arc::clone(head.state()))
        };
        head.finish();
        let state = other.join().unwrap();
        assert!(state.is_finished());
        assert_eq!(Arc::strong_count(&bell), 1, "the waker is kept");
    });
}

/// No stack is parked in the model.
struct Deaf;

impl crate::event::parker::Unpark for Deaf {
    fn unpark(&self) {}
}

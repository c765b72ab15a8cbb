//! Closing a circle under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib wait_graph`.

use std::sync::atomic;
use std::task::{Wake, Waker};

use loom::thread;

use super::*;
use crate::base::sync::seq_cst::by_turns;
use crate::kernel::task::{TaskList, header};

/// Notes that a task is to be polled again, unseen by the model.
#[derive(Default)]
struct Woken(atomic::AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, atomic::Ordering::SeqCst);
    }
}

/// A task of a model, which waits for nothing but what its edge is for: so each probe shows.
pub(crate) struct Stopped {
    task: Arc<Shared>,
    woken: Arc<Woken>,
    /// Says where the edge goes, in each poll. Returns whether there is anything to search for.
    say: Box<dyn Fn(&Shared) -> bool + Send>,
}

impl Stopped {
    pub(crate) fn new(task: &Arc<Shared>) -> Stopped {
        Stopped::saying(task, |_| true)
    }

    pub(crate) fn saying(task: &Arc<Shared>, say: impl Fn(&Shared) -> bool + Send + 'static) -> Stopped {
        let woken = Arc::<Woken>::default();
        task.set_waker(Waker::from(Arc::clone(&woken)));
        Stopped { task: Arc::clone(task), woken, say: Box::new(say) }
    }

    /// Does what a poll does in which the wait is not ready, once the edge is there, and at its end. Returns
    /// whether the wait is refused.
    pub(crate) fn poll(&self) -> bool {
        self.task.clear_blocked();
        self.task.set_blocked();
        if !(self.say)(&self.task) || !may_close(&self.task) {
            return false;
        }
        let mark = Mark::new(Arc::new(AtomicBool::new(false)), false);
        close(&self.task, mark).is_some()
    }

    /// Polls once if somebody has asked for it.
    pub(crate) fn poll_if_woken(&self) -> Option<bool> {
        self.woken.0.swap(false, atomic::Ordering::SeqCst).then(|| self.poll())
    }
}

/// A task of a model that waits for what another one owes, as a promise does for those who wait.
pub(crate) struct Waiting {
    stopped: Stopped,
    /// The wait is refused.
    is_told: bool,
    _edge: Edge,
}

impl Waiting {
    pub(crate) fn begin(task: &Arc<Shared>, next: &Arc<Shared>) -> Waiting {
        let mut edge = Edge::unpublished(Arc::clone(task));
        drop(edge.publish(Owner::of_task(Arc::clone(next))));
        let stopped = Stopped::new(task);
        Waiting { is_told: stopped.poll(), stopped, _edge: edge }
    }

    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Returns what [`settle`] is called with.
    pub(super) fn polled(&self) -> (&Stopped, bool) {
        (&self.stopped, self.is_told)
    }
}

/// Polls those who have been asked to be, until nobody is. Returns how many of them have been told in all.
pub(super) fn settle<'a>(all: impl IntoIterator<Item = (&'a Stopped, bool)>) -> usize {
    let mut all: Vec<_> = all.into_iter().collect();
    let mut is_over = false;
    // More rounds than there are tasks would be a search that goes on for ever.
    for _ in 0..8 {
        is_over = true;
        for (stopped, is_told) in &mut all {
            if let Some(told) = stopped.poll_if_woken() {
                is_over = false;
                *is_told |= told;
            }
        }
    }
    assert!(is_over, "they ask each other for ever");
    all.iter().filter(|(_, is_told)| *is_told).count()
}

/// Has each of `tasks` tasks wait for the next at once, and returns how many of them are told. The edges stay
/// until all have been published: nobody goes on.
fn told(tasks: usize) -> usize {
    let states: Vec<_> = (0..tasks).map(|_| Shared::never()).collect();
    let others: Vec<_> = (1..tasks)
        .map(|n| {
            let (task, next) = (Arc::clone(&states[n]), Arc::clone(&states[(n + 1) % tasks]));
            thread::spawn(move || Waiting::begin(&task, &next))
        })
        .collect();
    let mine = Waiting::begin(&states[0], &states[1 % tasks]);
    let mut all: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
    all.push(mine);
    settle(all.iter().map(Waiting::polled))
}

/// All schedules with at most so many involuntary switches.
fn check(switches: usize, model: impl Fn() + Send + Sync + Copy + 'static) {
    by_turns(|| {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(switches);
        builder.check(model);
    });
}

#[test]
fn of_two_who_close_a_circle_at_once_one_is_told() {
    check(4, || assert_eq!(told(2), 1));
}

#[test]
fn of_three_who_close_a_circle_at_once_one_is_told() {
    // More take hours; two find what there is to find between three threads.
    check(2, || assert_eq!(told(3), 1));
}

/// As two who wait for each other, by handles: neither has been stopped before, nor has a record.
#[test]
fn of_two_who_wait_for_each_others_handles_one_is_told() {
    check(3, || {
        let tasks = TaskList::new();
        let [ann, bob] = [1, 2].map(|number| header(&tasks, number));
        let wait = |who: &Header, whom: &Header| {
            // SAFETY: both headers outlive both waits.
            await_handle(who.about_to_block(), unsafe { HeaderRef::new(whom) });
            let stopped = Stopped::new(who.shared());
            let is_told = stopped.poll();
            (stopped, is_told)
        };
        let other = {
            let (ann, bob) = (Arc::clone(&ann), Arc::clone(&bob));
            thread::spawn(move || wait(&bob, &ann))
        };
        let all = [wait(&ann, &bob), other.join().unwrap()];
        assert_eq!(settle(all.iter().map(|(stopped, is_told)| (stopped, *is_told))), 1);
        leave_handle(ann.shared(), &bob);
        leave_handle(bob.shared(), &ann);
    });
}

/// As three of whom one waits for the handle of a task that is about to wait itself: that edge is not
/// counted, and who publishes it is not the next one of the last to come.
#[test]
fn of_three_who_close_a_circle_by_a_handle_one_is_told() {
    check(2, || {
        let ann = header(&TaskList::new(), 1);
        let [bob, eve] = std::array::from_fn(|_| Shared::never());
        let record = Arc::clone(ann.about_to_block());
        let waits_for_ann = {
            let (ann, eve) = (Arc::clone(&ann), Arc::clone(&eve));
            thread::spawn(move || {
                // SAFETY: the header outlives the wait.
                await_handle(&eve, unsafe { HeaderRef::new(&ann) });
                let stopped = Stopped::new(&eve);
                let is_told = stopped.poll();
                (stopped, is_told)
            })
        };
        let waits_for_eve = {
            let (bob, eve) = (Arc::clone(&bob), Arc::clone(&eve));
            thread::spawn(move || Waiting::begin(&bob, &eve))
        };
        // The last in the first schedule: the mark of its record is what it may miss.
        let waits_for_bob = thread::spawn(move || Waiting::begin(&record, &bob));
        let [bobs, anns] = [waits_for_eve, waits_for_bob].map(|edge| edge.join().unwrap());
        let (eves, is_told) = waits_for_ann.join().unwrap();
        let all = [(&eves, is_told), (&bobs.stopped, bobs.is_told), (&anns.stopped, anns.is_told)];
        assert_eq!(settle(all), 1);
        leave_handle(&eve, &ann);
    });
}

/// One task waits for another, which gives a wait up and only then waits for the first. The two edges of a
/// circle are never there at one instant.
#[test]
fn edges_of_different_times_are_no_circle() {
    loom::model(|| {
        let [ann, bob, eve] = std::array::from_fn(|_| Shared::never());
        // Bob waits for Eve, then does not, and then Eve waits for Ann.
        let before = Waiting::begin(&bob, &eve);
        let changing = {
            let (ann, eve) = (Arc::clone(&ann), Arc::clone(&eve));
            thread::spawn(move || {
                drop(before);
                Waiting::begin(&eve, &ann)
            })
        };
        let one = Waiting::begin(&ann, &bob);
        let other = changing.join().unwrap();
        let told = settle([(&one.stopped, one.is_told), (&other.stopped, other.is_told)]);
        assert_eq!(told, 0, "a circle has been seen");
    });
}

//! Closing a circle under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib wait_graph`.

use loom::thread;

use super::*;
use crate::base::sync::seq_cst::by_turns;
use crate::kernel::task::{TaskList, header};

/// Has `task` wait for what `next` owes, as a promise does for those who wait, and as the poll does
/// that leaves nothing else waiting.
pub(crate) fn waits(task: Arc<Shared>, next: Arc<Shared>) -> Result<Edge, Cycle> {
    let mut edge = Edge::unpublished(Arc::clone(&task));
    drop(edge.publish(Owner::of_task(next)));
    match stop(&task, false) {
        Some(refused) => Err(refused.into_cycle()),
        None => Ok(edge),
    }
}

/// Has each of `tasks` tasks wait for the next at once, and returns how many of them are told. The edges stay
/// until all have been published: nobody goes on.
fn told(tasks: usize) -> usize {
    let states: Vec<_> = (0..tasks).map(|_| Shared::never()).collect();
    let mut edges: Vec<_> = (1..tasks)
        .map(|n| {
            let (task, next) = (Arc::clone(&states[n]), Arc::clone(&states[(n + 1) % tasks]));
            thread::spawn(move || waits(task, next))
        })
        .collect();
    let mine = waits(Arc::clone(&states[0]), Arc::clone(&states[1 % tasks]));
    let mut all: Vec<_> = edges.drain(..).map(|edge| edge.join().unwrap()).collect();
    all.push(mine);
    all.iter().filter(|edge| edge.is_err()).count()
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
            stop(who.shared(), false).is_some()
        };
        let other = {
            let (ann, bob) = (Arc::clone(&ann), Arc::clone(&bob));
            thread::spawn(move || wait(&bob, &ann))
        };
        let told = wait(&ann, &bob);
        assert_ne!(told, other.join().unwrap());
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
                stop(&eve, false).is_some()
            })
        };
        let waits_for_eve = {
            let (bob, eve) = (Arc::clone(&bob), Arc::clone(&eve));
            thread::spawn(move || waits(bob, eve))
        };
        // The last in the first schedule: the mark of its record is what it may miss.
        let waits_for_bob = thread::spawn(move || waits(record, bob));
        let [bobs, anns] = [waits_for_eve, waits_for_bob].map(|edge| edge.join().unwrap());
        let told = [waits_for_ann.join().unwrap(), bobs.is_err(), anns.is_err()];
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
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
        let before = waits(Arc::clone(&bob), Arc::clone(&eve));
        let changing = {
            let (ann, eve) = (Arc::clone(&ann), Arc::clone(&eve));
            thread::spawn(move || {
                drop(before);
                waits(eve, ann)
            })
        };
        let one = waits(ann, bob);
        let other = changing.join().unwrap();
        assert!(one.is_ok() && other.is_ok(), "a circle has been seen");
    });
}

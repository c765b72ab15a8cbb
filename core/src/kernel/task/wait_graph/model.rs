//! Closing a circle under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib wait_graph`.

use loom::thread;

use super::*;
use crate::base::sync::seq_cst::each_way;
use crate::kernel::task::{TaskList, header};

/// Has `task` wait for what `next` owes, as a promise does for those who stand in line.
pub(crate) fn waits(task: Arc<Shared>, next: Arc<Shared>) -> Result<Edge, Cycle> {
    let mut edge = Edge::unpublished(task);
    let owner = Some(Owner::of_task(next));
    drop(edge.publish(owner.clone()));
    match edge.probe(&owner).and_then(|probe| probe.detect_cycle()) {
        Some(cycle) => Err(cycle),
        None => Ok(edge),
    }
}

/// Has each of `tasks` tasks wait for the next at once, and returns how many of them are told. The edges stay until
/// all have been published: nobody goes on.
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
    each_way(|| check_once(switches, model));
}

/// As [`check`], where a thread's operations count on each other's fences: making a record is no SeqCst operation.
fn check_once(switches: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(model);
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
    check_once(3, || {
        let tasks = TaskList::new();
        let [ann, bob] = [1, 2].map(|number| header(&tasks, number));
        let wait = |who: &Header, whom: &Header| {
            // SAFETY: both headers outlive both waits.
            await_handle(who.about_to_block(), unsafe { HeaderRef::new(whom) })
        };
        let other = {
            let (ann, bob) = (Arc::clone(&ann), Arc::clone(&bob));
            thread::spawn(move || wait(&bob, &ann).is_err())
        };
        let told = wait(&ann, &bob).is_err();
        assert_ne!(told, other.join().unwrap());
        leave_handle(ann.shared(), &bob);
        leave_handle(bob.shared(), &ann);
    });
}

/// One task waits for another, which gives a wait up and only then waits for the first. The two edges of a circle are
/// never there at one instant.
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

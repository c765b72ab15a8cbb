//! Links under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib actor`.
//!
//! The two sides of a link are never locked at once. So the models try all orders of the sections in which
//! each side is locked, and of the epochs.

use loom::thread;

use super::super::Process;
use super::super::cell::Extra;
use super::*;
use crate::actor::Overflow;

/// A process without a task, which the thread that has it is the body of.
fn process() -> Process<u32> {
    let extra = Extra::none();
    Process::new(Cell::new(8, Overflow::Wait, true, extra))
}

/// Something that one side does, to its link to the other or to itself.
#[derive(Clone, Copy)]
enum Act {
    Link,
    Unlink,
    /// Ends, and begins another life.
    LiveAgain,
}

use Act::{Link, LiveAgain, Unlink};

fn perform(me: &Process<u32>, other: &Pid, acts: &[Act]) {
    for act in acts {
        match act {
            Link => me.link(other),
            Unlink => me.unlink(other),
            LiveAgain => {
                me.cell().end(ExitReason::Normal);
                assert!(me.cell().revive(true));
            }
        }
    }
}

/// Performs acts at both ends of a link at once, and has `check` told whether each side is linked then.
fn at_once(here: &'static [Act], there: &'static [Act], check: fn([bool; 2])) {
    loom::model(move || {
        let processes = [process(), process()];
        let [a, b] = processes.each_ref().map(|process| process.cell().pid());
        processes.iter().for_each(|process| process.cell().keep_mailbox(true));
        let [first, second] = processes;
        let other = {
            let a = a.clone();
            thread::spawn(move || {
                perform(&second, &a, there);
                second
            })
        };
        perform(&first, &b, here);
        let second = other.join().unwrap();
        check([first.cell().is_linked(&b), second.cell().is_linked(&a)]);
    });
}

fn alike([first, second]: [bool; 2]) {
    assert_eq!(first, second, "one side has the link alone");
}

fn linked(sides: [bool; 2]) {
    assert_eq!(sides, [true, true], "a later link was lost");
}

#[test]
fn a_link_is_on_both_sides_or_on_neither() {
    at_once(&[Link, Unlink], &[Link], alike);
    at_once(&[Link, Unlink], &[Link, Unlink], |sides| assert_eq!(sides, [false, false]));
}

#[test]
fn a_late_unlink_touches_no_later_link() {
    at_once(&[Link, Unlink, Link], &[Link], linked);
}

#[test]
fn the_end_of_a_life_touches_no_link_of_the_next_one() {
    at_once(&[LiveAgain, Link], &[Link], linked);
    at_once(&[Link, LiveAgain], &[Link], alike);
}

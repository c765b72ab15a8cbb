//! Links between two processes whose signals take their time, at random: what two nodes do to each other.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::super::Process;
use super::super::cell::Extra;
use super::super::mailbox::Batch;
use super::*;
use crate::actor::Overflow;
use crate::actor::remote::{self, NodeTable};

/// Keeps the signals for a process, in order, until they are let through.
#[derive(Default)]
struct Wire(Mutex<VecDeque<Signal>>);

impl Endpoint for Wire {
    fn deliver(&self, _: &Pid, signal: Signal) {
        self.0.lock().unwrap().push_back(signal);
    }
}

/// One of two processes, each on a node of its own.
struct Side {
    process: Process<u32>,
    /// The pid by which the other one knows it.
    pid: Pid,
    /// The signals that are on their way to it.
    wire: Arc<Wire>,
}

impl Side {
    fn new() -> Side {
        let extra = Extra::none();
        let cell = Cell::new(8, Overflow::Wait, true, extra);
        cell.keep_mailbox(true);
        let wire = Arc::new(Wire::default());
        let pid = remote::pid(&NodeTable::new().node("node", 1), 1, Arc::clone(&wire) as Arc<dyn Endpoint>);
        Side { process: Process::new(cell), pid, wire }
    }

    /// Lets the next signal through, which is one of `other`'s. Returns false when there is none.
    fn let_through(&self, other: &Side) -> bool {
        let Some(signal) = self.wire.0.lock().unwrap().pop_front() else { return false };
        let from = other.pid.clone();
        let signal = match signal {
            Signal::Link { epoch, .. } => Signal::Link { from, epoch },
            Signal::Unlink { epoch, .. } => Signal::Unlink { from, epoch },
            Signal::Exit { reason, by, .. } => Signal::Exit { from, reason, by },
            signal => signal,
        };
        self.process.cell().pid().deliver(signal);
        true
    }

    /// Takes out of the mailbox how many exit signals have come.
    fn exits(&self) -> usize {
        let mut batch = Batch::new();
        std::iter::from_fn(|| self.process.cell().try_next(&mut batch)).count()
    }
}

/// Both sides link, unlink and live again, while what they say to each other is on its way.
#[test]
fn the_two_sides_of_a_link_agree_whatever_crosses() {
    for seed in 1..=5_000_u64 {
        let mut state = seed;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let sides = [Side::new(), Side::new()];
        let mut wants = [false, false];
        for _ in 0..below(16) {
            let one = below(2);
            let (side, other) = (&sides[one], &sides[1 - one]);
            match below(8) {
                0..=2 => drop(side.let_through(other)),
                3 => {
                    side.process.cell().end(ExitReason::Normal);
                    assert!(side.process.cell().revive(true));
                    wants[one] = false;
                }
                4 => {
                    side.process.unlink(&other.pid);
                    wants[one] = false;
                }
                _ => {
                    side.process.link(&other.pid);
                    wants[one] = true;
                }
            }
        }
        let [a, b] = &sides;
        while a.let_through(b) || b.let_through(a) {}
        let linked = [a.process.cell().is_linked(&b.pid), b.process.cell().is_linked(&a.pid)];
        assert_eq!(linked[0], linked[1], "seed {seed}: one side has the link alone");
        assert!(linked[0] || wants != [true, true], "seed {seed}: a later link was lost");
        assert!(!linked[0] || wants != [false, false], "seed {seed}: a link is left");
        b.exits();
        a.process.cell().end(ExitReason::Normal);
        while b.let_through(a) || a.let_through(b) {}
        assert_eq!(b.exits(), usize::from(linked[0]), "seed {seed}: an end is told once through a link");
        assert!(!b.process.cell().is_linked(&a.pid));
    }
}

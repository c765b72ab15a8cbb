//! All orders of what may happen at once to one link: our process and the peer's link, unlink, end; the steps
//! of a delivery are apart where the code lets go of a lock; frames keep their order, and so does what waits
//! for a full mailbox.
//!
//! A cell here is what `signal/relations.rs` of the core says of one.

use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, LazyLock};

use twoply_core::actor::Pid;
use twoply_core::actor::remote::{self, Endpoint, Epoch, NodeTable, Signal};

use super::{Links, Pair};
use crate::wire::{self, Atom};

/// Epochs, in their order, so that states that come about in different ways are equal.
static EPOCHS: LazyLock<Vec<Epoch>> = LazyLock::new(|| (0..64).map(|_| Epoch::next()).collect());

static LOCAL: LazyLock<Pid> = LazyLock::new(|| {
    struct Nowhere;
    impl Endpoint for Nowhere {
        fn deliver(&self, _: &Pid, _: Signal) {}
    }
    remote::pid(&NodeTable::new().node("n@h", 1), 1, Arc::new(Nowhere))
});

static PAIR: LazyLock<Pair> =
    LazyLock::new(|| (1, wire::Pid { node: Atom::known("m@h"), id: 1, serial: 0, creation: 1 }));

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Frame {
    Link,
    Unlink(u64),
    Confirm(u64),
    Exit,
}

/// The frames that are under way to one side, and those that it has sent.
struct Wires<'a> {
    incoming: &'a mut VecDeque<Frame>,
    outgoing: &'a mut VecDeque<Frame>,
}

/// Something that a program does with a process, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Link,
    Unlink,
    End,
    /// Begins another life, with the same pid.
    LiveAgain,
}

const ACTS: &[Act] = &[Act::Link, Act::Unlink, Act::End];

fn possible(acts: &[Act], alive: bool) -> impl Iterator<Item = Act> {
    acts.iter().copied().filter(move |act| alive == (*act != Act::LiveAgain))
}

/// One side of a link.
trait Side: Clone + Hash {
    type Move: Copy + Debug;

    /// Returns what may happen next.
    fn moves(&self, has_incoming: bool) -> Vec<Self::Move>;

    fn perform(&mut self, step: Self::Move, wires: &mut Wires<'_>);

    /// Returns true if nothing happens unless the program or the wire does something.
    fn is_quiet(&self) -> bool;

    /// Returns whether there is a link. Panics where two places differ.
    fn is_linked(&self) -> bool;

    /// Returns true if the process lives, and has linked since it has last unlinked.
    fn wants(&self) -> bool;
}

/// A signal between a process and the table, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    Link(Epoch),
    Unlink(Epoch),
    Exit(Epoch),
}

/// The next step of a thread, under one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Notes the process as one that others may name, and passes its link on.
    Note(Epoch),
    /// Passes a signal of the process on to the table.
    Pass(Told),
    /// Has the process told, behind what waits for it.
    Tell(Told),
    /// The process is told.
    Handle(Told),
    /// Looks whether the process still has the link of which the table has been told.
    LookAtCell(Epoch),
    /// Looks whether the table still has the link of which the process has been told.
    LookAtTable(Epoch),
    /// The process can be named no more.
    Forget,
    /// The process tells of its end.
    Over,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Act(Act),
    /// The task of the process goes on.
    Task,
    Reader,
    /// A frame comes in.
    Read,
    /// A message finds the mailbox full, and all that comes waits behind it.
    Fill,
    /// All that waits goes on.
    Drain,
}

/// A process of ours with its connection.
#[derive(Clone, Hash)]
struct Ours {
    /// The acts that it may do, and how many.
    may: &'static [Act],
    acts: u8,
    /// The number of times that a message may find the mailbox full.
    fills: u8,
    alive: bool,
    known: bool,
    wants: bool,
    cell: Option<Epoch>,
    links: Links,
    /// True while what comes for the process waits behind a message.
    draining: bool,
    queue: VecDeque<Told>,
    task: Vec<Step>,
    reader: Vec<Step>,
    drainer: Vec<Step>,
    epochs: usize,
    ids: u64,
}

impl Ours {
    fn new(may: &'static [Act], acts: u8, fills: u8) -> Ours {
        Ours {
            may,
            acts,
            fills,
            alive: true,
            known: true,
            wants: false,
            cell: None,
            links: Links::default(),
            draining: false,
            queue: VecDeque::new(),
            task: Vec::new(),
            reader: Vec::new(),
            drainer: Vec::new(),
            epochs: 0,
            ids: 0,
        }
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        EPOCHS[self.epochs]
    }

    fn act(&mut self, act: Act) {
        self.acts -= 1;
        match act {
            Act::Link => {
                let epoch = self.next_epoch();
                self.cell = self.cell.max(Some(epoch));
                self.wants = true;
                self.task = vec![Step::LookAtCell(epoch), Step::Note(epoch)];
            }
            Act::Unlink => {
                self.wants = false;
                self.task.extend(self.cell.take().map(|epoch| Step::Pass(Told::Unlink(epoch))));
            }
            Act::End => {
                (self.alive, self.wants) = (false, false);
                self.task = vec![Step::Over, Step::Forget];
            }
            Act::LiveAgain => self.alive = true,
        }
    }

    fn read(&mut self, wires: &mut Wires<'_>) {
        match wires.incoming.pop_front().unwrap() {
            Frame::Link => {
                if !self.known {
                    self.links.peer_ends(&PAIR);
                    return wires.outgoing.push_back(Frame::Exit);
                }
                let epoch = self.next_epoch();
                if self.links.peer_links(PAIR.clone(), &LOCAL, epoch) {
                    self.reader = vec![Step::LookAtTable(epoch), Step::Tell(Told::Link(epoch))];
                }
            }
            Frame::Unlink(id) => {
                wires.outgoing.push_back(Frame::Confirm(id));
                let link = self.links.peer_ends(&PAIR);
                self.reader.extend(link.map(|link| Step::Tell(Told::Unlink(link.epoch))));
            }
            Frame::Confirm(id) => self.links.confirm(&PAIR, id),
            Frame::Exit => {
                let link = self.links.peer_ends(&PAIR);
                self.reader.extend(link.map(|link| Step::Tell(Told::Exit(link.epoch))));
            }
        }
    }

    /// Does one step of a thread, and returns what it has to do next because of that, the last first.
    fn step(&mut self, step: Step, out: &mut VecDeque<Frame>) -> Vec<Step> {
        match step {
            Step::Note(epoch) => {
                self.known |= self.alive;
                return vec![Step::Pass(Told::Link(epoch))];
            }
            Step::Pass(Told::Link(epoch)) => {
                if self.links.link(PAIR.clone(), &LOCAL, epoch) {
                    out.push_back(Frame::Link);
                }
            }
            Step::Pass(Told::Unlink(epoch)) => {
                if self.links.unlink(&PAIR, epoch, Some(self.ids)).is_some() {
                    out.push_back(Frame::Unlink(self.ids));
                    self.ids += 1;
                    return vec![Step::Tell(Told::Unlink(epoch))];
                }
            }
            Step::Pass(Told::Exit(epoch)) => {
                if self.links.exit(&PAIR, epoch).is_some() {
                    out.push_back(Frame::Exit);
                    return vec![Step::Tell(Told::Unlink(epoch))];
                }
            }
            Step::Tell(told) if self.draining => self.queue.push_back(told),
            Step::Tell(told) => return vec![Step::Handle(told)],
            Step::Handle(Told::Link(epoch)) if self.alive => self.cell = self.cell.max(Some(epoch)),
            Step::Handle(Told::Link(epoch)) => return vec![Step::Pass(Told::Exit(epoch))],
            Step::Handle(Told::Unlink(epoch) | Told::Exit(epoch)) => {
                if self.cell.is_some_and(|own| own <= epoch) {
                    self.cell = None;
                    return vec![Step::Pass(Told::Unlink(epoch))];
                }
            }
            Step::LookAtCell(epoch) if self.cell.is_none() => return vec![Step::Pass(Told::Unlink(epoch))],
            Step::LookAtTable(epoch) if !self.links.has(&PAIR, epoch) => {
                return vec![Step::Tell(Told::Unlink(epoch))];
            }
            Step::LookAtCell(_) | Step::LookAtTable(_) => {}
            Step::Forget => self.known = false,
            Step::Over => {
                let link = self.cell.take();
                return link.map(|epoch| Step::Pass(Told::Exit(epoch))).into_iter().collect();
            }
        }
        Vec::new()
    }
}

impl Side for Ours {
    type Move = Move;

    fn moves(&self, has_incoming: bool) -> Vec<Move> {
        let mut moves = Vec::new();
        if !self.task.is_empty() {
            moves.push(Move::Task);
        } else if self.acts > 0 {
            moves.extend(possible(self.may, self.alive).map(Move::Act));
        }
        if !self.reader.is_empty() {
            moves.push(Move::Reader);
        } else if has_incoming {
            moves.push(Move::Read);
        }
        if self.draining {
            moves.push(Move::Drain);
        } else if self.fills > 0 {
            moves.push(Move::Fill);
        }
        moves
    }

    fn perform(&mut self, step: Move, wires: &mut Wires<'_>) {
        match step {
            Move::Act(act) => self.act(act),
            Move::Read => self.read(wires),
            Move::Task => {
                let step = self.task.pop().unwrap();
                let next = self.step(step, wires.outgoing);
                self.task.extend(next);
            }
            Move::Reader => {
                let step = self.reader.pop().unwrap();
                let next = self.step(step, wires.outgoing);
                self.reader.extend(next);
            }
            Move::Fill => {
                self.fills -= 1;
                self.draining = true;
            }
            Move::Drain => {
                let step = self.drainer.pop().or_else(|| self.queue.pop_front().map(Step::Handle));
                match step {
                    Some(step) => {
                        let next = self.step(step, wires.outgoing);
                        self.drainer.extend(next);
                    }
                    None => self.draining = false,
                }
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.task.is_empty() && self.reader.is_empty() && !self.draining
    }

    fn is_linked(&self) -> bool {
        let here = self.links.links.get(&PAIR).map(|link| link.epoch);
        assert_eq!(self.cell, here, "the process and the table differ");
        assert!(self.links.unlinking.is_empty(), "the peer has confirmed all");
        self.cell.is_some()
    }

    fn wants(&self) -> bool {
        self.wants
    }
}

/// A process of an Erlang node, as the documents of the link protocol say it.
#[derive(Clone, Hash)]
struct Erlangs {
    may: &'static [Act],
    acts: u8,
    alive: bool,
    linked: bool,
    wants: bool,
    unlinking: Option<u64>,
    ids: u64,
}

impl Erlangs {
    fn new(may: &'static [Act], acts: u8) -> Erlangs {
        Erlangs { may, acts, alive: true, linked: false, wants: false, unlinking: None, ids: 0 }
    }
}

impl Side for Erlangs {
    /// `None` is that it reads a frame.
    type Move = Option<Act>;

    fn moves(&self, has_incoming: bool) -> Vec<Option<Act>> {
        let mut moves = Vec::new();
        if self.acts > 0 {
            moves.extend(possible(self.may, self.alive).map(Some));
        }
        if has_incoming {
            moves.push(None);
        }
        moves
    }

    fn perform(&mut self, act: Option<Act>, wires: &mut Wires<'_>) {
        let Some(act) = act else {
            return match wires.incoming.pop_front().unwrap() {
                Frame::Link if !self.alive => wires.outgoing.push_back(Frame::Exit),
                Frame::Link => self.linked |= self.unlinking.is_none(),
                Frame::Unlink(id) => {
                    self.linked = false;
                    wires.outgoing.push_back(Frame::Confirm(id));
                }
                Frame::Confirm(id) if self.unlinking == Some(id) => self.unlinking = None,
                Frame::Confirm(_) => {}
                Frame::Exit => self.linked = false,
            };
        };
        self.acts -= 1;
        match act {
            Act::Link => {
                self.wants = true;
                if !std::mem::replace(&mut self.linked, true) {
                    self.unlinking = None;
                    wires.outgoing.push_back(Frame::Link);
                }
            }
            Act::Unlink => {
                self.wants = false;
                if std::mem::take(&mut self.linked) {
                    self.unlinking = Some(self.ids);
                    wires.outgoing.push_back(Frame::Unlink(self.ids));
                    self.ids += 1;
                }
            }
            Act::End | Act::LiveAgain => {
                (self.alive, self.wants, self.unlinking) = (false, false, None);
                if std::mem::take(&mut self.linked) {
                    wires.outgoing.push_back(Frame::Exit);
                }
            }
        }
    }

    fn is_quiet(&self) -> bool {
        true
    }

    fn is_linked(&self) -> bool {
        self.linked
    }

    fn wants(&self) -> bool {
        self.wants
    }
}

#[derive(Clone, Hash)]
struct World<A, B> {
    here: A,
    there: B,
    to_here: VecDeque<Frame>,
    to_there: VecDeque<Frame>,
}

#[derive(Clone, Copy, Debug)]
enum Either<A, B> {
    Here(A),
    There(B),
}

impl<A: Side, B: Side> World<A, B> {
    fn new(here: A, there: B) -> World<A, B> {
        World { here, there, to_here: VecDeque::new(), to_there: VecDeque::new() }
    }

    fn moves(&self) -> Vec<Either<A::Move, B::Move>> {
        let here = self.here.moves(!self.to_here.is_empty()).into_iter().map(Either::Here);
        here.chain(self.there.moves(!self.to_there.is_empty()).into_iter().map(Either::There)).collect()
    }

    fn perform(&mut self, step: Either<A::Move, B::Move>) {
        let World { here, there, to_here, to_there } = self;
        match step {
            Either::Here(step) => here.perform(step, &mut Wires { incoming: to_here, outgoing: to_there }),
            Either::There(step) => there.perform(step, &mut Wires { incoming: to_there, outgoing: to_here }),
        }
    }

    /// Holds what is to hold when all is quiet. With `last`, no link is lost that was made last.
    fn check(&self, last: bool) {
        let World { here, there, to_here, to_there } = self;
        if here.is_quiet() && there.is_quiet() && to_here.is_empty() && to_there.is_empty() {
            let linked = here.is_linked();
            assert_eq!(linked, there.is_linked(), "one side has the link alone");
            assert!(!last || linked || !here.wants() || !there.wants(), "a later link was lost");
        }
    }
}

/// Shows what has led to a failure.
struct Path<M: Debug>(Vec<M>);

impl<M: Debug> Drop for Path<M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", self.0);
        }
    }
}

/// Goes through all states that can be reached.
fn explore<A: Side, B: Side>(here: A, there: B, last: bool) {
    let world = World::new(here, there);
    let (hasher, mut seen) = (RandomState::new(), HashSet::new());
    let mut path = Path(Vec::new());
    let moves = world.moves();
    let mut stack = vec![(world, moves)];
    while let Some((world, moves)) = stack.last_mut() {
        let Some(step) = moves.pop() else {
            stack.pop();
            path.0.pop();
            continue;
        };
        let mut next = world.clone();
        path.0.push(step);
        next.perform(step);
        if seen.insert(hasher.hash_one(&next)) {
            next.check(last);
            let moves = next.moves();
            stack.push((next, moves));
        } else {
            path.0.pop();
        }
    }
}

#[test]
fn both_sides_have_the_link_or_neither_has() {
    explore(Ours::new(ACTS, 3, 1), Erlangs::new(ACTS, 2), true);
}

/// Here a link of ours may be on its way to the table when the peer unlinks and links again: it is ended with
/// the peer's first, and the peer's second with it. Both sides know that.
#[test]
fn both_sides_agree_whatever_the_peer_does_meanwhile() {
    explore(Ours::new(ACTS, 2, 1), Erlangs::new(ACTS, 3), false);
}

#[test]
fn two_nodes_of_ours_agree() {
    explore(Ours::new(ACTS, 2, 0), Ours::new(ACTS, 2, 0), true);
    explore(Ours::new(ACTS, 2, 1), Ours::new(ACTS, 1, 0), true);
}

#[test]
fn a_late_end_touches_no_link_of_the_next_life() {
    const LIVES: &[Act] = &[Act::Link, Act::Unlink, Act::End, Act::LiveAgain];
    explore(Ours::new(LIVES, 5, 1), Erlangs::new(&[Act::Unlink], 2), true);
}

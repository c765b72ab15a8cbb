//! A peer that knows the cookie and then says whatever it likes: frames that make sense in an order that
//! makes none, and frames of which some bytes are others. The node goes on, and nothing of it is left.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::actor::{Event, Process, ProcessRef};
use twoply_node::wire::{
    Atom, Control, ExitBy, Flags, Own, Pid, Reference, SpawnRequest, Target, Term, ToTerm, write_frame,
};
use twoply_node::{Builder, Node};
use twoply_tests::{Systems, eventually, laws};

use self::scripted::{COOKIE, SOON, Scripted};

// Not each suite needs all of it.
#[allow(dead_code)]
#[path = "node_faults/scripted.rs"]
mod scripted;

laws! { everywhere { whatever_a_peer_says_the_node_goes_on } }

/// How long the peer goes on.
const WHILE: Duration = Duration::from_secs(6);

fn node(on: &Systems) -> Node {
    let builder: Builder = Node::builder("ours@localhost").cookie(COOKIE).without_epmd();
    on.here().spawn(builder.start()).wait().unwrap().unwrap()
}

/// Starts a process that takes everything, links and monitors what it is told, and lives on.
fn hardy(on: &Systems, node: &Node) -> ProcessRef<Term> {
    let node = node.clone();
    let body = async move |mut me: Process<Term>| {
        loop {
            if let Event::Message(Term::Pid(pid)) = me.receive().await
                && let Some(remote) = node.connected("peer@localhost")
            {
                let there = remote.pid(&pid);
                me.link(&there);
                let monitor = me.monitor(&there);
                // Those across the line end with it.
                if there.is_local() {
                    me.unlink(&there);
                    me.demonitor(monitor);
                }
                let _ = remote.process_of::<u8>(&pid).try_send(1);
            }
        }
    };
    twoply_tests::builder(on).trap_exit(true).capacity(4).spawn(body).unwrap()
}

/// What the peer chooses from.
struct Choice<'a> {
    random: fastrand::Rng,
    ours: &'a [Pid],
}

impl Choice<'_> {
    fn pid(&mut self) -> Pid {
        let theirs = Pid { node: Atom::new("peer@localhost").unwrap(), id: 1, serial: 0, creation: 5 };
        match self.random.u8(..8) {
            0..4 => self.ours[self.random.usize(..self.ours.len())].clone(),
            4..6 => Pid { id: self.random.u32(..3), ..theirs },
            6 => Pid { creation: self.random.u32(1..), ..self.ours[0].clone() },
            _ => Pid { node: Atom::new(format!("n{}@h", self.random.u8(..))).unwrap(), ..theirs },
        }
    }

    fn target(&mut self) -> Target {
        match self.random.u8(..4) {
            0 => {
                let name = ["hardy", "net_kernel", "rex", "nobody", ""][self.random.usize(..5)];
                Target::Name(Atom::new(name).unwrap())
            }
            1 => Target::Alias(self.reference()),
            _ => Target::Pid(self.pid()),
        }
    }

    fn reference(&mut self) -> Reference {
        let node = if self.random.bool() { "peer@localhost" } else { "ours@localhost" };
        let words = [self.random.u32(..3), 0, 0];
        Reference::new(Atom::new(node).unwrap(), self.ours[0].creation, &words).unwrap()
    }

    fn payload(&mut self) -> Term {
        let (a, b) = (Term::from(self.pid()), Term::from(self.reference()));
        match self.random.u8(..6) {
            0 => a,
            1 => Term::Tuple(vec![b, Term::from(7)]),
            2 => {
                let from = Term::Tuple(vec![a, b]);
                Term::Tuple(vec![Term::atom("$gen_call"), from, Term::atom("what")])
            }
            3 => Term::Tuple(vec![Term::atom("is_auth"), a]),
            4 => Term::Tuple(vec![Term::atom("shutdown"), b]),
            _ => Term::List(vec![a; self.random.usize(..20)]),
        }
    }

    fn control(&mut self) -> Control {
        let (from, to, id) = (self.pid(), self.pid(), self.random.u64(1..4));
        match self.random.u8(..12) {
            0 => Control::Link { from, to },
            1 => Control::Unlink { id: self.random.bool().then_some(id), from, to },
            2 => Control::UnlinkAck { id, from, to },
            3 => Control::Exit { from, to, by: ExitBy::Link, reason: None },
            // Only what does not end it: a process that traps is told.
            4 => Control::Exit { from, to, by: ExitBy::Request, reason: Some(Term::atom("why")) },
            5 => Control::Monitor { from, to: self.target(), reference: self.reference() },
            6 => Control::Demonitor { from, to: self.target(), reference: self.reference() },
            7 => Control::Down { from: self.target(), to, reference: self.reference(), reason: None },
            8 => Control::GroupLeader { from, to },
            9 => {
                let function = (Atom::new("m").unwrap(), Atom::new("f").unwrap(), self.random.u8(..4));
                let (reference, options) = (self.reference(), Term::List(Vec::new()));
                let group_leader = from.clone();
                let request = SpawnRequest { reference, from, group_leader, function, options };
                Control::SpawnRequest(Box::new(request))
            }
            _ => Control::Send { from: Some(from), to: self.target(), urgent: self.random.bool() },
        }
    }

    /// Returns a frame, of which now and then some bytes are others.
    fn frame(&mut self, agreed: Flags) -> Vec<u8> {
        let (control, payload) = (self.control(), self.payload());
        let mut frame = Vec::new();
        write_frame(agreed, &control, &mut frame, |out| payload.to_term(out)).unwrap();
        if self.random.u8(..8) == 0 {
            for _ in 0..self.random.usize(1..4) {
                // The length stays, or the rest would only be waited for.
                let at = self.random.usize(4..frame.len());
                frame[at] = self.random.u8(..);
            }
        }
        frame
    }
}

fn whatever_a_peer_says_the_node_goes_on(on: &Systems) {
    let node = node(on);
    let processes = [hardy(on, &node), hardy(on, &node)];
    node.register("hardy", &processes[0]).unwrap();
    let ours: Vec<Pid> = processes.iter().map(|process| node.expose(process).unwrap()).collect();
    let seed = fastrand::u64(..);
    let mut choice = Choice { random: fastrand::Rng::with_seed(seed), ours: &ours };
    let begun = Instant::now();
    let mut connections = 0;
    while begun.elapsed() < WHILE {
        connections += 1;
        // Each flag that need not be there may be missing.
        let own = Scripted::own("peer@localhost");
        let dropped = Flags::from_bits(choice.random.u64(..)) - Flags::MANDATORY;
        let flags = if choice.random.bool() { own.flags } else { (own.flags - dropped) | Flags::DIGEST_25 };
        let mut peer = Scripted::connect_as(&node, Own { flags, ..own });
        let mut answers = peer.stream.try_clone().unwrap();
        // What the node answers is read, so that it has room for it.
        let reading = std::thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while answers.read(&mut bytes).is_ok_and(|read| read > 0) {}
        });
        for _ in 0..choice.random.usize(1..400) {
            let frame = choice.frame(peer.peer.agreed);
            match peer.stream.write_all(&frame) {
                Ok(()) => {}
                // It has broken the protocol.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    break;
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        let _ = peer.stream.shutdown(std::net::Shutdown::Both);
        reading.join().unwrap();
    }
    assert!(connections > 1, "seed {seed}");
    eventually("it is alone", || node.nodes().is_empty());
    for process in &processes {
        let left = || process.info().map(|info| (info.links, info.monitored_by)).unwrap_or_default();
        let begun = Instant::now();
        while left() != Default::default() {
            assert!(begun.elapsed() < SOON, "seed {seed}: left: {:?}", left());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // It takes and sends as before.
    let mut peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    node.connected("peer@localhost").unwrap().process::<u32>("anybody").send(7).wait().unwrap();
    peer.stream.set_read_timeout(Some(SOON)).unwrap();
    // What the processes still had to say to the last peer may come before.
    while peer.hear_message::<u32>() != 7 {}
    for process in &processes {
        process.exit(twoply_core::actor::ExitReason::Kill);
        process.ended().wait();
    }
    assert_eq!(node.exposed(), 0, "seed {seed}");
}

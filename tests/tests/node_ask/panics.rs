//! Code of the program's that panics at what comes from another node: who has asked is told, and each message
//! is counted once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use twoply_core::Wait;
use twoply_core::actor::{ExitReason, Process};
use twoply_core::promise::{Failure, Resolver};
use twoply_node::wire::{Atom, DecodeError, Decoder, FromTerm, Term, ToTerm};
use twoply_node::{CallError, Node};
use twoply_tests::Systems;

use super::way::ours;

/// What panics as it is read.
#[derive(Debug, PartialEq)]
struct Trap;

impl FromTerm<'_> for Trap {
    fn from_term(_: &mut Decoder<'_>) -> Result<Trap, DecodeError> {
        panic!("it panics, as this test wants")
    }
}

#[derive(FromTerm)]
#[term(crate = twoply_node)]
enum Question {
    #[term(call)]
    Price(Resolver<u32>),
}

/// As [`Question`], with an answer that panics.
#[derive(ToTerm)]
#[term(crate = twoply_node)]
enum Trapped {
    #[term(call)]
    Price(Resolver<Trap>),
}

/// `{system, From, Request}`.
#[derive(ToTerm)]
#[term(crate = twoply_node, tuple)]
struct System(Atom, Resolver<Term>, Atom);

pub(crate) fn who_asks_what_panics_is_told(on: &Systems) {
    let [node, asker] = ["ours@localhost", "asker@localhost"].map(|name| ours(on, Node::builder(name), None));
    asker.add_peer(node.name(), node.local_addr());
    let trap = async |mut me: Process<Trap>| drop(me.receive().await);
    let trap = twoply_tests::builder(on).spawn(trap).unwrap();
    node.register("trap", &trap).unwrap();
    let server = async |mut me: Process<Question>| {
        while let Some(Question::Price(answer)) = me.receive().await.message() {
            let _ = answer.resolve(7);
        }
    };
    let server = twoply_tests::builder(on).spawn(server).unwrap();
    node.register("server", &server).unwrap();
    let there = asker.remote("ours@localhost");
    let atom = |text: &str| Atom::new(text).unwrap();
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);

    for (times, hooked) in [(1, false), (2, true)] {
        let answer = there.call::<Term>("trap", &7u32).wait().unwrap().to_string();
        assert_eq!(answer, "{error,{undecodable,<<\"it panics, as this test wants\">>}}");
        let request = there.process::<System>("trap");
        let request = request.ask(|answer| System(atom("system"), answer, atom("get_state"))).wait();
        assert_eq!(request.unwrap().to_string(), "{error,not_supported}");
        assert_eq!((node.dropped(), told.load(Relaxed)), ((0, times), u32::from(hooked)));
        let count = Arc::clone(&count);
        node.on_undecodable(move |_, _, _| {
            count.fetch_add(1, Relaxed);
            panic!("a hook panics, as this test wants");
        });
        node.on_system(|_, _| panic!("another one does"));
    }
    // So is one that has panicked at the answer.
    let answer = there.call::<Trap>("server", &atom("price")).wait();
    assert!(matches!(&answer, Err(CallError::Answer(_))), "{answer:?}");
    let answer = there.process::<Trapped>("server").ask(Trapped::Price).wait();
    assert!(matches!(&answer, Err(Failure::Broken)), "{answer:?}");
    assert_eq!((node.dropped(), asker.dropped()), ((0, 2), (0, 1)));
    trap.exit(ExitReason::Kill);
    server.exit(ExitReason::Kill);
}

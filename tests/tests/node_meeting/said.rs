//! The laws of what a node says of peers that do something wrong.

use std::process::Output;
use std::time::Instant;

use twoply_core::Wait;
use twoply_core::actor::{ExitReason, Process};
use twoply_core::io::stderr;
use twoply_core::promise::Resolver;
use twoply_node::wire::{Atom, Control, Pid, Target, Term, ToTerm};
use twoply_tests::{Systems, eventually};

use super::scripted::Scripted;
use super::{call, node};

const TIMES: u64 = 20;

pub(crate) fn what_others_do_wrong_is_said_once_a_second(on: &Systems) {
    let begun = Instant::now();
    let output = on.in_child(|| {
        let node = node(on, "ours@localhost");
        let till = async |mut me: Process<Vec<u32>>| while me.receive().await.message().is_some() {};
        let till = twoply_tests::builder(on).spawn(till).unwrap();
        node.register("till", &till).unwrap();
        let mut peer = Scripted::connect(&node, "peer@localhost");
        let control = peer.send_to("till");
        for _ in 0..TIMES {
            call(&node, "stranger@localhost", "guessed");
            peer.say(&control, &(vec![7u32], "no number"));
            peer.say(&control, &vec!["no number"]);
        }
        eventually("all are counted", || node.refused() == TIMES && node.dropped() == (0, 2 * TIMES));
        stderr().flush().wait().unwrap();
        till.exit(ExitReason::Kill);
    });
    let wrong = "refuses \"stranger@localhost\": the cookies differ";
    check(&output, begun, [wrong, " does not understand a message: "]);
}

/// Checks that a child has said each line, once a second at most.
fn check<const N: usize>(output: &Output, begun: Instant, lines: [&str; N]) {
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{said}");
    let most = begun.elapsed().as_secs() as usize + 2;
    for line in lines {
        let of_it =
            said.lines().filter(|said| said.starts_with("twoply: ours@localhost") && said.contains(line));
        let times = of_it.count();
        assert!((1..=most).contains(&times), "{line:?} {times} times in {most} seconds: {said}");
    }
}

/// A question that is answered by a number.
#[derive(ToTerm)]
#[term(crate = twoply_node)]
enum Question {
    #[term(call)]
    Price(Resolver<u32>),
}

pub(crate) fn what_is_no_answer_or_request_is_said_once_a_second(on: &Systems) {
    let begun = Instant::now();
    let output = on.in_child(|| {
        let node = node(on, "ours@localhost");
        node.on_undecodable(|_, _, _| panic!("a hook panics, as this test wants"));
        let till = async |mut me: Process<u32>| while me.receive().await.message().is_some() {};
        let till = twoply_tests::builder(on).spawn(till).unwrap();
        node.register("till", &till).unwrap();
        let mut peer = Scripted::connect(&node, "peer@localhost");
        let from = Some(peer.pid(1));
        let to = |to| Control::Send { from: from.clone(), to, urgent: false };
        let named = |name: &str| to(Target::Name(Atom::new(name).unwrap()));
        eventually("the node has it, too", || node.connected("peer@localhost").is_some());
        let there = node.connected("peer@localhost").unwrap().process::<Question>("till");
        for _ in 0..TIMES {
            peer.say(&named("till"), &"no number");
            peer.say(&named("rex"), &"no request");
            let answer = there.try_ask(Question::Price).map_err(drop).unwrap();
            let (_, (asker, tag), _) = peer.hear_message::<(Atom, (Pid, Term), Atom)>();
            peer.say(&to(Target::Pid(asker)), &(tag, "no number"));
            assert!(answer.wait().is_err());
        }
        eventually("all are counted", || node.dropped() == (0, 3 * TIMES));
        stderr().flush().wait().unwrap();
        till.exit(ExitReason::Kill);
    });
    check(
        &output,
        begun,
        [
            "a message of peer@localhost's makes its reader panic: a hook panics",
            "rex does not understand a message: ",
            "an answer is not what was expected: ",
        ],
    );
}

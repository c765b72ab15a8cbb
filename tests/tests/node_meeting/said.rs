//! The law of what a node says of peers that do something wrong.

use std::time::Instant;

use twoply_core::Wait;
use twoply_core::actor::{ExitReason, Process};
use twoply_core::io::stderr;
use twoply_node::wire::{Atom, Control, Target};
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
        let to = Target::Name(Atom::new("till").unwrap());
        let control = Control::Send { from: Some(peer.pid(1)), to, urgent: false };
        for _ in 0..TIMES {
            call(&node, "stranger@localhost", "guessed");
            peer.say(&control, &(vec![7u32], "no number"));
            peer.say(&control, &vec!["no number"]);
        }
        eventually("all are counted", || node.refused() == TIMES && node.dropped() == (0, 2 * TIMES));
        stderr().flush().wait().unwrap();
        till.exit(ExitReason::Kill);
    });
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{said}");
    let most = begun.elapsed().as_secs() as usize + 2;
    let wrong = "ours@localhost refuses \"stranger@localhost\": the cookies differ";
    for line in [wrong, " does not understand a message: "] {
        let lines = said.matches(line).count();
        assert!((1..=most).contains(&lines), "{lines} times in {most} seconds: {said}");
    }
}

//! Processes that a message names, which are not of the node that has sent it.

use twoply_core::actor::{ExitReason, Process, ProcessRef};
use twoply_node::Node;
use twoply_node::wire::{Control, Target};
use twoply_tests::{Systems, eventually};

use super::scripted::Scripted;
use super::way::ours;

pub(crate) fn a_process_of_a_third_node_is_written_to_there(on: &Systems) {
    let node = ours(on, Node::builder("ours@localhost"), None);
    let writer = twoply_tests::builder(on).spawn(async move |mut me: Process<ProcessRef<u32>>| {
        while let Some(to) = me.receive().await.message() {
            to.send(7).await.unwrap();
        }
    });
    let writer = writer.unwrap();
    node.register("writer", &writer).unwrap();
    let [mut peer, mut third] = ["peer", "third"]
        .map(|name| Scripted::connect_as(&node, Scripted::own(&format!("{name}@localhost"))));
    eventually("both are connected", || node.nodes().len() == 2);
    peer.say(&peer.send_to("writer"), &third.pid(2));
    let Control::Send { to, .. } = third.hear() else { panic!("a message comes") };
    assert_eq!(to, Target::Pid(third.pid(2)));
    writer.exit(ExitReason::Kill);
}

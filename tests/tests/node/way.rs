//! How the nodes of these laws meet: by connections without TLS. Those that are inside of it hold to the same
//! laws, in the package of integrations.

use twoply_node::{Builder, Node};
use twoply_tests::{ErlangNode, Systems, start_node};

const COOKIE: &str = "biscuit";

/// Starts an Erlang node with this ticktime, unless there is none.
pub(crate) fn erlang(tick_seconds: u32) -> Option<ErlangNode> {
    ErlangNode::start(COOKIE, tick_seconds)
}

/// Starts a node of ours, with the port mapper of an Erlang node or with none.
pub(crate) fn ours(on: &Systems, builder: Builder, erlang: Option<&ErlangNode>) -> Node {
    start_node(on, builder.cookie(COOKIE), erlang)
}

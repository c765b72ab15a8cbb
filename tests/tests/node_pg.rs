//! Process groups of a scope of Erlang's `pg`, with an Erlang node and among nodes of ours.

use twoply_tests::laws;

use self::scopes::{
    a_scope_among_nodes_of_ours, a_scope_connects_nobody, a_scope_that_erlang_starts_later_is_found,
    erlang_and_this_node_know_each_others_members,
};

#[path = "node_pg/scopes.rs"]
mod scopes;
#[path = "node/way.rs"]
mod way;

laws! {
    everywhere {
        erlang_and_this_node_know_each_others_members,
        a_scope_that_erlang_starts_later_is_found,
        a_scope_among_nodes_of_ours,
        a_scope_connects_nobody,
    }
}

//! Functions of an Erlang node that we call and start processes of, and functions of ours that it does.

use twoply_tests::laws;

use self::functions::{
    a_call_that_has_no_result_says_why, a_process_is_linked_from_its_first_moment,
    a_process_is_monitored_from_its_first_moment, erlang_calls_functions_of_ours,
    erlang_starts_processes_of_ours, the_names_of_the_system_answer, we_call_functions_of_erlang,
    we_start_processes_of_erlang,
};
use self::observer::{
    an_observer_lists_many_processes_some_at_a_time, an_observer_lists_what_is_exposed,
    no_page_of_an_observer_ends_it,
};
use self::spawns::{
    a_parent_may_have_ended_before_the_answer, a_peer_may_say_that_it_has_tied_nothing,
    a_peer_that_starts_no_processes_is_not_asked, a_start_that_is_lost_is_told_once,
};
use self::third::a_process_of_a_third_node_is_written_to_there;

#[path = "node_rpc/functions.rs"]
mod functions;
#[path = "node_rpc/observer.rs"]
mod observer;
// Not each suite needs all of it.
#[allow(dead_code)]
#[path = "node_faults/scripted.rs"]
mod scripted;
#[path = "node_rpc/spawns.rs"]
mod spawns;
#[path = "node_rpc/third.rs"]
mod third;
#[path = "node/way.rs"]
mod way;

laws! {
    everywhere {
        we_call_functions_of_erlang,
        a_call_that_has_no_result_says_why,
        erlang_calls_functions_of_ours,
        erlang_starts_processes_of_ours,
        we_start_processes_of_erlang,
        a_process_is_linked_from_its_first_moment,
        a_process_is_monitored_from_its_first_moment,
        a_parent_may_have_ended_before_the_answer,
        a_peer_may_say_that_it_has_tied_nothing,
        a_start_that_is_lost_is_told_once,
        a_peer_that_starts_no_processes_is_not_asked,
        the_names_of_the_system_answer,
        an_observer_lists_what_is_exposed,
        no_page_of_an_observer_ends_it,
        a_process_of_a_third_node_is_written_to_there,
    }
    two_workers {
        an_observer_lists_many_processes_some_at_a_time,
    }
}

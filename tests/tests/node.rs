//! A node of ours and one of Erlang's, on every backend: messages, questions, links, monitors, ends.

use twoply_tests::laws;

use self::relations::{
    a_question_is_answered_as_by_gen_server, after_a_hundred_thousand_links_both_sides_agree,
    after_a_storm_of_links_both_sides_agree, atoms_are_the_same_at_the_other_node,
    erlang_asks_as_it_asks_a_gen_server, links_end_both_sides, messages_go_both_ways,
    monitors_are_told_of_both_sides, the_end_of_a_connection_is_told_once, two_nodes_meet_and_part,
    what_is_not_understood_is_counted_and_answered,
};

#[path = "node/relations.rs"]
mod relations;
#[path = "node/way.rs"]
mod way;

laws! {
    everywhere {
        two_nodes_meet_and_part,
        messages_go_both_ways,
        atoms_are_the_same_at_the_other_node,
        a_question_is_answered_as_by_gen_server,
        links_end_both_sides,
        monitors_are_told_of_both_sides,
        the_end_of_a_connection_is_told_once,
        what_is_not_understood_is_counted_and_answered,
        erlang_asks_as_it_asks_a_gen_server,
        after_a_storm_of_links_both_sides_agree,
    }
    native { after_a_hundred_thousand_links_both_sides_agree }
}

//! Questions of ours to processes of another node by `ProcessRef::ask`, and processes in messages, both ways.

use twoply_tests::laws;

use self::panics::who_asks_what_panics_is_told;
use self::questions::{
    a_gen_server_is_asked_by_its_reference, a_long_answer_comes_before_the_end_of_who_gives_it,
    a_question_that_is_given_up_is_forgotten, many_questions_are_soon_known_to_be_over,
    processes_go_out_and_come_back, the_end_of_the_connection_answers_what_is_asked,
    two_nodes_of_ours_ask_each_other,
};

#[path = "node_ask/panics.rs"]
mod panics;
#[path = "node_ask/questions.rs"]
mod questions;
#[path = "node/way.rs"]
mod way;

laws! {
    everywhere {
        a_gen_server_is_asked_by_its_reference,
        a_question_that_is_given_up_is_forgotten,
        the_end_of_the_connection_answers_what_is_asked,
        processes_go_out_and_come_back,
        two_nodes_of_ours_ask_each_other,
        many_questions_are_soon_known_to_be_over,
        a_long_answer_comes_before_the_end_of_who_gives_it,
        who_asks_what_panics_is_told,
    }
}

//! Differential tests of processes: the same random programs run by twoply, judged by a model, run by Erlang.
//!
//! A [`Program`] is a list of steps. In a step one process carries out one or two operations (it links,
//! sends, receives, dies, ...); the next step begins when the effects of this one have settled. What is seen
//! is a
//! [`Trace`]: who received what, who died of what.
//!
//! | module       | duty                                                                    |
//! |--------------|-------------------------------------------------------------------------|
//! | [`program`]  | what programs consist of, and their text, which are Erlang terms         |
//! | [`mod@generate`] | random programs from a seed; smaller ones from one that fails            |
//! | [`trace`]    | what is seen of a run, and its text                                      |
//! | [`model`]    | Erlang's rules, written plainly: it judges each trace                    |
//! | [`erlang`]   | has the programs run by `erl`, where that is installed                   |
//! | [`across`]   | has some processes of a program run by `erl`, and the others here            |
//! | [`interpret`] | has a program run by processes of twoply; `drive` decides when a step has settled |
//!
//! The model is needed although there is Erlang to compare with: signals of different senders come in any
//! order, so a program has several right traces, and two right runs may differ. The model accepts all of
//! them, and the traces of twoply and of Erlang must both be among them. Erlang keeps the model honest.

pub mod across;
mod drive;
pub mod erlang;
pub mod generate;
pub mod interpret;
pub mod model;
pub mod program;
pub mod trace;

pub use generate::{generate, minimise};
pub use model::judge;
pub use program::Program;
pub use trace::Trace;

//! Actors: what a message, an answer, an actor's life and an idle actor cost.

pub(crate) mod system;

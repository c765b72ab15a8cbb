//! Glue to single libraries of others, which has them wait as twoply does. Users have each as a module of the
//! facade, by the feature of the same name.
//!
//! | module | has |
//! |---|---|
//! | `calloop` | a green runtime as an event source of a calloop event loop |
//! | `redis` | connections of the crate `redis` over streams that block, such as ours |
//! | `zmq` | sockets of ZeroMQ whose operations are futures |
//!
//! A module has types of the library that it is for in its signatures, and so belongs to one major version of
//! that: the one that `Cargo.toml` names.

#[cfg(feature = "calloop")]
pub mod calloop;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "zmq")]
pub mod zmq;

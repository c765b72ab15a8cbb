//! Twoply programs as nodes of an Erlang or Elixir cluster.
//!
//! [`wire`] is the distribution protocol as bytes. Neither MD5 nor a cookie is any security: whoever can read
//! the traffic between nodes can take part in it.

#![forbid(unsafe_code)]

pub mod wire;

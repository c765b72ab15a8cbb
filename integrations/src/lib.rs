//! Libraries of others on twoply. This package is its tests, one file for each library; `README.md` lists
//! them. Here is what starts the servers that they need.

mod server;

pub use server::{Server, browser, free_port, nats, postgres, redis};

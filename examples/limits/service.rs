//! A service that is slow, fails now and then, and does not like many connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use twoply::time;

/// A service somewhere else, with a limit of connections that its users have to keep.
pub(crate) struct Service {
    limit: usize,
    connections: AtomicUsize,
}

/// The reason why there is no page.
pub(crate) enum Refusal {
    /// Another attempt may succeed.
    Busy,
    /// The caller has broken the rules.
    TooManyConnections,
}

/// A connection to the service. Dropping it closes it.
struct Connection<'a>(&'a AtomicUsize);

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service {
    pub(crate) fn new(limit: usize) -> Service {
        Service { limit, connections: AtomicUsize::new(0) }
    }

    /// Returns the number of connections that are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns a page. Every third attempt fails, more or less.
    pub(crate) async fn fetch(&self, page: u32) -> Result<String, Refusal> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let _open = Connection(&self.connections);
        if before >= self.limit {
            return Err(Refusal::TooManyConnections);
        }
        time::sleep(Duration::from_micros(fastrand::u64(100..2_000))).await;
        if fastrand::u32(0..3) == 0 {
            return Err(Refusal::Busy);
        }
        Ok(format!("page {page}"))
    }
}

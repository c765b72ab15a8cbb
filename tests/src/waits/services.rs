//! The waits for services that come and go.

use std::convert::Infallible;
use std::future::pending;

use twoply_core::actor::{ExitReason, Service, ServiceRef, Session};
use twoply_core::promise::Resolver;

use super::{Waits, any_wait, leak, waits};
use crate::Systems;

/// A service that is never there.
struct Absent;

impl Service for Absent {
    type Message = Option<Resolver<u32>>;
    type Error = Infallible;

    async fn serve(&mut self, _: &mut Session<Self::Message>) -> Result<(), Infallible> {
        pending().await
    }
}

pub(super) fn services(on: &Systems) -> Vec<Waits> {
    let settings = ServiceRef::builder().on(on.here().backend()).capacity(1);
    let service = leak(settings.start(Absent).expect("it starts"));
    service.try_send(None).map_err(|_| "full").expect("there is room");
    let sends = [
        any_wait(service.send(None)),
        any_wait(service.ask(Some)),
        any_wait(async { service.presence().changed().await.is_ok() }),
    ];
    vec![waits("send to a service", sends, || service.exit(ExitReason::Shutdown))]
}

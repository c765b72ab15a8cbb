//! Two async tasks that tell each other to go on: the time of a round trip, which is two notifications.
//!
//! `workers=1`: both tasks on one worker. `workers=2`: a runtime with two workers, which may keep both tasks
//! on one of them, and mostly does.
//!
//! tokio's `Notify` runs on tokio and event-listener on smol, each as its users write it: a permit that is
//! stored, and a flag that is looked at before and after one listens.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use twoply::sync::Notify;

use super::{Case, Context, Run, Sample, timed};
use crate::runtimes::{self, Smol, Start as _, Tasks};

const ONE_WORKER: &[(&str, Run)] = &[
    ("tokio-current", tokio_notify),
    ("tokio-multi", tokio_notify),
    ("smol", event_listener),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply),
];

const TWO_WORKERS: &[(&str, Run)] = &[
    ("tokio-multi", tokio_notify),
    ("smol", event_listener),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply),
];

pub(crate) const CASES: &[Case] = &[
    timed("notify-pingpong", &[("workers", 1)], ONE_WORKER),
    timed("notify-pingpong", &[("workers", 2)], TWO_WORKERS),
];

/// A signal for one waiter that is not lost when it comes too early.
trait Signal: Default + Send + Sync + 'static {
    /// Tells the one that waits, or will.
    fn notify(&self);

    /// Waits until it is told to go on.
    fn told(&self) -> impl Future<Output = ()> + Send;
}

impl Signal for Notify {
    fn notify(&self) {
        self.notify_one();
    }

    fn told(&self) -> impl Future<Output = ()> + Send {
        self.notified()
    }
}

impl Signal for tokio::sync::Notify {
    fn notify(&self) {
        self.notify_one();
    }

    fn told(&self) -> impl Future<Output = ()> + Send {
        self.notified()
    }
}

/// event-listener's event with the flag that its users keep beside it.
#[derive(Default)]
struct Flag {
    is_set: AtomicBool,
    event: event_listener::Event,
}

impl Signal for Flag {
    fn notify(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        self.event.notify(1);
    }

    async fn told(&self) {
        while !self.is_set.swap(false, Ordering::SeqCst) {
            let listener = self.event.listen();
            if self.is_set.swap(false, Ordering::SeqCst) {
                return;
            }
            listener.await;
        }
    }
}

/// Measures round trips between two tasks of one runtime.
fn round_trips<S: Signal>(ctx: &Context, runtime: &impl Tasks) -> Result<Sample> {
    ctx.time(1, |ops| {
        let signals = Arc::new((S::default(), S::default()));
        let other = Arc::clone(&signals);
        let _pong = runtime.starter().start(async move {
            for _ in 0..ops {
                other.0.told().await;
                other.1.notify();
            }
        });
        runtime.run(async move {
            for _ in 0..ops {
                signals.0.notify();
                signals.1.told().await;
            }
        })
    })
}

fn tokio_notify(ctx: &Context) -> Result<Sample> {
    round_trips::<tokio::sync::Notify>(ctx, &runtimes::tokio(ctx)?)
}

fn event_listener(ctx: &Context) -> Result<Sample> {
    round_trips::<Flag>(ctx, &Smol::new(ctx.workers()))
}

fn twoply(ctx: &Context) -> Result<Sample> {
    round_trips::<Notify>(ctx, &runtimes::twoply(ctx)?)
}

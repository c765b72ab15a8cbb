//! The way in which hyper starts tasks and waits for a time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use twoply_core::task::{self, Spawner};
use twoply_core::time;

/// Starts what hyper has to run beside a connection, as tasks. Where a task cannot be started, because the
/// runtime is at its end, hyper finds its future dropped.
///
/// # Examples
/// ```
/// use hyper::rt::Executor as _;
/// use twoply::hyper::Executor;
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::oneshot();
/// Executor::on(twoply::native()).execute(async move { tx.send(7).unwrap() });
/// assert_eq!(rx.wait(), Ok(7));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Executor {
    /// The spawner of the tasks; `None` for that of whoever starts one.
    spawner: Option<Spawner>,
}

impl Executor {
    /// Makes an executor whose tasks run on the backend of the task that starts them.
    pub fn new() -> Executor {
        Executor::default()
    }

    /// Makes an executor whose tasks run on `spawner`.
    pub fn on(spawner: Spawner) -> Executor {
        Executor { spawner: Some(spawner) }
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        match &self.spawner {
            Some(spawner) => spawner.spawn(future).detach(),
            None => task::spawn(future).detach(),
        }
    }
}

/// Has hyper use this library's timers and clock.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use hyper::rt::Timer as _;
/// use twoply::Wait;
/// use twoply::hyper::Timer;
///
/// let end = Timer.now() + Duration::from_millis(1);
/// Timer.sleep_until(end).wait();
/// assert!(Timer.now() >= end);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

/// The sleep that the timer makes.
struct Sleep(time::Sleep);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl hyper::rt::Sleep for Sleep {}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(time::sleep_until(deadline)))
    }

    fn now(&self) -> Instant {
        time::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            // Moving a deadline on costs next to nothing, and makes nothing anew.
            Some(sleep) => sleep.get_mut().0.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

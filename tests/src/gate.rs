//! What laws wait for and count with: independent of the library's own channels, which are under test too.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A gate that is closed until somebody opens it, and then stays open. Clones are the same gate.
#[derive(Clone, Default, Debug)]
pub struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Opens it and wakes all who wait.
    pub fn open(&self) {
        let waiting = {
            let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gate.0 = true;
            std::mem::take(&mut gate.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// How many wakers it has been given and not used: who waits, and who has waited in vain.
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.len()
    }

    /// Opens it when `future` has been polled for the first time, and goes on as `future`.
    pub async fn open_when_polled<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            self.open();
            polled
        })
        .await
    }

    /// Ready once the gate is open.
    pub fn opened(&self) -> impl Future<Output = ()> + Send + Unpin + 'static {
        Opened(self.clone())
    }
}

/// The future of [`Gate::opened`].
struct Opened(Gate);

impl Future for Opened {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut gate = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1.push(waker);
        Poll::Pending
    }
}

/// Counts, and is counted by: how often it was added to, how often it was used as a waker, and, when moved
/// into something as a guard, how often that was dropped. Clones count together; dropping a clone counts
/// nothing.
#[derive(Clone, Default, Debug)]
pub struct Signal(Arc<AtomicUsize>);

impl Signal {
    /// Nothing counted yet.
    pub fn new() -> Signal {
        Signal::default()
    }

    /// Counts one more.
    pub fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The count.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Something that counts when it is dropped.
    pub fn on_drop(&self) -> impl Send + Sync + 'static {
        struct OnDrop(Signal);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.add();
            }
        }
        OnDrop(self.clone())
    }

    /// A waker that counts.
    pub fn waker(&self) -> Waker {
        struct Count(Signal);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.add();
            }
        }
        Waker::from(Arc::new(Count(self.clone())))
    }
}

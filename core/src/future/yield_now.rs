//! [`yield_now`]: let others run.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::kernel::strand::with_state;
use crate::kernel::waiting::{self, WaitingFor};

/// Lets other tasks that are ready run, and then goes on.
///
/// A task that awaits goes to the end of its queue. A stack that waits yields itself: an OS thread gives its
/// core away, a green stack lets the other tasks of its worker run.
///
/// ```
/// use twoply::{Wait, future::yield_now};
///
/// yield_now().wait();
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct YieldNow {
    /// True once the future has been polled, and has had its task woken.
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded && waiting::is_describing() {
            // Others have not had their turn yet.
            cx.waker().wake_by_ref();
            return waiting::note(Poll::Pending, || WaitingFor::Turn);
        }
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        // The wake-up keeps a stack that waits from parking: it is asked to yield by itself.
        with_state(|state| state.request_yield());
        // Not ready even so: this may be one arm of several, and the others have not had their turn.
        Poll::Pending
    }
}

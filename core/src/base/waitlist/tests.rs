//! The wait list on its own, and in loom's models:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib waitlist`.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::base::wake::WakeCount;

/// A future that waits, in pieces.
struct Waiter {
    wait_key: WaitKey,
    wakes: Arc<WakeCount>,
    waker: Waker,
}

impl Waiter {
    fn new() -> Waiter {
        let wakes = Arc::new(WakeCount::default());
        Waiter { wait_key: WaitKey::new(), waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    fn poll<R>(&mut self, list: &WaitList, attempt: impl FnMut() -> Option<R>) -> Poll<R> {
        list.poll_until(&mut self.wait_key, &mut Context::from_waker(&self.waker), attempt)
    }

    fn wakes(&self) -> usize {
        self.wakes.get()
    }
}

#[cfg(not(loom))]
mod plain {
    use super::*;

    fn waiting(list: &WaitList) -> Waiter {
        let mut waiter = Waiter::new();
        assert!(waiter.poll(list, || None::<()>).is_pending());
        waiter
    }

    #[test]
    fn tokens_go_out_in_the_order_of_arrival() {
        let list = WaitList::new();
        assert!(!list.notify_one());
        let waiters = [(); 3].map(|()| waiting(&list));
        for expected in [[1, 0, 0], [1, 1, 0], [1, 1, 1]] {
            assert!(list.notify_one());
            assert_eq!(waiters.each_ref().map(Waiter::wakes), expected);
        }
        assert!(!list.notify_one());
    }

    #[test]
    fn a_token_passes_on_when_its_holder_leaves() {
        let list = WaitList::new();
        let (mut a, mut b, c) = (waiting(&list), waiting(&list), waiting(&list));
        list.notify_one();
        list.withdraw(&mut a.wait_key);
        assert_eq!((b.wakes(), c.wakes()), (1, 0));
        list.withdraw(&mut b.wait_key);
        assert_eq!(c.wakes(), 1);
    }

    #[test]
    fn who_came_too_late_is_first_next_time() {
        let list = WaitList::new();
        let (mut a, b) = (waiting(&list), waiting(&list));
        list.notify_one();
        assert!(a.poll(&list, || None::<()>).is_pending());
        list.notify_one();
        assert_eq!((a.wakes(), b.wakes()), (2, 0));
    }

    #[test]
    fn a_poll_without_reason_keeps_the_place_in_line_and_takes_the_new_waker() {
        let list = WaitList::new();
        let (mut a, b) = (waiting(&list), waiting(&list));
        let old = std::mem::replace(&mut a.wakes, Arc::new(WakeCount::default()));
        a.waker = Waker::from(Arc::clone(&a.wakes));
        assert!(a.poll(&list, || None::<()>).is_pending());
        assert_eq!(Arc::strong_count(&old), 1, "the old waker is kept alive");
        list.notify_one();
        assert_eq!((old.get(), a.wakes(), b.wakes()), (0, 1, 0));
    }

    #[test]
    fn a_token_that_came_during_a_successful_poll_passes_on() {
        let list = WaitList::new();
        let (mut a, b) = (waiting(&list), waiting(&list));
        let done = a.poll(&list, || {
            list.notify_one();
            Some(())
        });
        assert!(done.is_ready());
        assert_eq!(b.wakes(), 1);
    }

    #[test]
    fn notify_all_wakes_everyone_once() {
        let list = WaitList::new();
        let waiters = [(); 5].map(|()| waiting(&list));
        list.notify_all();
        list.notify_all();
        assert!(waiters.iter().all(|w| w.wakes() == 1));
    }

    /// Fault class: wake() re-enters. A waker may do anything with the list, since no lock is held.
    #[test]
    fn a_waker_may_use_the_list() {
        struct Reenter(Arc<WaitList>);
        impl std::task::Wake for Reenter {
            fn wake(self: Arc<Self>) {
                self.0.notify_all();
            }
        }
        impl Drop for Reenter {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let list = Arc::new(WaitList::new());
        let waker = Waker::from(Arc::new(Reenter(Arc::clone(&list))));
        let mut wait_key = WaitKey::new();
        list.enlist(&mut wait_key, &waker, End::Back);
        drop(waker);
        list.notify_one();
        assert!(list.leave(&mut wait_key));
        let waker = Waker::from(Arc::new(Reenter(Arc::clone(&list))));
        list.enlist(&mut wait_key, &waker, End::Back);
        drop(waker);
        assert!(!list.leave(&mut wait_key));
    }
}

#[cfg(loom)]
mod models {
    use super::*;
    use crate::base::sync::atomic::AtomicUsize as Messages;
    use loom::thread;

    /// Takes a message, if there is one. Relaxed: the list alone must see to it that none is overlooked.
    fn take(messages: &Messages) -> Option<()> {
        messages.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).ok().map(drop)
    }

    #[test]
    fn a_notification_meets_a_waiter_or_the_waiter_meets_the_change() {
        loom::model(|| {
            let (list, messages) = (Arc::new(WaitList::new()), Arc::new(Messages::new(0)));
            let notifier = {
                let (list, messages) = (Arc::clone(&list), Arc::clone(&messages));
                thread::spawn(move || {
                    messages.fetch_add(1, Relaxed);
                    list.notify_one();
                })
            };
            let mut waiter = Waiter::new();
            let first = waiter.poll(&list, || take(&messages));
            notifier.join().unwrap();
            if first.is_pending() {
                assert_eq!(waiter.wakes(), 1, "nobody wakes the waiter");
                assert!(waiter.poll(&list, || take(&messages)).is_ready());
            }
        });
    }

    #[test]
    fn a_waiter_that_leaves_takes_no_token_along() {
        loom::model(|| {
            let (list, messages) = (Arc::new(WaitList::new()), Arc::new(Messages::new(0)));
            let (mut a, mut b) = (Waiter::new(), Waiter::new());
            assert!(a.poll(&list, || take(&messages)).is_pending());
            assert!(b.poll(&list, || take(&messages)).is_pending());
            let notifier = {
                let (list, messages) = (Arc::clone(&list), Arc::clone(&messages));
                thread::spawn(move || {
                    messages.fetch_add(1, Relaxed);
                    list.notify_one();
                })
            };
            list.withdraw(&mut a.wait_key);
            notifier.join().unwrap();
            assert_eq!(b.wakes(), 1);
            assert!(b.poll(&list, || take(&messages)).is_ready());
        });
    }

    #[test]
    fn two_waiters_and_two_messages_all_meet() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let (list, messages) = (Arc::new(WaitList::new()), Arc::new(Messages::new(0)));
            let spawn = |run: fn(&WaitList, &Messages)| {
                let (list, messages) = (Arc::clone(&list), Arc::clone(&messages));
                thread::spawn(move || run(&list, &messages))
            };
            let notifier = spawn(|list, messages| {
                for _ in 0..2 {
                    messages.fetch_add(1, Relaxed);
                    list.notify_one();
                }
            });
            // One that comes and goes: it takes a message if it finds one, and leaves otherwise.
            let passer = spawn(|list, messages| {
                let mut waiter = Waiter::new();
                let _ = waiter.poll(list, || take(messages));
                list.withdraw(&mut waiter.wait_key);
            });
            let mut waiter = Waiter::new();
            let first = waiter.poll(&list, || take(&messages));
            notifier.join().unwrap();
            passer.join().unwrap();
            // Two messages came and the passer took one at most.
            if first.is_pending() {
                assert!(waiter.wakes() >= 1, "nobody wakes the waiter");
                assert!(waiter.poll(&list, || take(&messages)).is_ready());
            }
        });
    }

    #[test]
    fn everyone_who_waits_hears_of_the_end() {
        loom::model(|| {
            let (list, closed) = (Arc::new(WaitList::new()), Arc::new(Messages::new(0)));
            let closer = {
                let (list, closed) = (Arc::clone(&list), Arc::clone(&closed));
                thread::spawn(move || {
                    closed.store(1, Relaxed);
                    list.notify_all();
                })
            };
            let mut waiters = [Waiter::new(), Waiter::new()];
            let polls =
                waiters.each_mut().map(|w| w.poll(&list, || (closed.load(Relaxed) == 1).then_some(())));
            closer.join().unwrap();
            for (waiter, poll) in waiters.iter().zip(polls) {
                assert!(poll.is_ready() || waiter.wakes() == 1);
            }
        });
    }
}

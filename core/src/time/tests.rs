//! Tests of sleeps, intervals and timeouts.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::Wait;
use crate::channel::{Source as _, TryRecvError};
use crate::event::reactor::{Interest, IoSource};
use crate::event::timers::Timers;
use crate::kernel::backend::{Backend, Driver, Strand, StrandState};
use crate::kernel::sleep::ticks_since;
use crate::kernel::strand::{ThreadStrand, enter};

/// A strand with a clock that goes only when the test says so.
struct Virtual {
    /// The part that the core keeps.
    thread: ThreadStrand,
    /// The time that it says.
    now: Cell<Instant>,
    /// The queue of the deadlines.
    timers: Arc<Timers>,
    /// Every park moves the clock to the next deadline; these are the times it was moved to.
    parks: RefCell<Vec<Instant>>,
}

impl Virtual {
    fn new(now: Instant) -> Virtual {
        let (thread, timers) = (ThreadStrand::new(), Timers::new(|| ()));
        Virtual { thread, now: Cell::new(now), timers, parks: RefCell::default() }
    }
}

impl Strand for Virtual {
    fn state(&self) -> &StrandState {
        self.thread.state()
    }

    fn park(&self) {
        let next = self.timers.next().expect("parked for ever");
        self.now.set(next);
        self.parks.borrow_mut().push(next);
        self.timers.fire(next);
    }

    fn driver(&self) -> &dyn Driver {
        self
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }
}

impl Driver for Virtual {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn watch(&self, _: &Arc<IoSource>, _: Interest, _: &Waker) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn timers(&self, _: &Waker) -> io::Result<Arc<Timers>> {
        Ok(Arc::clone(&self.timers))
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_sleep_is_never_early_and_hardly_late() {
    let start = Instant::now();
    sleep(Duration::from_millis(20)).wait();
    assert!(start.elapsed() >= Duration::from_millis(20));
    // A second is far more than a busy machine needs.
    assert!(start.elapsed() < SECOND);
}

#[test]
fn all_of_it_follows_the_drivers_clock() {
    let start = Instant::now();
    let strand = Virtual::new(start + 1000 * SECOND);
    enter(&strand, || {
        let begin = now();
        sleep(3600 * SECOND).wait();
        assert_eq!(now(), begin + 3600 * SECOND);
        assert!(timeout(60 * SECOND, pending::<()>()).wait().is_err());
        assert_eq!(now(), begin + 3660 * SECOND);
    });
    assert!(start.elapsed() < 5 * SECOND);
}

#[test]
fn zero_is_now_and_too_long_is_never() {
    sleep(Duration::ZERO).wait();
    sleep_until(Instant::now()).wait();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(sleep(Duration::MAX)).poll(&mut cx).is_pending());
    assert_eq!(sleep(Duration::MAX).deadline(), None);
    // Representable as an instant, but not as nanoseconds in 64 bits.
    assert!(pin!(sleep(Duration::from_secs(1 << 40))).poll(&mut cx).is_pending());
    assert_eq!(timeout(Duration::MAX, ready(1)).wait(), Ok(1));
    let mut never = interval(Duration::MAX);
    assert!(pin!(never.tick()).poll(&mut cx).is_pending());
    let mut always = interval(Duration::ZERO);
    for _ in 0..10 {
        always.tick().wait();
    }
    let mut once = interval_at(Instant::now(), Duration::MAX);
    once.tick().wait();
    assert!(pin!(once.tick()).poll(&mut cx).is_pending());
}

#[test]
fn what_is_ready_at_the_deadline_wins() {
    assert_eq!(timeout(Duration::ZERO, ready("x")).wait(), Ok("x"));
    let elapsed = timeout(Duration::ZERO, pending::<()>()).wait().unwrap_err();
    assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
    assert!(timeout_at(Instant::now(), pending::<()>()).wait().is_err());
}

#[test]
fn an_interval_keeps_its_phase() {
    let start = Instant::now();
    let strand = Virtual::new(start);
    enter(&strand, || {
        let mut clock = interval_at(start, SECOND);
        assert_eq!(clock.tick().wait(), start);
        // Each tick is taken some way into its period; the next is due at the full second all the same.
        for i in 1..=5 {
            assert_eq!(clock.tick().wait(), start + i * SECOND);
            strand.now.set(now() + Duration::from_millis(700));
        }
        assert_eq!(clock.missed(), 0);
        // Three and a half periods late: the late one is returned, the ones missed are skipped, the phase is
        // kept.
        strand.now.set(start + 9 * SECOND + SECOND / 2);
        assert_eq!(clock.tick().wait(), start + 6 * SECOND);
        assert_eq!(clock.missed(), 3);
        assert_eq!(clock.tick().wait(), start + 10 * SECOND);
        assert_eq!(now(), start + 10 * SECOND);
    });
}

#[test]
fn ticks_are_counted_however_late_it_is() {
    let (due, period) = (Instant::now(), Duration::from_millis(1));
    assert_eq!(ticks_since(due, period, due), (0, Some(due + period)));
    // More of them than are counted by 32 bits.
    let passed = (1 << 33) + 7;
    let late = due + Duration::from_millis(passed) + Duration::from_micros(10);
    assert_eq!(ticks_since(due, period, late), (passed, Some(due + Duration::from_millis(passed + 1))));
    assert_eq!(ticks_since(due, Duration::MAX, late), (0, None));
}

/// Takes a tick that is three and a half periods late, and two more.
fn late_ticks(policy: MissedTicks) -> ([f32; 3], u64) {
    let start = Instant::now();
    let strand = Virtual::new(start);
    enter(&strand, || {
        let mut clock = interval_at(start, SECOND);
        clock.set_missed_ticks(policy);
        strand.now.set(start + Duration::from_millis(3500));
        let ticks = [(); 3].map(|()| clock.tick().wait().duration_since(start).as_secs_f32());
        (ticks, clock.missed())
    })
}

#[test]
fn an_interval_skips_missed_ticks_or_makes_up_for_them_or_begins_anew() {
    assert_eq!(late_ticks(MissedTicks::default()), ([0.0, 4.0, 5.0], 3));
    assert_eq!(late_ticks(MissedTicks::Skip), ([0.0, 4.0, 5.0], 3));
    assert_eq!(late_ticks(MissedTicks::Burst), ([0.0, 1.0, 2.0], 0));
    assert_eq!(late_ticks(MissedTicks::Delay), ([0.0, 4.5, 5.5], 3));
}

#[test]
fn an_interval_that_is_reset_begins_anew() {
    let start = Instant::now();
    let strand = Virtual::new(start);
    enter(&strand, || {
        let mut clock = interval(SECOND);
        strand.now.set(start + SECOND / 2);
        clock.reset();
        assert_eq!(clock.tick().wait(), start + SECOND * 3 / 2);
        clock.reset_at(start + 10 * SECOND);
        assert_eq!(clock.tick().wait(), start + 10 * SECOND);
        assert_eq!(clock.tick().wait(), start + 11 * SECOND);
        // Also while it is being waited for.
        assert!(timeout(SECOND / 4, clock.tick()).wait().is_err());
        clock.reset_at(start + 20 * SECOND);
        assert_eq!(clock.recv().wait(), Ok(start + 20 * SECOND));
    });
}

#[test]
fn an_interval_starts_after_one_period() {
    let start = Instant::now();
    let strand = Virtual::new(start);
    enter(&strand, || assert_eq!(interval(SECOND).tick().wait(), start + SECOND));
}

#[test]
fn a_dropped_tick_is_not_lost() {
    let start = Instant::now();
    let strand = Virtual::new(start);
    enter(&strand, || {
        let mut clock = interval(SECOND);
        assert!(timeout(SECOND / 2, clock.tick()).wait().is_err());
        assert_eq!(clock.tick().wait(), start + SECOND);
    });
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    /// A waker, and the count since the last call.
    fn waker() -> (Waker, impl Fn() -> usize) {
        let woken = Arc::new(Woken::default());
        (Waker::from(Arc::clone(&woken)), move || woken.0.swap(0, Ordering::Relaxed))
    }
}

#[test]
fn an_interval_is_a_source_of_its_ticks() {
    let start = Instant::now();
    let strand = Virtual::new(start);
    enter(&strand, || {
        let clock = interval(SECOND);
        assert_eq!(clock.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(clock.recv().wait(), Ok(start + SECOND));
        strand.now.set(start + 3 * SECOND);
        assert_eq!(clock.try_recv(), Ok(start + 2 * SECOND));
        assert_eq!(clock.recv().wait(), Ok(start + 4 * SECOND));
        assert_eq!(clock.missed(), 1);
    });
}

#[test]
fn whoever_leaves_an_interval_hands_the_watch_on() {
    let start = Instant::now();
    let strand = Virtual::new(start);
    enter(&strand, || {
        let clock = interval(SECOND);
        let ((first, first_woken), (second, second_woken)) = (Woken::waker(), Woken::waker());
        let (mut first, mut second) = (Context::from_waker(&first), Context::from_waker(&second));
        let (mut stays, mut leaves) = (Box::pin(clock.recv()), Box::pin(clock.recv()));
        assert!(stays.as_mut().poll(&mut first).is_pending());
        assert!(leaves.as_mut().poll(&mut second).is_pending());
        // The sleep would wake the second one. When that goes, the first one is told to look after it.
        drop(leaves);
        assert_eq!(first_woken(), 1);
        assert!(stays.as_mut().poll(&mut first).is_pending());
        strand.park();
        assert_eq!((first_woken(), second_woken()), (1, 0));
        assert_eq!(stays.as_mut().poll(&mut first), Poll::Ready(Ok(start + SECOND)));
        // So is one who waits when another one takes a tick.
        let (mut early, mut late) = (Box::pin(clock.recv()), Box::pin(clock.recv()));
        assert!(early.as_mut().poll(&mut first).is_pending());
        assert!(late.as_mut().poll(&mut second).is_pending());
        strand.park();
        assert_eq!(late.as_mut().poll(&mut second), Poll::Ready(Ok(start + 2 * SECOND)));
        assert_eq!(first_woken(), 1);
        assert!(early.as_mut().poll(&mut first).is_pending());
        drop(early);
        assert_eq!(strand.timers.len(), 0, "nobody waits, so nobody is to be woken");
    });
}

#[test]
fn a_dropped_sleep_leaves_nothing_behind() {
    let strand = Virtual::new(Instant::now());
    enter(&strand, || {
        let mut cx = Context::from_waker(Waker::noop());
        let mut sleeping = Box::pin(sleep(SECOND));
        assert!(sleeping.as_mut().poll(&mut cx).is_pending());
        assert_eq!(strand.timers.len(), 1);
        drop(sleeping);
        let _ = timeout(SECOND, ready(())).wait();
        assert_eq!((strand.timers.len(), strand.timers.next()), (0, None));
    });
}

#[test]
fn a_sleep_takes_its_deadline_along_to_another_stack() {
    let start = Instant::now();
    let (first, second) = (Virtual::new(start), Virtual::new(start));
    let mut sleeping = Box::pin(sleep_until(start + SECOND));
    let mut cx = Context::from_waker(Waker::noop());
    enter(&first, || assert!(sleeping.as_mut().poll(&mut cx).is_pending()));
    enter(&second, || assert!(sleeping.as_mut().poll(&mut cx).is_pending()));
    assert_eq!((first.timers.len(), second.timers.len()), (0, 1));
    // The driver is shut down: the I/O server takes over, by the real clock.
    second.timers.close();
    enter(&second, || assert!(sleeping.as_mut().poll(&mut cx).is_pending()));
    assert_eq!(second.timers.len(), 0);
    sleeping.wait();
    assert!(Instant::now() >= start + SECOND);
}

#[test]
fn a_future_without_budget_does_not_outlast_its_deadline() {
    /// Always has something to do.
    struct Busy;
    impl Future for Busy {
        type Output = ();
        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            while let Poll::Ready(unit) = crate::kernel::coop::proceed(cx) {
                unit.spend();
            }
            Poll::Pending
        }
    }
    assert!(timeout(Duration::from_millis(5), Busy).wait().is_err());
}

#[test]
fn many_sleepers_on_many_threads_are_all_woken() {
    let sleepers: Vec<_> = (0..8u64)
        .map(|i| {
            thread::spawn(move || {
                for j in 0..20 {
                    let wanted = Duration::from_micros((i * 37 + j * 91) % 1500);
                    let start = Instant::now();
                    sleep(wanted).wait();
                    assert!(start.elapsed() >= wanted);
                }
            })
        })
        .collect();
    sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
}

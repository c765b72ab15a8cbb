//! The wakers of children under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib children`.

use std::sync::atomic::Ordering::SeqCst;

use loom::sync::atomic::AtomicBool as Flag;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use super::*;

/// A waker that says whether it has been woken, unseen by the model.
#[derive(Default)]
struct Parent(std::sync::atomic::AtomicBool);

impl Wake for Parent {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// The poll that comes next sees what was done before a wake-up, or there is another poll for that.
#[test]
fn what_was_done_before_a_wake_up_is_seen_by_a_poll() {
    loom::model(|| {
        let parent = Arc::new(Parent::default());
        let waker = StoredWaker::of(&Waker::from(Arc::clone(&parent)));
        let ready_list =
            Arc::new(ReadyList { state: Mutex::new(ReadyState { listed: Vec::new(), parent: Some(waker) }) });
        let child_waker = Arc::new(ChildWaker {
            index: 0,
            listed: AtomicBool::new(true),
            ready_list: Arc::clone(&ready_list),
        });
        let done = Arc::new(Flag::new(false));
        let other = {
            let done = Arc::clone(&done);
            let child_waker = Arc::clone(&child_waker);
            thread::spawn(move || {
                done.store(true, Relaxed);
                child_waker.wake_by_ref();
            })
        };
        child_waker.unlist();
        let is_seen = done.load(Relaxed);
        other.join().unwrap();
        let is_listed = lock(&ready_list.state).listed == [0];
        assert!(is_seen || is_listed, "the child waits for what has come");
        assert_eq!(parent.0.load(SeqCst), is_listed, "the parent is told of each child that is listed");
    });
}

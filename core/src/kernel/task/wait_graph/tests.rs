//! Code of the user's that runs in the middle of a search.

use std::sync::Mutex;

use super::super::failure::Failure;
use super::super::owner::Owner;
use super::*;

/// One who owes, known by a task that lets go of it when it is asked for that: so whoever asks is the last to hold it,
/// and its destructor panics.
struct Fickle {
    /// The task that waits for it.
    edge: Mutex<Option<Edge>>,
    /// Whom it would name.
    task: Arc<TaskState>,
}

impl Owner for Fickle {
    fn task(&self) -> Option<Arc<TaskState>> {
        let edge = self.edge.lock().unwrap().take();
        drop(edge);
        Some(Arc::clone(&self.task))
    }

    fn is_stopped(&self) -> bool {
        true
    }

    fn cause(&self) -> Option<Failure> {
        None
    }
}

impl Drop for Fickle {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("expected"));
    }
}

#[test]
fn a_destructor_that_panics_in_a_search_leaves_the_edge_with_its_owner() {
    let [ann, bob, cid] = std::array::from_fn(|_| TaskState::never());
    let fickle = Arc::new(Fickle { edge: Mutex::new(None), task: cid });
    let mut bobs = Edge::none(Arc::clone(&bob));
    let left = bobs.publish(Some(Debtor::of_owner(Arc::clone(&fickle) as Arc<dyn Owner>)));
    assert!(left.is_none());
    let weak = Arc::downgrade(&fickle);
    *fickle.edge.lock().unwrap() = Some(bobs);
    drop(fickle);

    let debtor = Some(Debtor::of_task(Arc::clone(&bob)));
    // Somebody waits for ann, or there would be no search.
    ann.set_awaited();
    let mut anns = Edge::none(Arc::clone(&ann));
    drop(anns.publish(debtor.clone()));
    let probe = anns.probe(&debtor).expect("bob is stopped");
    assert!(probe.refuse().is_none(), "there is no circle");
    assert!(weak.upgrade().is_none(), "the search was not the last to hold it");
    assert!(!bob.is_stopped());
    assert!(ann.is_stopped() && anns.is_of(&ann), "the edge of the one who searches is still there");
    drop(anns);
    assert!(!ann.is_stopped());
}

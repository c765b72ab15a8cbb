//! Code of the user's that runs in the middle of a search.

use std::sync::Mutex;

use super::super::failure::Failure;
use super::super::owner::Owning;
use super::*;

/// One who owes, known by a task that lets go of it when it is asked for that: so whoever asks is the last to
/// hold it, and its destructor panics.
struct Fickle {
    /// The task that waits for it.
    edge: Mutex<Option<Edge>>,
    /// The task that it would name.
    task: Arc<Shared>,
}

impl Owning for Fickle {
    fn task(&self) -> Option<Arc<Shared>> {
        let edge = self.edge.lock().unwrap().take();
        drop(edge);
        Some(Arc::clone(&self.task))
    }

    fn is_blocked(&self) -> bool {
        true
    }

    fn failure(&self) -> Option<Failure> {
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
    let [ann, bob, cid] = std::array::from_fn(|_| Shared::never());
    let fickle = Arc::new(Fickle { edge: Mutex::new(None), task: cid });
    let mut bobs = Edge::unpublished(Arc::clone(&bob));
    let left = bobs.publish(Owner::of_other(Arc::clone(&fickle) as Arc<dyn Owning>));
    assert!(left.is_none());
    bob.set_blocked();
    let weak = Arc::downgrade(&fickle);
    *fickle.edge.lock().unwrap() = Some(bobs);
    drop(fickle);

    // Somebody waits for ann, or there would be no search.
    ann.set_awaited();
    let mut anns = Edge::unpublished(Arc::clone(&ann));
    drop(anns.publish(Owner::of_task(Arc::clone(&bob))));
    ann.set_blocked();
    assert!(!may_close(&ann), "there is no circle");
    assert!(weak.upgrade().is_none(), "the search was not the last to hold it");
    assert!(!bob.is_blocked());
    assert!(ann.is_blocked() && anns.is_of(&ann), "the edge of the one who searches is still there");
    drop(anns);
    assert!(!ann.is_blocked());
}

//! The revocable cell under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-green --release --lib revocable`.
//!
//! The thing on the cell is a cell that loom watches, so two who use it at once, or one who does not see what
//! the one before did, fail the model. The light barrier is an ordinary fence here.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{Carrier, Revocable};

/// A number that loom watches.
struct Watched(UnsafeCell<usize>);

// SAFETY: loom checks each access.
unsafe impl Send for Watched {}

impl Watched {
    fn add(&self) {
        // SAFETY: loom fails the model if this is not the only access.
        self.0.with_mut(|number| unsafe { *number += 1 });
    }

    fn get(&self) -> usize {
        // SAFETY: as above.
        self.0.with(|number| unsafe { *number })
    }
}

fn carrier() -> Carrier<Watched> {
    Carrier::new(Box::new(Watched(UnsafeCell::new(0))))
}

/// Seizes the number once, adds to it, and returns it; `keep` says whether it is given back at once.
fn revoke(cell: &Revocable<Watched>, keep: bool) -> Option<Box<Watched>> {
    let mut kept = None;
    cell.revoke(
        || true,
        |number| {
            number.add();
            if keep {
                kept = Some(number);
                None
            } else {
                Some(number)
            }
        },
    );
    kept
}

#[test]
fn one_of_carrier_and_seizer_has_it() {
    loom::model(|| {
        let carrier = carrier();
        let cell = Arc::clone(carrier.cell());
        let seizer = thread::spawn(move || revoke(&cell, true).map(|number| number.get()));
        let uses: usize = (0..2).filter_map(|_| carrier.with(Watched::add)).map(|()| 1).sum();
        match seizer.join().unwrap() {
            Some(seen) => assert!(seen <= uses + 1 && !carrier.has()),
            None => assert_eq!((uses, carrier.with(Watched::get)), (2, Some(2))),
        }
    });
}

#[test]
fn what_a_seizer_gives_back_is_there() {
    loom::model(|| {
        let carrier = carrier();
        let cell = Arc::clone(carrier.cell());
        let seizer = thread::spawn(move || assert!(revoke(&cell, false).is_none()));
        assert!(carrier.with(Watched::add).is_some());
        let taken = carrier.take().expect("nobody has kept it");
        carrier.put(taken);
        seizer.join().unwrap();
        let number = carrier.with(Watched::get);
        assert!(matches!(number, Some(1 | 2)), "{number:?}");
    });
}

#[test]
fn a_carrier_that_gets_it_back_has_it_alone() {
    loom::model(|| {
        let carrier = carrier();
        let cell = Arc::clone(carrier.cell());
        let back = revoke(&cell, true).expect("it was there");
        assert!(!carrier.has() && !cell.is_released());
        carrier.leave();
        assert!(cell.is_released());
        let seizer = thread::spawn(move || revoke(&cell, true).map(|number| number.get()));
        back.add();
        carrier.put(back);
        let used = carrier.with(Watched::add).is_some();
        match seizer.join().unwrap() {
            Some(seen) => assert_eq!(seen, 3 + usize::from(used)),
            None => assert_eq!(carrier.with(Watched::get), Some(3)),
        }
    });
}

#[test]
fn what_the_carrier_wrote_before_its_last_use_is_seen_by_the_seizer() {
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::atomic::Ordering::Relaxed;
    loom::model(|| {
        let carrier = carrier();
        let cell = Arc::clone(carrier.cell());
        // The poll is over when the carrier comes to its next use: a seizer that still sees it must fail.
        let current = Arc::new(AtomicUsize::new(1));
        let seen = Arc::clone(&current);
        let seizer = thread::spawn(move || {
            cell.revoke(
                || seen.load(Relaxed) == 1,
                |number| {
                    assert_eq!(number.get(), 0);
                    drop(number);
                    None
                },
            )
        });
        carrier.with(|number| {
            current.store(0, Relaxed);
            number.add();
        });
        seizer.join().unwrap();
    });
}

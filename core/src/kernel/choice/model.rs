//! Meeting a select under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib choice`.

use std::task::Wake;

use loom::thread;

use super::*;
use crate::base::sync::atomic::AtomicBool;
use crate::base::sync::atomic::Ordering::{Acquire, Release};

/// Says whether it has been woken.
#[derive(Default)]
struct Told(AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Release);
    }
}

/// The finding of somebody who would meet an arm: whether it has, or else the flag that says whether it has
/// been told to try again; `None` if it had no need to be told, for it could have tried again at once.
fn meet(choice: &Choice, index: usize) -> Result<(), Option<Arc<Told>>> {
    if choice.try_commit(index) {
        return Ok(());
    }
    let told = Arc::new(Told::default());
    match choice.wake_when_free(StoredWaker::of(&Waker::from(Arc::clone(&told)))) {
        Some(_) => Err(None),
        None => Err(Some(told)),
    }
}

#[test]
fn one_arm_is_met_at_most_and_whoever_missed_it_is_told() {
    loom::model(|| {
        let choice = Arc::new(Choice::new());
        let others: Vec<_> = (0..2)
            .map(|index| {
                let choice = Arc::clone(&choice);
                thread::spawn(move || meet(&choice, index))
            })
            .collect();
        choice.open();
        let met = choice.begin();
        let results: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
        let winners: Vec<_> = (0..2).filter(|&index| results[index].is_ok()).collect();
        assert!(winners.len() <= 1, "both have met the select");
        assert_eq!(met, winners.first().copied(), "the select knows which arm was met");
        choice.finish();
        for result in results {
            if let Err(Some(told)) = result {
                assert!(told.0.load(Acquire), "nobody has told it to try again");
            }
        }
    });
}

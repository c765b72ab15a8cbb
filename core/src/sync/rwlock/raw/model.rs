//! Models of who is known to have the lock, by loom.

use std::sync::Arc;

use super::*;
use loom::thread;

/// Takes the lock for reading, as a task with this number.
fn read(raw: &RawRwLock, number: u64) -> Option<TaskId> {
    assert!(Access::<READER>(raw).try_lock());
    let holder = TaskId::from_u64(number);
    Access::<READER>(raw).add_holder(holder);
    holder
}

fn give_back(raw: &RawRwLock, holder: Option<TaskId>) {
    Access::<READER>(raw).remove_holder(holder);
    raw.release(READER);
}

/// Returns those who are known to have the lock, and the time for which they do, as a search takes it.
fn look(raw: &RawRwLock) -> (Vec<TaskId>, Tenure) {
    let access = Access::<WRITER>(raw);
    let tenure = access.tenure().expect("there always is one");
    (access.blockers(&WaitKey::new()).into_iter().flatten().collect(), tenure)
}

#[test]
fn whoever_has_seen_a_reader_is_told_when_it_gives_the_lock_back() {
    loom::model(|| {
        let raw = Arc::new(RawRwLock::new());
        let first = read(&raw, 1);
        let other = {
            let raw = Arc::clone(&raw);
            thread::spawn(move || {
                let second = read(&raw, 2);
                give_back(&raw, first);
                second
            })
        };
        let (seen, tenure) = look(&raw);
        let second = other.join().unwrap();
        assert!(tenure.is_over() || !seen.contains(&first.unwrap()), "nobody has said so");
        give_back(&raw, second);
        assert!(tenure.is_over());
        assert_eq!(look(&raw).0, [], "somebody who has gone is still known");
    });
}

/// Two enter at once, and may be unknown; but nobody is known who has gone.
#[test]
fn nobody_is_known_to_have_the_lock_who_has_given_it_back() {
    loom::model(|| {
        let raw = Arc::new(RawRwLock::new());
        let other = {
            let raw = Arc::clone(&raw);
            thread::spawn(move || {
                let own = read(&raw, 1);
                give_back(&raw, own);
            })
        };
        let own = read(&raw, 2);
        other.join().unwrap();
        assert!(!look(&raw).0.contains(&TaskId::from_u64(1).unwrap()));
        give_back(&raw, own);
        assert_eq!(look(&raw).0, []);
    });
}

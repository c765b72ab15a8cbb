//! Futures of twoply as arms of the selects of other libraries, which leave nothing behind in those that
//! lose.

use futures::FutureExt;
use twoply::{Wait, channel};
use twoply_tests::{Systems, laws};

laws! {
    everywhere {
        futures_select_takes_what_is_ready_and_loses_nothing,
        tokio_select_takes_what_is_ready_and_loses_nothing,
    }
}

fn futures_select_takes_what_is_ready_and_loses_nothing(on: &Systems) {
    let (numbers, received) = channel::bounded(1);
    let (words, heard) = channel::bounded(1);
    let sum = on.here().spawn(async move {
        let (mut sum, mut said) = (0, Vec::new());
        while sum < 6 || said.len() < 3 {
            futures::select! {
                number = received.recv().fuse() => sum += number.unwrap(),
                word = heard.recv().fuse() => said.push(word.unwrap()),
            }
        }
        (sum, said)
    });
    for (number, word) in [(1, "one"), (2, "two"), (3, "three")] {
        words.send(word).wait().unwrap();
        numbers.send(number).wait().unwrap();
    }
    assert_eq!(sum.wait().unwrap(), (6, vec!["one", "two", "three"]));
}

fn tokio_select_takes_what_is_ready_and_loses_nothing(on: &Systems) {
    let (numbers, received) = channel::bounded(1);
    let (words, heard) = channel::bounded(1);
    let sum = on.here().spawn(async move {
        let (mut sum, mut said) = (0, Vec::new());
        while sum < 6 || said.len() < 3 {
            tokio::select! {
                number = received.recv() => sum += number.unwrap(),
                word = heard.recv() => said.push(word.unwrap()),
            }
        }
        (sum, said)
    });
    for (number, word) in [(1, "one"), (2, "two"), (3, "three")] {
        words.send(word).wait().unwrap();
        numbers.send(number).wait().unwrap();
    }
    assert_eq!(sum.wait().unwrap(), (6, vec!["one", "two", "three"]));
}

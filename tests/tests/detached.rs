//! A detached task goes on, whatever its handle was set to before.

#![cfg(all(feature = "native", feature = "green"))]

use std::time::Duration;

use twoply::{Spawner, Wait, channel, time};

fn goes_on(spawner: &Spawner) {
    for cancel_on_drop in [false, true] {
        let (tx, rx) = channel::bounded(1);
        let task = spawner.spawn(async move {
            time::sleep(Duration::from_millis(5)).await;
            tx.send(7).await.expect("the receiver waits");
        });
        let task = if cancel_on_drop { task.cancel_on_drop() } else { task };
        task.detach();
        assert_eq!(rx.recv().wait(), Ok(7), "cancel_on_drop: {cancel_on_drop}");
    }
}

#[test]
fn a_detached_native_task_goes_on() {
    goes_on(&twoply::native());
}

#[test]
fn a_detached_green_task_goes_on() {
    goes_on(&twoply::green());
}

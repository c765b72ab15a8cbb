//! The program of the README: one function, run on green tasks and on OS threads.
#![forbid(unsafe_code)]

use std::thread;
use std::time::Duration;

use twoply::{Failure, Spawner, Wait, channel, time};

/// A task that sends and a task that adds up. It does not know what they will run on.
fn add_up(spawner: &Spawner) -> Result<u32, Failure> {
    let (numbers, received) = channel::bounded(1);

    // Straight-line code waits with `.wait()`: the thread parks, or the worker goes on with other tasks.
    let sender = spawner.spawn_fn(move || {
        for n in 1..=4 {
            time::sleep(Duration::from_millis(5)).wait();
            if numbers.send(n).wait().is_err() {
                break;
            }
        }
        println!("  sent from {:?}", thread::current().name().unwrap_or_default());
    });

    // Async code waits with `.await`. Every operation can be finished either way.
    let sum = spawner.spawn(async move {
        let mut sum = 0;
        while let Ok(n) = received.recv().await {
            sum += n;
        }
        println!("  added on {:?}", thread::current().name().unwrap_or_default());
        sum
    });

    sender.wait()?;
    sum.wait()
}

fn main() -> Result<(), Failure> {
    for spawner in [twoply::green(), twoply::native()] {
        println!("{}:", spawner.backend().name());
        assert_eq!(add_up(&spawner)?, 10);
    }
    Ok(())
}

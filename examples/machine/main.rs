//! A door with a code lock, as a state machine: Erlang's example for `gen_statem`.
//!
//! `cargo run --example machine`
//!
//! The right digits open it, and it locks itself after a while. Digits that are entered while it is open
//! count once it is locked again. Those that come too slowly are forgotten, and after three wrong codes the
//! door takes no more for a while, and sounds an alarm meanwhile.
#![deny(unsafe_code)]

mod door;
#[path = "../common/runtime.rs"]
mod runtime;

use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use door::{Door, Message, State};
use twoply::actor::{Builder, ExitReason, Machine, ProcessRef};
use twoply::channel::{self, Receiver};
use twoply::{Backend, Wait, time};

/// Opens and locks a door.
#[derive(Parser)]
struct Arguments {
    /// The backend that the door runs on.
    #[arg(long, default_value_t)]
    backend: Backend,
}

/// The right digits.
const CODE: [u8; 4] = [1, 7, 2, 9];

/// The time for which the door stays open.
const OPEN: Duration = Duration::from_millis(50);

/// The time for which the door waits for the next digit, and for which it sounds an alarm.
const PAUSE: Duration = Duration::from_millis(500);

/// Nothing in here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Enters digits.
fn enter(door: &ProcessRef<Message>, digits: &[u8]) -> anyhow::Result<()> {
    digits.iter().try_for_each(|digit| Ok(door.send(Message::Digit(*digit)).wait()?))
}

/// Waits until the door does these things, one after the other.
fn expect(done: &Receiver<&'static str>, expected: &[&str]) -> anyhow::Result<()> {
    for expected in expected {
        let what = time::timeout(PATIENCE, done.recv()).wait()??;
        println!("    {what}");
        ensure!(what == *expected, "this should have been: {expected}");
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = runtime::start(arguments.backend, 2)?;
    let (tell, done) = channel::unbounded();
    let door = Machine::new(Door::new(&CODE, OPEN, PAUSE, tell));
    let door = Builder::new().name("door").on(runtime.spawner().backend()).start_actor(door).wait()?;
    expect(&done, &["locked"])?;

    println!("Somebody knows the code, and the door locks itself after them:");
    enter(&door, &CODE)?;
    expect(&done, &["open", "locked"])?;

    println!("The next one is quick: the digits count when the door is locked.");
    enter(&door, &CODE)?;
    enter(&door, &CODE)?;
    expect(&done, &["open", "locked", "open", "locked"])?;

    println!("Half a code is forgotten:");
    enter(&door, &CODE[..2])?;
    expect(&done, &["forgotten"])?;
    ensure!(door.ask(Message::State).wait()? == State::Locked);

    println!("Three wrong codes are too many, and what is entered after them is not heard:");
    for _ in 0..3 {
        enter(&door, &[9, 2, 7, 1])?;
    }
    expect(&done, &["wrong", "wrong", "wrong", "alarm"])?;
    enter(&door, &CODE)?;
    expect(&done, &["locked"])?;

    println!("In the evening the door is taken out of service:");
    enter(&door, &CODE)?;
    let reason = door.stop_gracefully(ExitReason::shutdown_with("evening")).wait();
    expect(&done, &["open", "out of service"])?;
    println!("    {reason}");
    ensure!(reason == ExitReason::shutdown_with("evening"));
    Ok(())
}

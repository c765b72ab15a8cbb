//! An evening in a restaurant where things go wrong: what its supervisors do about it, step by step.
//!
//! `cargo run --example supervision`
//!
//! The order book is an OS thread, the kitchen is green tasks, and who supervises whom is in [`open`].
//! Supervisors report what happens; the program prints it and checks that it is what it should be.
#![forbid(unsafe_code)]

mod staff;

use std::time::Duration;

use anyhow::{Context, ensure};
use staff::{Book, Cook, Dish, Entry, guest, order_book, waiter};
use twoply::actor::supervisor::{
    Backoff, ChildRef, ChildSpec, Mailbox, Report, Restart, Shutdown, Supervisor, SupervisorEvent,
    SupervisorRef,
};
use twoply::actor::{ExitReason, Registry};
use twoply::channel::broadcast;
use twoply::{Wait, time};

/// Nothing in here takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Restarts count for as long as this.
const EVENING: Duration = Duration::from_secs(5 * 60 * 60);

/// How long it takes until another cook is at the grill.
const BREATH: Duration = Duration::from_millis(5);

/// How long a guest may stay after closing time.
const CLOSING_TIME: Duration = Duration::from_millis(200);

/// The restaurant, as seen from outside.
struct Restaurant {
    /// Whose tree it is.
    owner: SupervisorRef,
    /// The cook at the grill, whoever that is at the moment.
    grill: ChildRef<Dish>,
    /// The order book.
    orders: ChildRef<Entry>,
    /// What the supervisors report, his and those below.
    events: broadcast::Receiver<SupervisorEvent>,
}

/// Opens the restaurant.
///
/// ```text
/// owner, rest for one      the kitchen and the waiter work from the order book, the waiter serves what is cooked
/// ├─ orders                keeps its mailbox: what is ordered while the book is being dried is not forgotten
/// ├─ kitchen, one for one  cooks do not depend on each other
/// │  ├─ grill
/// │  └─ oven
/// └─ waiter
/// ```
fn open(book: &Book) -> anyhow::Result<Restaurant> {
    let (sender, events) = broadcast::channel(64);

    let grill = ChildSpec::actor("grill", Cook::default).backoff(Backoff::new(BREATH, BREATH).jitter(0.0));
    let to_grill = grill.reference();
    let kitchen = Supervisor::one_for_one().intensity(1, EVENING).child(grill);
    let kitchen = kitchen.child(ChildSpec::actor("oven", Cook::default));

    let book = book.clone();
    let orders = ChildSpec::process_fn("orders", move |me| order_book(me, &book));
    let orders = orders.mailbox(Mailbox::Keep).register("orders").on(twoply::native().backend());
    let to_orders = orders.reference();

    let owner = Supervisor::rest_for_one().name("owner").intensity(3, EVENING).tree_events(&sender);
    let owner = owner.child(orders).child(ChildSpec::supervisor("kitchen", kitchen));
    let owner = owner.child(ChildSpec::process("waiter", waiter).restart(Restart::Transient));
    let owner = owner.on(twoply::green().backend()).start().wait()?;
    Ok(Restaurant { owner, grill: to_grill, orders: to_orders, events })
}

/// A report without what differs from one run to the next.
fn describe(report: &Report) -> String {
    match report {
        Report::Started { id, .. } => format!("{id} starts"),
        Report::Restarted { id, .. } => format!("{id} starts again"),
        Report::Ended { id, reason, .. } => format!("{id} has ended: {reason}"),
        Report::Stopped { id, reason, .. } => format!("{id} is stopped: {reason}"),
        other => other.to_string(),
    }
}

impl Restaurant {
    /// Prints the next reports, which must be these.
    fn expect(&mut self, expected: &[&str]) -> anyhow::Result<()> {
        for expected in expected {
            let event = time::timeout(PATIENCE, self.events.recv()).wait().context("nothing happens")??;
            let report = describe(&event.report);
            println!("    {report}");
            ensure!(report == *expected, "this should have been: {expected}");
        }
        Ok(())
    }

    /// Prints the tree, with the processes numbered in the order in which they stand there.
    fn print_tree(&self) -> anyhow::Result<()> {
        let mut number = 0;
        for line in self.owner.tree().wait()?.to_string().lines() {
            let (before, pid) = line.split_once('<').context("each line has a process")?;
            let (_, after) = pid.split_once('>').context("a process is in brackets")?;
            number += 1;
            println!("    {before}<{number}>{after}");
        }
        ensure!(number == 6, "there are {number} processes");
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let book = Book::default();

    println!("The restaurant opens, from the order book to the waiter:");
    let mut restaurant = open(&book)?;
    restaurant.expect(&[
        "orders starts",
        "grill starts",
        "oven starts",
        "kitchen starts",
        "waiter starts",
    ])?;
    restaurant.print_tree()?;

    println!("A steak is no trouble, but a dragon burns the cook, who alone is replaced:");
    let steak = restaurant.grill.ask(|done| Dish("steak", done)).wait()?;
    ensure!(steak == 1, "the cook's dish number {steak}");
    let dragon = restaurant.grill.ask(|done| Dish("dragon", done)).wait();
    ensure!(dragon.is_err(), "a dragon was served");
    restaurant.expect(&[
        "grill has ended: failed: burnt by a dragon",
        "grill is restarted in 5ms",
        "grill starts again",
    ])?;
    let steak = restaurant.grill.ask(|done| Dish("steak", done)).wait()?;
    ensure!(steak == 1, "a new cook has cooked {steak} dishes");

    println!("A second dragon is too much for the kitchen, which gives up. Its owner opens another one:");
    let dragon = restaurant.grill.ask(|done| Dish("dragon", done)).wait();
    ensure!(dragon.is_err(), "a dragon was served");
    restaurant.expect(&[
        "grill has ended: failed: burnt by a dragon",
        "grill is not restarted any more: too many restarts",
        "oven is stopped: shutdown",
        "kitchen has ended: shutdown",
        "waiter is stopped: shutdown",
        "grill starts",
        "oven starts",
        "kitchen starts again",
        "waiter starts again",
    ])?;

    println!("Ink is spilt over the order book. What was ordered meanwhile is still written down, once:");
    let orders = restaurant.orders.process().context("the book is open")?;
    for entry in [Entry::Write("soup"), Entry::Spill, Entry::Write("fish"), Entry::Write("cake")] {
        orders.send(entry).wait()?;
    }
    restaurant.expect(&[
        "orders has ended: failed: spilt ink",
        "waiter is stopped: shutdown",
        "oven is stopped: shutdown",
        "grill is stopped: shutdown",
        "kitchen is stopped: shutdown",
        "orders starts again",
        "grill starts",
        "oven starts",
        "kitchen starts again",
        "waiter starts again",
    ])?;
    let named = Registry::global().whereis::<Entry>("orders")?.context("the book has its name again")?;
    ensure!(named == orders, "a kept mailbox has one reference");
    let written = named.ask(Entry::Read).wait()?;
    println!("    in the book: {}", written.join(", "));
    ensure!(written == ["soup", "fish", "cake"], "the book is wrong");

    println!("A guest comes in, who will not leave by himself. At closing time everybody goes, in reverse:");
    let stubborn = ChildSpec::process("guest", guest).shutdown(Shutdown::Deadline(CLOSING_TIME));
    let stubborn = stubborn.settings(|builder| builder.trap_exit(true));
    let guest = restaurant.owner.start_child(stubborn).wait()?;
    restaurant.expect(&["guest starts"])?;
    let reason = restaurant.owner.stop().wait();
    restaurant.expect(&[
        "guest is stopped: killed",
        "waiter is stopped: shutdown",
        "oven is stopped: shutdown",
        "grill is stopped: shutdown",
        "kitchen is stopped: shutdown",
        "orders is stopped: shutdown",
    ])?;
    ensure!(reason == ExitReason::Normal, "the owner has ended: {reason}");
    ensure!(!guest.is_alive_here(), "the guest is still there");
    ensure!(Registry::global().whereis_pid("orders").is_none(), "the name is still taken");
    ensure!(restaurant.events.recv().wait().is_err(), "somebody has something to report");
    println!("Everybody has gone home.");
    Ok(())
}

//! The staff of the restaurant, and its guest. None of them knows who supervises it, or what it runs on.

use std::sync::{Arc, Mutex, PoisonError};

use twoply::Wait;
use twoply::actor::{Actor, Context, Event, Process};
use twoply::promise::Resolver;

/// What is asked of a cook: a dish. The answer is how many this cook has cooked.
pub(crate) struct Dish(pub(crate) &'static str, pub(crate) Resolver<u32>);

/// A cook, whom some dishes are too much for.
#[derive(Default)]
pub(crate) struct Cook {
    /// How many dishes he has cooked.
    cooked: u32,
}

impl Actor for Cook {
    type Message = Dish;
    type Error = String;

    async fn handle(&mut self, Dish(dish, done): Dish, _: &mut Context<Cook>) -> Result<(), String> {
        if dish == "dragon" {
            return Err("burnt by a dragon".to_owned());
        }
        self.cooked += 1;
        // Who has gone home need not be told.
        let _ = done.resolve(self.cooked);
        Ok(())
    }
}

/// What the order book is told.
pub(crate) enum Entry {
    /// Write this down.
    Write(&'static str),
    /// Ink is spilt over it.
    Spill,
    /// What is written there?
    Read(Resolver<Vec<&'static str>>),
}

/// The book itself, which is there whoever holds it.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Vec<&'static str>>>);

/// Holds the order book. This is straight-line code: it waits where it stands.
pub(crate) fn order_book(mut me: Process<Entry>, book: &Book) -> Result<(), &'static str> {
    while let Some(entry) = me.receive().wait().message() {
        let mut orders = book.0.lock().unwrap_or_else(PoisonError::into_inner);
        match entry {
            Entry::Write(order) => orders.push(order),
            Entry::Spill => return Err("spilt ink"),
            // As above.
            Entry::Read(answer) => drop(answer.resolve(orders.clone())),
        }
    }
    Ok(())
}

/// Waits on guests, and goes when it is told to.
pub(crate) async fn waiter(mut me: Process<()>) {
    while let Event::Message(()) = me.receive().await {}
}

/// Does not go when it is told to.
pub(crate) async fn guest(mut me: Process<()>) {
    loop {
        me.receive().await;
    }
}

//! The stock of a shop: an actor whose messages are its methods.
//!
//! `cargo run --example stock --features macros`
//!
//! The attribute `actor` writes the enum of messages and `StockRef`, a reference with the same methods.
//! Clerks on many tasks sell from one stock; a buyer delivers what has run short, when the stock says so.
#![deny(unsafe_code)]

#[path = "../common/runtime.rs"]
mod runtime;

use std::collections::BTreeMap;

use anyhow::ensure;
use clap::Parser;
use twoply::actor::{Builder, Context};
use twoply::future::join_all;
use twoply::{Backend, Failure, Wait, actor, channel};

/// Sells from one stock.
#[derive(Parser)]
struct Arguments {
    /// The backend that everything runs on.
    #[arg(long, default_value_t)]
    backend: Backend,
    /// The number of clerks.
    #[arg(long, default_value_t = 8)]
    clerks: u32,
}

/// The goods of the shop.
struct Stock {
    shelves: BTreeMap<&'static str, u32>,
    /// Gets each item that is sold out.
    buyer: channel::Sender<&'static str>,
}

/// There is not as much of it.
#[derive(Debug, PartialEq)]
struct SoldOut;

#[actor]
impl Stock {
    /// Puts `count` more on the shelf.
    fn deliver(&mut self, item: &'static str, count: u32) {
        *self.shelves.entry(item).or_default() += count;
    }

    /// Takes `count` from the shelf, and returns how many are left.
    async fn take(&mut self, item: &'static str, count: u32) -> Result<u32, SoldOut> {
        let left = self.shelves.get_mut(item).ok_or(SoldOut)?;
        *left = left.checked_sub(count).ok_or(SoldOut)?;
        let left = *left;
        if left == 0 {
            // Nobody is served while the buyer has too much to do.
            let _ = self.buyer.send(item).await;
        }
        Ok(left)
    }

    /// Returns what is on the shelves.
    fn count(&self) -> BTreeMap<&'static str, u32> {
        self.shelves.clone()
    }

    /// Closes the shop.
    fn close(&mut self, cx: &mut Context<Self>) {
        cx.stop();
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = runtime::start(arguments.backend, 2)?;
    let (buyer, orders) = channel::bounded(1);
    let stock = Stock { shelves: BTreeMap::from([("bread", 10), ("milk", 10)]), buyer };
    let stock: StockRef = Builder::new().on(runtime.spawner().backend()).spawn_actor(stock)?.into();

    let supplied = stock.clone();
    let buying = runtime.spawn_fn(move || {
        let mut deliveries = 0;
        while let Ok(item) = orders.recv().wait() {
            deliveries += 1;
            if supplied.deliver(item, 10).wait().is_err() {
                break;
            }
        }
        deliveries
    });
    let clerks = (0..arguments.clerks).map(|_| {
        let stock = stock.clone();
        runtime.spawn(async move {
            let mut refused = 0;
            for item in ["bread", "milk"].into_iter().cycle().take(20) {
                // Whoever finds nothing comes again when there was a delivery.
                while stock.take(item, 1).await? == Err(SoldOut) {
                    refused += 1;
                    twoply::future::yield_now().await;
                }
            }
            Ok::<u32, Failure>(refused)
        })
    });
    let refused = join_all(clerks.collect::<Vec<_>>())
        .wait()
        .into_iter()
        .map(|clerk| clerk?)
        .sum::<Result<u32, _>>()?;

    let left = stock.count().wait()?;
    println!("{left:?} is left, and {refused} customers had to come again");
    stock.close().wait()?;
    stock.as_ref().ended().wait();
    let deliveries: u32 = buying.wait()?;
    println!("there were {deliveries} deliveries");
    let sold = 20 * arguments.clerks;
    ensure!(stock.count().wait().is_err(), "the shop is closed");
    ensure!(20 + 10 * deliveries >= sold, "nothing is sold that is not there");
    Ok(())
}

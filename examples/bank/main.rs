//! A bank whose accounts are actors: any value becomes one, and closures are its messages.
//!
//! `cargo run --example bank`
//!
//! First many tellers transfer money at the same time, and none is lost. Then two customers pay each other in
//! the wrong way: each holds on to its own account until it has the other one's receipt. With locks this
//! would hang; here one of them is told, with the names of those who wait in a circle, and does without the
//! receipt.
#![deny(unsafe_code)]

mod account;
#[path = "../common/runtime.rs"]
mod runtime;

use std::time::{Duration, Instant};

use account::{Account, Refused, hand_over, transfer};
use anyhow::ensure;
use clap::Parser;
use twoply::actor::Active;
use twoply::future::join_all;
use twoply::{Backend, Failure, Spawner, Wait, promise};

/// Moves money between accounts that are actors.
#[derive(Parser)]
struct Arguments {
    /// What everything runs on.
    #[arg(long, default_value_t)]
    backend: Backend,
    /// How many accounts there are.
    #[arg(long, default_value_t = 20)]
    accounts: usize,
    /// How many tellers transfer money at the same time.
    #[arg(long, default_value_t = 50)]
    tellers: usize,
    /// How often each of them does.
    #[arg(long, default_value_t = 200)]
    transfers: usize,
}

/// Opens an account.
fn open(spawner: &Spawner, owner: &str, balance: u64) -> Active<Account> {
    Active::builder().name(owner).on(spawner.backend()).build(Account::new(balance))
}

/// A day in which many tellers transfer money at random.
async fn busy_day(spawner: Spawner, arguments: Arguments) -> anyhow::Result<()> {
    let names = (0..arguments.accounts).map(|n| format!("account {n}"));
    let accounts: Vec<_> = names.map(|name| open(&spawner, &name, 1_000)).collect();
    let start = Instant::now();
    let tellers = (0..arguments.tellers).map(|_| {
        let (accounts, transfers) = (accounts.clone(), arguments.transfers);
        spawner.spawn(async move {
            let mut refused = 0;
            for _ in 0..transfers {
                let [from, to] = [(); 2].map(|()| &accounts[fastrand::usize(..accounts.len())]);
                match transfer(from, to, fastrand::u64(1..500)).await? {
                    Ok(()) => {}
                    Err(Refused) => refused += 1,
                }
            }
            Ok::<_, Failure>(refused)
        })
    });
    let mut refused = 0;
    for teller in join_all(tellers.collect::<Vec<_>>()).await {
        refused += teller??;
    }
    let took = start.elapsed();

    // All are asked at once; then the answers are waited for.
    let balances = join_all(accounts.iter().map(|account| account.ask(|account| account.balance()))).await;
    let total = balances.into_iter().sum::<Result<u64, Failure>>()?;
    let asked = arguments.tellers * arguments.transfers;
    println!("{} transfers in {took:.1?}, {refused} refused, {total} in all accounts", asked - refused);
    ensure!(total == 1_000 * arguments.accounts as u64, "money was lost or made");
    Ok(())
}

/// Two customers who pay each other, and each holds on to its own account till it has the other one's
/// receipt.
async fn embrace(spawner: Spawner) -> anyhow::Result<()> {
    let (anna, bob) = (open(&spawner, "anna", 100), open(&spawner, "bob", 100));
    // Neither goes on before both have come, or one might be done too early to be in the other's way.
    let (open, doors) = promise::pair();
    let paid_by_anna = hand_over(&anna, &bob, 30, open.clone());
    let paid_by_bob = hand_over(&bob, &anna, 50, open);
    doors.resolve(())?;
    let outcomes = [("anna", paid_by_anna.await?), ("bob", paid_by_bob.await?)];
    let mut deadlocks = 0;
    for (who, outcome) in outcomes {
        match outcome {
            Ok(()) => println!("{who} has paid and has a receipt"),
            Err(Failure::Deadlock(circle)) => {
                deadlocks += 1;
                println!("{who} has paid and cannot wait for a receipt, that would be a deadlock: {circle}");
            }
            Err(other) => return Err(other.into()),
        }
    }
    let total = anna.ask(|account| account.balance()).await? + bob.ask(|account| account.balance()).await?;
    ensure!(deadlocks == 1, "{deadlocks} deadlocks were found");
    ensure!(total == 200, "{total} is left of 200");
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.accounts > 0, "a bank has accounts");
    let runtime = runtime::start(arguments.backend, std::thread::available_parallelism()?.get())?;
    let spawner = runtime.spawner().clone();
    runtime.spawn(busy_day(spawner.clone(), arguments)).wait()??;
    runtime.spawn(embrace(spawner)).wait()??;
    runtime.shutdown(Duration::from_secs(5))?;
    Ok(())
}

//! A translation bureau: a pool of actors behind one reference, which grows, loses a member and goes on.
//!
//! `cargo run --example pool`
//!
//! Texts go to whoever is idle first, so nobody waits behind a long one. One of the texts is more than a
//! translator can bear: the pool's supervisor has another one take the desk, and what is in the queue is
//! translated all the same. Each finished text is announced on a topic, to which an archive and a slow reader
//! subscribe.
#![deny(unsafe_code)]

#[path = "../common/runtime.rs"]
mod runtime;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use twoply::actor::{Actor, Backlog, Builder, Context, Event, ExitReason, Pool, Process, Routing, Topic};
use twoply::future::join_all;
use twoply::promise::Resolver;
use twoply::{Backend, Failure, Wait, time};

/// Has texts translated by a pool.
#[derive(Parser)]
struct Arguments {
    /// The backend that everything runs on.
    #[arg(long, default_value_t)]
    backend: Backend,
    /// The number of texts.
    #[arg(long, default_value_t = 200)]
    texts: usize,
}

/// The text that nobody can translate.
const UNBEARABLE: &str = "finnegans wake";

/// A member of the pool.
struct Translator {
    /// Gets each text that is done.
    done: Topic<Arc<str>>,
}

/// A text, and where its translation goes.
struct Text(String, Resolver<String>);

impl Actor for Translator {
    type Message = Text;
    type Error = String;

    async fn handle(&mut self, Text(text, reply): Text, _: &mut Context<Translator>) -> Result<(), String> {
        if text == UNBEARABLE {
            return Err(format!("{text} is more than I can bear"));
        }
        // Long texts take long.
        time::sleep(Duration::from_micros(100 * text.len() as u64)).await;
        let translated: String = text.chars().rev().collect();
        self.done.publish(translated.as_str().into()).await;
        let _ = reply.resolve(translated);
        Ok(())
    }
}

/// Counts what it is sent, until it is stopped.
async fn count(mut me: Process<Arc<str>>, pause: Duration, total: Resolver<usize>) -> ExitReason {
    let mut texts = 0;
    loop {
        match me.receive().await {
            Event::Message(_) => texts += 1,
            Event::Stop(reason) => {
                let _ = total.resolve(texts);
                return *reason;
            }
            _ => {}
        }
        time::sleep(pause).await;
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = runtime::start(arguments.backend, 2)?;
    let backend = runtime.spawner().backend().clone();

    let done = Topic::new();
    let (archived, total) = twoply::promise::pair();
    let archive = Builder::new().on(&backend).spawn(|me| count(me, Duration::ZERO, total))?;
    done.subscribe(&archive, Backlog::Wait);
    let (read, total) = twoply::promise::pair();
    let slow = Builder::new().on(&backend).capacity(1);
    let slow = slow.spawn(|me| count(me, Duration::from_millis(20), total))?;
    done.subscribe(&slow, Backlog::Drop);

    let announce = done.clone();
    let pool = Pool::builder().size(2).routing(Routing::first_idle(16)).intensity(3, Duration::from_secs(60));
    let pool = pool.on(&backend).start(move || Translator { done: announce.clone() }).wait()?;
    println!("{} translators begin", pool.members().len());

    let texts: Vec<String> =
        (0..arguments.texts).map(|n| format!("text {n} {}", "la ".repeat(n % 10))).collect();
    let half = texts.len() / 2;
    let translate = |texts: &[String]| {
        let all = texts.iter().map(|text| pool.ask(|reply| Text(text.clone(), reply)));
        join_all(all.collect::<Vec<_>>()).wait().into_iter().collect::<Result<Vec<_>, Failure>>()
    };
    let mut translated = translate(&texts[..half])?;

    println!("one of them meets with {UNBEARABLE}");
    let failure = pool.ask(|reply| Text(UNBEARABLE.into(), reply)).wait();
    ensure!(failure.is_err(), "nobody can translate it");
    pool.resize(4).wait()?;
    println!("{} translators go on", pool.members().len());
    translated.extend(translate(&texts[half..])?);

    let expected = texts.iter().map(|text| text.chars().rev().collect::<String>());
    ensure!(translated.into_iter().eq(expected), "each text is translated once");
    ensure!(pool.stop_gracefully().wait() == ExitReason::Normal);
    archive.stop_gracefully(ExitReason::Normal).wait();
    slow.stop_gracefully(ExitReason::Normal).wait();
    let (archived, read) = (archived.wait()?, read.wait()?);
    println!("{archived} texts are archived, and {read} have been read by somebody slow");
    ensure!(archived == texts.len() && read <= archived);
    Ok(())
}

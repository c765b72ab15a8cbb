//! State machines: a turnstile that gets coins and people by turns, each of which changes its state. An
//! operation is an event. They are sent by one task, which waits for room.
//!
//! `twoply-green` and `twoply-native` are a [`StateMachine`]; in `twoply-green-actor` an actor has the same
//! states in an enum, as a task with a loop over tokio's channel has them: with no timeouts, no events that
//! are postponed, and no order of these that anybody would have to keep.

use std::convert::Infallible;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::{mpsc, oneshot};
use twoply::actor::{
    Actor, Builder, Context as Me, ExitReason, Machine, MachineContext, MachineEvent, ProcessRef,
    StateMachine, Transition,
};
use twoply::promise::{self, Resolver};

use super::{Case, Context, Run, Sample, check_count, timed};
use crate::runtimes::{self, Tasks as _};

const SYSTEMS: &[(&str, Run)] = &[
    ("tokio-current", tokio_loop),
    ("tokio-multi", tokio_loop),
    ("twoply-green-actor", actor),
    ("twoply-green", machine),
    ("twoply-native", machine),
];

pub(crate) const CASES: &[Case] = &[timed("state-machine", &[("capacity", 100), ("workers", 1)], SYSTEMS)];

/// The events that a run has at least; an even number, so that it ends as it has begun.
const STEP: usize = 1000;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Locked,
    Open,
}

/// What happens to a turnstile; `A` is what takes an answer.
enum Happening<A> {
    Coin,
    Push,
    /// Somebody asks how many have passed.
    Count(A),
}

impl<A> Happening<A> {
    /// The event with this number.
    fn of(number: usize) -> Self {
        if number.is_multiple_of(2) { Happening::Coin } else { Happening::Push }
    }
}

/// Checks that every second event has let somebody pass.
fn check(ops: usize, passed: usize) -> Result<()> {
    ensure!(ops.is_multiple_of(2), "{ops} events do not end as they begin");
    check_count(ops / 2, passed)
}

#[derive(Default)]
struct Turnstile {
    passed: usize,
}

impl StateMachine for Turnstile {
    type State = State;
    type Message = Happening<Resolver<usize>>;
    type Timer = ();
    type Error = Infallible;

    async fn started(&mut self, _: &mut MachineContext<'_, Self>) -> Result<State, Infallible> {
        Ok(State::Locked)
    }

    async fn handle(
        &mut self,
        state: State,
        event: MachineEvent<Self::Message>,
        _: &mut MachineContext<'_, Self>,
    ) -> Result<Transition<Self>, Infallible> {
        let MachineEvent::Message(event) = event else { return Ok(Transition::keep()) };
        Ok(match (state, event) {
            (State::Locked, Happening::Coin) => Transition::to(State::Open),
            (State::Open, Happening::Push) => {
                self.passed += 1;
                Transition::to(State::Locked)
            }
            (_, Happening::Count(answer)) => {
                answer.resolve(self.passed).ok();
                Transition::keep()
            }
            _ => Transition::keep(),
        })
    }
}

/// The same with its state in a field.
struct Gate {
    state: State,
    passed: usize,
}

impl Gate {
    fn new() -> Self {
        Gate { state: State::Locked, passed: 0 }
    }

    /// Handles an event. Returns what an answer is to be given to.
    fn handle<A>(&mut self, event: Happening<A>) -> Option<A> {
        match (self.state, event) {
            (State::Locked, Happening::Coin) => self.state = State::Open,
            (State::Open, Happening::Push) => {
                self.passed += 1;
                self.state = State::Locked;
            }
            (_, Happening::Count(answer)) => return Some(answer),
            _ => {}
        }
        None
    }
}

impl Actor for Gate {
    type Message = Happening<Resolver<usize>>;
    type Error = Infallible;

    async fn handle(&mut self, event: Self::Message, _: &mut Me<Self>) -> Result<(), Infallible> {
        if let Some(answer) = Gate::handle(self, event) {
            answer.resolve(self.passed).ok();
        }
        Ok(())
    }
}

/// Sends the events to a process, and asks it how many have passed.
async fn send(ops: usize, process: ProcessRef<Happening<Resolver<usize>>>) -> Result<()> {
    for number in 0..ops {
        process.send(Happening::of(number)).await.ok().context("the process has ended")?;
    }
    let (answer, resolver) = promise::pair();
    process.send(Happening::Count(resolver)).await.ok().context("the process has ended")?;
    check(ops, answer.await?)?;
    process.exit(ExitReason::Shutdown);
    Ok(())
}

fn actors(ctx: &Context, start: impl Fn(Builder<Happening<Resolver<usize>>>) -> Started) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(STEP, |ops| {
        let builder = Builder::new().on(runtime.spawner().backend()).capacity(ctx.param("capacity"));
        runtime.run(send(ops, start(builder)?))?
    })
}

/// A process that has been started.
type Started = Result<ProcessRef<Happening<Resolver<usize>>>>;

fn machine(ctx: &Context) -> Result<Sample> {
    actors(ctx, |builder| Ok(builder.spawn_actor(Machine::new(Turnstile::default()))?))
}

fn actor(ctx: &Context) -> Result<Sample> {
    actors(ctx, |builder| Ok(builder.spawn_actor(Gate::new())?))
}

fn tokio_loop(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(STEP, |ops| {
        let (sender, mut events) = mpsc::channel::<Happening<oneshot::Sender<usize>>>(ctx.param("capacity"));
        runtime.spawn(async move {
            let mut gate = Gate::new();
            while let Some(event) = events.recv().await {
                if let Some(answer) = gate.handle(event) {
                    answer.send(gate.passed).ok();
                }
            }
        });
        runtime.block_on(runtime.spawn(async move {
            for number in 0..ops {
                sender.send(Happening::of(number)).await.ok().context("the task has ended")?;
            }
            let (answer, passed) = oneshot::channel();
            sender.send(Happening::Count(answer)).await.ok().context("the task has ended")?;
            check(ops, passed.await?)
        }))?
    })
}

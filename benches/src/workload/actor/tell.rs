//! Messages from one actor to another, which counts them. The sender sends a thousand, or as many as `queued`
//! says, and waits for the receiver to say that they are there before it sends the next, so that the mailbox
//! is neither empty nor without end.

use anyhow::Result;

use super::Workload;
use super::system::{Behaviour, Flow, Me, Outcome, Ref, System};
use crate::peers;
use crate::workload::{Context, Sample, check_count};

/// How many messages are on their way at most, unless a parameter says so.
const GROUP: usize = 1000;

/// See the [module](self).
pub(super) struct Tell;

/// Sends.
struct Sender<S: System> {
    /// Whom it sends to.
    counter: Ref<S, Counter>,
    /// How many messages are on their way at most.
    group: usize,
    /// How many messages are still to be sent.
    left: usize,
    /// Held to the end.
    _outcome: Outcome,
}

/// Counts.
struct Counter {
    /// How many have come.
    count: usize,
    /// Gets the count.
    outcome: Outcome,
}

/// To the counter.
enum ToCounter<S: System> {
    /// One of a group.
    Message,
    /// The last one of a group.
    Last(Ref<S, Sender<S>>),
    /// There are no more.
    End,
}

impl<S: System> Behaviour<S> for Sender<S> {
    /// Send the next group.
    type Message = ();

    fn handle(&mut self, (): (), me: &impl Me<S, Self>) -> Flow {
        if self.left == 0 {
            self.counter.tell(ToCounter::End);
            return Flow::Stop;
        }
        for _ in 1..self.group {
            self.counter.tell(ToCounter::Message);
        }
        self.counter.tell(ToCounter::Last(me.me()));
        self.left -= self.group;
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Counter {
    type Message = ToCounter<S>;

    fn handle(&mut self, message: ToCounter<S>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToCounter::Message => self.count += 1,
            ToCounter::Last(sender) => {
                self.count += 1;
                sender.tell(());
            }
            ToCounter::End => {
                self.outcome.add(self.count as u64);
                return Flow::Stop;
            }
        }
        Flow::Continue
    }
}

impl Workload for Tell {
    fn measure<S: System>(ctx: &Context) -> Result<Sample> {
        let system = S::start(ctx)?;
        let group = ctx.param_or("queued", GROUP);
        ctx.time(group, |ops| {
            let counted = system.run(Box::new(move |outcome| {
                let counter = S::spawn(Counter { count: 0, outcome: outcome.clone() });
                S::spawn(Sender::<S> { counter, group, left: ops, _outcome: outcome }).tell(());
            }))?;
            check_count(ops, counted as usize)
        })
    }

    fn foreign(ctx: &Context) -> Result<Sample> {
        let group = ctx.param_or("queued", GROUP);
        peers::time(ctx, "tell", group, &[group], |ops| ops)
    }
}

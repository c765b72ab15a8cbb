//! Actors: what a message, a hop, an answer, an actor's life and an idle actor cost.
//!
//! | workload | what one operation is |
//! |---|---|
//! | `actor-tell` | a message from one actor to another; after each thousand the receiver says that it is there |
//! | `actor-tell-queued` | the same, with as many messages in the mailbox as the series says |
//! | `actor-tell-bounded` | a message into a mailbox of a limited size, whose sender waits for room |
//! | `actor-ask` | a question and its answer |
//! | `io-future` | the same, a hundred questions at a time: calls that give futures, which are waited for later |
//! | `actor-pool` | a question to a pool of actors and its answer, a hundred at a time |
//! | `actor-ring` | a hop of a message around a ring of a thousand actors |
//! | `actor-spawn` | the life of an actor that gets one message and ends, a thousand at a time |
//! | `actor-big` | a message among a hundred actors, each of which writes to all others and answers all others |
//! | `actor-memory` | nothing: the memory of an actor that waits for its first, or its second, message |
//!
//! `mpsc-tokio` is a bare tokio task with a channel; `erl` is Erlang, whose question is `gen_server:call`.
//! All mailboxes are unbounded, which is the one kind that all systems have, but for `actor-tell-bounded`,
//! where ractor and actix are missing: ractor has no bounded mailbox, and actix no way to wait for room but
//! to wait for an answer. xtra is missing in both `actor-tell`s: they rely on the order of messages, which
//! its mailbox does not keep.
//!
//! With one worker the peers run on tokio's current-thread runtime, with two on its multi-thread one. actix
//! has an arbiter for each worker; its askers share the thread of the actor, so it asks with one worker only.
//! The askers of `twoply-fibers` are straight-line code that blocks on a fiber, those of `twoply-native` have
//! a thread, as the actor that they ask; in `twoply-mixed` the asker is a green task and the actor a thread.

mod ask;
mod bounded;
mod life;
mod memory;
mod pool;
pub(crate) mod system;
mod tell;

use anyhow::Result;

use self::system::System;
use self::system::actix::Actix;
use self::system::kameo::Kameo;
use self::system::mpsc::Mpsc;
use self::system::ractor::Ractor;
use self::system::twoply::{Processes, Twoply};
use self::system::xtra::Xtra;
use super::{Case, Context, NANOSECONDS, Run, Sample, Series, timed};

/// The cases of all these workloads.
pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    [CASES, bounded::CASES, ask::CASES, pool::CASES, memory::CASES].into_iter().flatten()
}

/// How the costs grow with the number of actors, and with the messages that wait in a mailbox.
pub(crate) const SERIES: &[Series] = &[
    Series {
        workload: "actor-spawn",
        grows: "alive",
        sizes: &[10, 100, 1_000, 10_000, 100_000],
        fixed: &[("workers", 1)],
        measures: NANOSECONDS,
        systems: &[
            ("mpsc-tokio-current", life::Life::measure::<Mpsc>, usize::MAX),
            ("actix", life::Life::measure::<Actix>, usize::MAX),
            ("erl", life::Life::foreign, usize::MAX),
            ("twoply-green", life::Life::measure::<Twoply>, usize::MAX),
        ],
    },
    Series {
        workload: "actor-tell-queued",
        grows: "queued",
        sizes: &[1, 10, 100, 1_000, 10_000, 100_000],
        fixed: &[("workers", 1)],
        measures: NANOSECONDS,
        systems: &[
            ("mpsc-tokio-current", tell::Tell::measure::<Mpsc>, usize::MAX),
            ("actix", tell::Tell::measure::<Actix>, usize::MAX),
            ("erl", tell::Tell::foreign, usize::MAX),
            ("twoply-green", tell::Tell::measure::<Twoply>, usize::MAX),
        ],
    },
];

/// A workload that is written once for all systems.
trait Workload {
    /// Measures it on an actor library.
    fn measure<S: System>(ctx: &Context) -> Result<Sample>;

    /// Measures it in another language.
    fn foreign(ctx: &Context) -> Result<Sample>;
}

/// Who runs a workload with one worker.
const fn one_worker<W: Workload>() -> &'static [(&'static str, Run)] {
    &[
        ("mpsc-tokio-current", W::measure::<Mpsc>),
        ("kameo-tokio-current", W::measure::<Kameo>),
        ("ractor-tokio-current", W::measure::<Ractor>),
        ("xtra-tokio-current", W::measure::<Xtra>),
        ("actix", W::measure::<Actix>),
        ("erl", W::foreign),
        ("twoply-green", W::measure::<Twoply>),
        ("twoply-green-process", W::measure::<Processes>),
    ]
}

/// Who runs a workload with two workers.
const fn two_workers<W: Workload>() -> &'static [(&'static str, Run)] {
    &[
        ("mpsc-tokio-multi", W::measure::<Mpsc>),
        ("kameo-tokio-multi", W::measure::<Kameo>),
        ("ractor-tokio-multi", W::measure::<Ractor>),
        ("xtra-tokio-multi", W::measure::<Xtra>),
        ("actix", W::measure::<Actix>),
        ("erl", W::foreign),
        ("twoply-green", W::measure::<Twoply>),
        ("twoply-green-process", W::measure::<Processes>),
    ]
}

/// Who keeps the order of messages.
const TELL_ONE_WORKER: &[(&str, Run)] = &[
    ("mpsc-tokio-current", tell::Tell::measure::<Mpsc>),
    ("kameo-tokio-current", tell::Tell::measure::<Kameo>),
    ("ractor-tokio-current", tell::Tell::measure::<Ractor>),
    ("actix", tell::Tell::measure::<Actix>),
    ("erl", tell::Tell::foreign),
    ("twoply-green", tell::Tell::measure::<Twoply>),
    ("twoply-green-process", tell::Tell::measure::<Processes>),
];

/// Who keeps the order of messages.
const TELL_TWO_WORKERS: &[(&str, Run)] = &[
    ("mpsc-tokio-multi", tell::Tell::measure::<Mpsc>),
    ("kameo-tokio-multi", tell::Tell::measure::<Kameo>),
    ("ractor-tokio-multi", tell::Tell::measure::<Ractor>),
    ("actix", tell::Tell::measure::<Actix>),
    ("erl", tell::Tell::foreign),
    ("twoply-green", tell::Tell::measure::<Twoply>),
    ("twoply-green-process", tell::Tell::measure::<Processes>),
];

const CASES: &[Case] = &[
    timed("actor-tell", &[("workers", 1)], TELL_ONE_WORKER),
    timed("actor-tell", &[("workers", 2)], TELL_TWO_WORKERS),
    timed("actor-ring", &[("actors", 1000), ("workers", 1)], one_worker::<life::Ring>()),
    timed("actor-ring", &[("actors", 1000), ("workers", 2)], two_workers::<life::Ring>()),
    timed("actor-spawn", &[("alive", 1000), ("workers", 1)], one_worker::<life::Life>()),
    timed("actor-spawn", &[("alive", 1000), ("workers", 2)], two_workers::<life::Life>()),
    timed("actor-big", &[("actors", 100), ("workers", 1)], one_worker::<life::Big>()),
    timed("actor-big", &[("actors", 100), ("workers", 2)], two_workers::<life::Big>()),
];

//! I/O as messages: lines and frames of 64 bytes that come over TCP connections to this machine, and are
//! counted by one process or task in whose mailbox or channel all of them arrive. The figure is the time of
//! an item; the CPU time contains that of the sender, a thread that writes 64 items at a time to one
//! connection after the other.
//!
//! A connection has a port of ours, or a task of tokio's that reads a `Framed` and sends what it yields to a
//! `mpsc`. Mailbox and channel hold 1024 items, so both wait when the receiver is slower. Erlang's sockets
//! are in the modes `{packet, 4}` and `{packet, line}` with `{active, 100}`, and their owner counts.
//!
//! The ports of `twoply-native` run on another thread than their owner, mostly on another core, and their
//! items lie in memory that goes to and fro between the two. So that figure follows the one of `cache-line`,
//! which says how far apart two logical CPUs are at the time: a virtual machine may be moved. The items of
//! `twoply-native-shared` share the memory of those that are read with them, as tokio's frames do.

pub(crate) mod idle;

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::mpsc;

use anyhow::{Context as _, Result};
use futures_util::{Stream, StreamExt as _};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec, LinesCodec};
use twoply::actor::{self, Process};
use twoply::port::{self, Bytes, Frames, Lines, Prefix, Text};
use twoply::{Wait as _, net};

use super::{Case, Context, Run, Sample, check_count, timed};
use crate::{peers, runtimes};

const LINES: &[(&str, Run)] = &[
    ("tokio-current", |ctx| tokio_codec(ctx, Kind::Lines)),
    ("tokio-multi", |ctx| tokio_codec(ctx, Kind::Lines)),
    ("twoply-green", |ctx| twoply_port(ctx, Kind::Lines)),
    ("twoply-native", |ctx| twoply_port(ctx, Kind::Lines)),
    ("twoply-native-shared", |ctx| twoply_port(ctx, Kind::Lines)),
    ("erl", |ctx| erlang(ctx, Kind::Lines)),
];

const FRAMES: &[(&str, Run)] = &[
    ("tokio-current", |ctx| tokio_codec(ctx, Kind::Frames)),
    ("tokio-multi", |ctx| tokio_codec(ctx, Kind::Frames)),
    ("twoply-green", |ctx| twoply_port(ctx, Kind::Frames)),
    ("twoply-native", |ctx| twoply_port(ctx, Kind::Frames)),
    ("twoply-native-shared", |ctx| twoply_port(ctx, Kind::Frames)),
    ("erl", |ctx| erlang(ctx, Kind::Frames)),
];

const ONE: &[(&str, usize)] = &[("connections", 1), ("workers", 1)];
const SOME: &[(&str, usize)] = &[("connections", 100), ("workers", 1)];
const MANY: &[(&str, usize)] = &[("connections", 1000), ("workers", 1)];

pub(crate) const CASES: &[Case] = &[
    Case { quick: false, ..timed("cache-line", &[("threads", 2)], &[("std-thread", cache_line)]) },
    timed("port-lines", ONE, LINES),
    timed("port-lines", SOME, LINES),
    Case { quick: false, ..timed("port-lines", MANY, LINES) },
    timed("port-frames", ONE, FRAMES),
    timed("port-frames", SOME, FRAMES),
    Case { quick: false, ..timed("port-frames", MANY, FRAMES) },
];

/// Has two threads, each on a logical CPU of its own, hand a word to and fro that both look at without a
/// pause.
fn cache_line(ctx: &Context) -> Result<Sample> {
    let allowed = sched_getaffinity(None)?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let (here, there) = (cpus.next(), cpus.next());
    let stay = |cpu: Option<usize>| {
        let mut only = CpuSet::new();
        only.set(cpu.context("there is one CPU only")?);
        anyhow::Ok(sched_setaffinity(None, &only)?)
    };
    ctx.time(1, |ops| {
        let word = AtomicUsize::new(0);
        let hand_on = |first: usize, cpu| {
            let stays = stay(cpu);
            for turn in (first..2 * ops).step_by(2) {
                while word.load(Acquire) != turn {
                    std::hint::spin_loop();
                }
                word.store(turn + 1, Release);
            }
            stays
        };
        std::thread::scope(|scope| {
            // Two new ones: the calling thread would stay there for good.
            let both = [(0, here), (1, there)].map(|(first, cpu)| scope.spawn(move || hand_on(first, cpu)));
            both.into_iter().try_for_each(|one| one.join().ok().context("a thread has panicked")?)
        })?;
        check_count(2 * ops, word.into_inner())
    })
}

/// The kind of the items.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Lines of text.
    Lines,
    /// Frames with four bytes of length.
    Frames,
}

/// The number of items that are written to a connection in one call.
const ITEMS: usize = 64;

/// The number of items that the mailbox or channel holds.
const CAPACITY: usize = 1024;

/// The bytes of so many items, each of 64 with what marks its end or its length.
fn bytes(kind: Kind) -> Vec<u8> {
    let item = |number: usize| match kind {
        Kind::Frames => [&60_u32.to_be_bytes()[..], format!("{number:060}").as_bytes()].concat(),
        Kind::Lines => format!("{number:063}\n").into_bytes(),
    };
    (0..ITEMS).flat_map(item).collect()
}

/// Something for whoever counts.
enum Counted<T> {
    /// An item.
    Item(T),
    /// So many items are to come from now on; who asked is told when they have.
    Goal(usize, mpsc::Sender<()>),
}

/// The count of the items that have come.
#[derive(Default)]
struct Count {
    /// The number of items that are still to come, modulo the numbers that there are.
    left: usize,
    done: Option<mpsc::Sender<()>>,
}

impl Count {
    fn take<T>(&mut self, counted: Counted<T>) {
        match counted {
            Counted::Item(_) => self.left = self.left.wrapping_sub(1),
            // Added: items of a connection may overtake the word of how many there will be.
            Counted::Goal(goal, done) => (self.left, self.done) = (self.left.wrapping_add(goal), Some(done)),
        }
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            // Who asked may have given up, and then nothing is measured.
            let _ = done.send(());
        }
    }
}

/// So many connections: the ends of the sender, and those of the receivers.
fn connections(count: usize) -> Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let connect = |_| Ok((TcpStream::connect(address)?, listener.accept()?.0));
    (0..count).map(connect).collect()
}

/// Measures items that are written to `senders`. `goal` tells the counter how many are to come.
fn measure(
    ctx: &Context,
    kind: Kind,
    mut senders: Vec<TcpStream>,
    goal: impl Fn(usize, mpsc::Sender<()>) -> Result<()>,
) -> Result<Sample> {
    let bytes = bytes(kind);
    let step = ITEMS * senders.len();
    ctx.time(step, |ops| {
        let (done, all_done) = mpsc::channel();
        goal(ops, done)?;
        for _ in 0..ops / step {
            senders.iter_mut().try_for_each(|sender| sender.write_all(&bytes))?;
        }
        all_done.recv().context("the counter has ended")
    })
}

fn twoply_port(ctx: &Context, kind: Kind) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let backend = runtime.spawner().backend();
    let (senders, receivers) = connections(ctx.param("connections"))?;
    let streams = receivers.into_iter().map(net::TcpStream::from);
    // A codec whose items share memory has another type of items.
    macro_rules! measure_ports {
        ($port:expr) => {{
            let counter = start_ports(backend, streams.map($port))?;
            measure(ctx, kind, senders, |goal, done| Ok(counter.send(Counted::Goal(goal, done)).wait()?))
        }};
    }
    let frames = Frames::new(Prefix::U32);
    match (kind, ctx.system.ends_with("-shared")) {
        (Kind::Frames, false) => measure_ports!(|stream| port::frames(stream, frames.clone())),
        (Kind::Frames, true) => {
            let shared = frames.shared();
            measure_ports!(|stream| port::custom::<_, _, _, Bytes>(stream, shared.clone(), shared.clone()))
        }
        (Kind::Lines, false) => measure_ports!(port::lines),
        (Kind::Lines, true) => {
            let shared = Lines::new().shared();
            measure_ports!(|stream| port::custom::<_, _, _, Text>(stream, shared.clone(), shared.clone()))
        }
    }
}

/// Starts the ports, and the process that counts what comes.
fn start_ports<I: Send + 'static>(
    backend: &std::sync::Arc<dyn twoply::contract::backend::Backend>,
    ports: impl Iterator<Item = port::Builder<I, I>>,
) -> Result<actor::ProcessRef<Counted<port::Event<I>>>> {
    let builder = actor::Builder::new().capacity(CAPACITY).on(backend);
    let counter = builder.spawn(async |mut me: Process<Counted<port::Event<I>>>| {
        let mut count = Count::default();
        while let Some(counted) = me.receive().await.message() {
            count.take(counted);
        }
    })?;
    for port in ports {
        port.on(backend).into_mailbox(&counter, Counted::Item)?;
    }
    Ok(counter)
}

fn tokio_codec(ctx: &Context, kind: Kind) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let (senders, receivers) = connections(ctx.param("connections"))?;
    // The current-thread runtime runs where it is waited for.
    let (goals, new_goals) = tokio::sync::mpsc::unbounded_channel();
    let serve = tokio_serve(receivers, kind, new_goals);
    let served = std::thread::spawn(move || runtime.block_on(serve));
    let sample =
        measure(ctx, kind, senders, |goal, done| goals.send((goal, done)).context("the counter has ended"));
    drop(goals);
    served.join().ok().context("the runtime panicked")??;
    sample
}

/// Reads the connections and counts, until nobody has a goal any more and all connections have ended.
async fn tokio_serve(
    receivers: Vec<TcpStream>,
    kind: Kind,
    mut goals: tokio::sync::mpsc::UnboundedReceiver<(usize, mpsc::Sender<()>)>,
) -> Result<()> {
    let (sender, receiver) = tokio::sync::mpsc::channel(CAPACITY);
    for stream in receivers {
        stream.set_nonblocking(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        if kind == Kind::Frames {
            let items = FramedRead::new(stream, LengthDelimitedCodec::new());
            tokio::spawn(forward(items.map(|item| item.map(Yielded::Frame).ok()), sender.clone()));
        } else {
            let items = FramedRead::new(stream, LinesCodec::new_with_max_length(64 << 10));
            tokio::spawn(forward(items.map(|item| item.map(Yielded::Line).ok()), sender.clone()));
        }
    }
    tokio::spawn(async move {
        while let Some((goal, done)) = goals.recv().await {
            if sender.send(Counted::Goal(goal, done)).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(count(receiver)).await?;
    Ok(())
}

fn erlang(ctx: &Context, kind: Kind) -> Result<Sample> {
    let bytes = bytes(kind);
    let connections = ctx.param("connections");
    let step = ITEMS * connections;
    peers::time_served(ctx, "ports", step, &[usize::from(kind == Kind::Frames)], |port| {
        let connect = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let mut senders = (0..connections).map(connect).collect::<Result<Vec<_>, _>>()?;
        Ok(move |ops: usize| {
            for _ in 0..ops / step {
                senders.iter_mut().try_for_each(|sender| sender.write_all(&bytes))?;
            }
            Ok(())
        })
    })
}

/// What a codec of tokio's yields; kept until it has been counted, as ours is.
#[allow(dead_code, reason = "it is counted, and not looked at")]
enum Yielded {
    Line(String),
    Frame(tokio_util::bytes::BytesMut),
}

/// Sends what a connection yields to the counter.
async fn forward(
    mut items: impl Stream<Item = Option<Yielded>> + Unpin,
    sender: tokio::sync::mpsc::Sender<Counted<Yielded>>,
) {
    while let Some(Some(item)) = items.next().await {
        if sender.send(Counted::Item(item)).await.is_err() {
            return;
        }
    }
}

/// Counts what comes, until all senders are gone: the connections' go with the sender's ends.
async fn count(mut receiver: tokio::sync::mpsc::Receiver<Counted<Yielded>>) {
    let mut count = Count::default();
    while let Some(counted) = receiver.recv().await {
        count.take(counted);
    }
}

//! A proxy: two connections over loopback, and all bytes from each to the other, both ways at a time.
//!
//! The two who speak through it are four threads of this process, one that writes and one that reads at each
//! end. Their CPU time is taken off, so that what remains is the proxy's. On loopback a byte is handed from
//! sender to receiver in the call of the sender, so writing costs more than it does to a network card.
//!
//! What differs: `std-thread` is two threads with `std::io::copy`, which splices between sockets, as
//! `twoply-green`, `twoply-fibers` and `twoply-native` do. `tokio` copies through buffers of 8 KiB, its own
//! size, `tokio-multi-64k` through ones of 64 KiB, as `twoply-green-buffer` does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use twoply::Wait as _;

use super::{Better, Case, Context, Measure, Run, Sample};
use crate::runtimes::{self, Tasks as _};
use crate::usage;

const MEASURES: &[Measure] = &[
    Measure { name: "cpu", unit: "ms/GiB", better: Better::Lower },
    Measure { name: "rate", unit: "GiB/s", better: Better::Higher },
];

const SYSTEMS: &[(&str, Run)] = &[
    ("std-thread", std_threads),
    ("tokio-current", tokio),
    ("tokio-multi", tokio),
    ("tokio-multi-64k", tokio),
    ("twoply-green", twoply),
    ("twoply-green-buffer", twoply),
    ("twoply-fibers", twoply),
    ("twoply-native", twoply),
];

pub(crate) const CASES: &[Case] = &[Case {
    workload: "proxy",
    params: &[("workers", 1)],
    measures: MEASURES,
    quick: true,
    systems: SYSTEMS,
}];

/// The size of a write and of a read at the ends, in bytes.
const CHUNK: usize = 128 * 1024;

/// The number of bytes that both ways together have, for each step.
const STEP: usize = 2 * 64 * 1024 * 1024;

/// Both ends of one connection.
fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

/// The CPU time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Writes `len` bytes and closes the stream for writing. Returns the CPU time of it.
fn write(mut stream: &TcpStream, len: usize) -> Result<Duration> {
    let chunk = vec![7; CHUNK];
    let mut left = len;
    while left > 0 {
        let n = left.min(CHUNK);
        stream.write_all(&chunk[..n])?;
        left -= n;
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(thread_time())
}

/// Reads to the end. Returns the CPU time of it.
fn read(mut stream: &TcpStream, len: usize) -> Result<Duration> {
    let mut chunk = vec![0; CHUNK];
    let mut read = 0;
    loop {
        match stream.read(&mut chunk)? {
            0 => break,
            n => read += n,
        }
    }
    ensure!(read == len, "{read} bytes have come, and not {len}");
    Ok(thread_time())
}

/// Measures what `proxy` takes between two connections: it is given the sockets in the middle, and returns
/// the numbers of bytes.
fn measure(
    ctx: &Context,
    mut proxy: impl FnMut(TcpStream, TcpStream) -> Result<(u64, u64)>,
) -> Result<Sample> {
    let mut steps = 1;
    loop {
        let each = steps * STEP / 2;
        let ((client, near), (far, server)) = (connection()?, connection()?);
        let before = usage::cpu_time();
        let start = Instant::now();
        let of_ends = thread::scope(|scope| {
            let ends = [&client, &server]
                .map(|end| (scope.spawn(move || write(end, each)), scope.spawn(move || read(end, each))));
            let counts = proxy(near, far)?;
            ensure!(counts == (each as u64, each as u64), "{counts:?} were copied, and not {each} each");
            let mut total = Duration::ZERO;
            for thread in ends.into_iter().flat_map(|(writer, reader)| [writer, reader]) {
                total += thread.join().ok().context("an end panicked")??;
            }
            anyhow::Ok(total)
        })?;
        let took = start.elapsed();
        let cpu = (usage::cpu_time() - before).saturating_sub(of_ends);
        let growth = (ctx.window.as_secs_f64() / took.as_secs_f64()).min(10.0);
        if growth < 1.5 {
            let gib = (2 * each) as f64 / f64::from(1 << 30);
            let values = vec![cpu.as_secs_f64() * 1e3 / gib, gib / took.as_secs_f64()];
            return Sample::new(values, steps, cpu);
        }
        steps = (steps as f64 * growth).ceil() as usize;
    }
}

fn std_threads(ctx: &Context) -> Result<Sample> {
    fn copy(mut from: &TcpStream, mut to: &TcpStream) -> Result<u64> {
        let copied = std::io::copy(&mut from, &mut to)?;
        to.shutdown(Shutdown::Write)?;
        Ok(copied)
    }
    measure(ctx, |near, far| {
        thread::scope(|scope| {
            let there = scope.spawn(|| copy(&near, &far));
            let back = copy(&far, &near)?;
            Ok((there.join().ok().context("a copy panicked")??, back))
        })
    })
}

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let is_large = ctx.system.ends_with("64k");
    measure(ctx, |near, far| {
        let both = async move {
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            let mut near = tokio::net::TcpStream::from_std(near)?;
            let mut far = tokio::net::TcpStream::from_std(far)?;
            let copied = match is_large {
                true => tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, 65536, 65536).await?,
                false => tokio::io::copy_bidirectional(&mut near, &mut far).await?,
            };
            anyhow::Ok(copied)
        };
        runtime.run(both)?
    })
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let is_buffered = ctx.system.ends_with("buffer");
    let is_straight = ctx.system.ends_with("fibers") || ctx.system.ends_with("native");
    measure(ctx, |near, far| {
        let (mut near, mut far) = (twoply::net::TcpStream::from(near), twoply::net::TcpStream::from(far));
        match is_straight {
            true => runtime.run_fn(move || Ok(twoply::net::copy_bidirectional(&near, &far).wait()?))?,
            false => runtime.run(async move {
                Ok(match is_buffered {
                    true => twoply::io::copy_bidirectional(&mut near, &mut far).await?,
                    false => twoply::net::copy_bidirectional(&near, &far).await?,
                })
            })?,
        }
    })
}

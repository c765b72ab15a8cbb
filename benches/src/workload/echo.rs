//! TCP echo: the time of a round trip of 64 bytes over one loopback connection, with both ends in this
//! process.
//!
//! `workers=1`: client and server are two tasks of one worker. `workers=2`: they may be on two threads; the
//! blocking threads are always there, and each hand-over then waits for the kernel to wake a thread.
//! `limit-epoll` is one thread that holds both ends and asks `epoll` before each read, as any event loop
//! must.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use rustix::event::epoll;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Case, Context, NANOSECONDS, Sample};
use crate::runtimes::{self, Smol};

pub(crate) const CASES: &[Case] = &[
    Case {
        workload: "tcp-echo",
        params: &[("workers", 1)],
        measures: NANOSECONDS,
        runs: 5,
        quick: true,
        systems: &[
            ("limit-epoll", bare_epoll),
            ("tokio-current", tokio),
            ("tokio-multi", tokio),
            ("smol", smol),
        ],
    },
    Case {
        workload: "tcp-echo",
        params: &[("workers", 2)],
        measures: NANOSECONDS,
        runs: 5,
        quick: true,
        systems: &[("std-thread", std_threads), ("tokio-multi", tokio), ("smol", smol)],
    },
];

/// What goes round.
const MESSAGE: [u8; 64] = *b"sixty-four bytes go out, and the very same sixty-four come back.";

/// Both ends of one connection, without Nagle's delay: the client's and the server's.
fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    Ok((client, server))
}

/// The client's loop and the server's loop for asynchronous streams.
macro_rules! client_and_server {
    ($ops:expr, $client:expr, $server:expr) => {{
        let (mut client, mut server) = ($client, $server);
        let client = async move {
            let mut answer = [0; MESSAGE.len()];
            for _ in 0..$ops {
                client.write_all(&MESSAGE).await?;
                client.read_exact(&mut answer).await?;
                ensure!(answer == MESSAGE, "the echo is another message");
            }
            anyhow::Ok(())
        };
        let server = async move {
            let mut message = [0; MESSAGE.len()];
            while server.read_exact(&mut message).await.is_ok() {
                server.write_all(&message).await?;
            }
            anyhow::Ok(())
        };
        (client, server)
    }};
}

fn std_threads(ctx: &Context) -> Result<Sample> {
    ctx.time(1, |ops| {
        let (mut client, mut server) = connection()?;
        let echo = thread::spawn(move || {
            let mut message = [0; MESSAGE.len()];
            while server.read_exact(&mut message).is_ok() {
                server.write_all(&message)?;
            }
            anyhow::Ok(())
        });
        let mut answer = [0; MESSAGE.len()];
        for _ in 0..ops {
            client.write_all(&MESSAGE)?;
            client.read_exact(&mut answer)?;
            ensure!(answer == MESSAGE, "the echo is another message");
        }
        drop(client);
        echo.join().ok().context("the server panicked")?
    })
}

fn bare_epoll(ctx: &Context) -> Result<Sample> {
    let (client, server) = connection()?;
    let ends = [client, server];
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, end) in ends.iter().enumerate() {
        end.set_nonblocking(true)?;
        epoll::add(&poller, end, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
    }
    let mut events = Vec::with_capacity(2);
    ctx.time(1, |ops| {
        (&ends[0]).write_all(&MESSAGE)?;
        let mut answers = 0;
        while answers < ops {
            events.clear();
            epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in &events {
                let from = event.data.u64() as usize;
                let mut message = [0; MESSAGE.len()];
                // Loopback delivers what one write of this size sent in one piece.
                (&ends[from]).read_exact(&mut message)?;
                answers += usize::from(from == 0);
                ensure!(message == MESSAGE, "the echo is another message");
                if answers < ops {
                    (&ends[from]).write_all(&message)?;
                }
            }
        }
        Ok(())
    })
}

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let (client, server) = connection()?;
        let both = async move {
            client.set_nonblocking(true)?;
            server.set_nonblocking(true)?;
            let (client, server) =
                (tokio::net::TcpStream::from_std(client)?, tokio::net::TcpStream::from_std(server)?);
            let (client, server) = client_and_server!(ops, client, server);
            let server = tokio::spawn(server);
            client.await?;
            server.await?
        };
        runtime.block_on(runtime.spawn(both))?
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    ctx.time(1, |ops| {
        let (client, server) = connection()?;
        let (client, server) = (smol::Async::new(client)?, smol::Async::new(server)?);
        let (client, server) = client_and_server!(ops, client, server);
        let server = smol.executor.spawn(server);
        smol.run(async move {
            client.await?;
            server.await
        })
    })
}

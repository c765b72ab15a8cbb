//! Echo over TCP, Unix streams and UDP: the time of a round trip of 64 bytes over one loopback connection,
//! with both ends in this process.
//!
//! `workers=1`: client and server are two tasks of one worker. `workers=2`: they may be on two threads; the
//! blocking threads are always there, and each hand-over then waits for the kernel to wake a thread.
//! `limit-epoll` is one thread that holds both ends and asks `epoll` before each read, as any event loop
//! must.
//!
//! `twoply-fibers` and `twoply-native` are the same straight-line code, finished with `.wait()`.
//! `twoply-native-std` is that of `std-thread`, through std's traits.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use rustix::event::epoll;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use twoply::Wait as _;
use twoply::net::endpoint::{Endpoint, Family, Stream};

use super::{Case, Context, Sample, timed};
use crate::runtimes::{self, Smol, Tasks as _};

pub(crate) const CASES: &[Case] = &[
    timed(
        "tcp-echo",
        &[("workers", 1)],
        &[
            ("limit-epoll", bare_epoll),
            ("tokio-current", tokio),
            ("tokio-multi", tokio),
            ("smol", smol),
            ("twoply-green", twoply),
            ("twoply-fibers", twoply_straight),
        ],
    ),
    timed(
        "tcp-echo",
        &[("workers", 2)],
        &[
            ("std-thread", std_threads),
            ("tokio-multi", tokio),
            ("smol", smol),
            ("twoply-green", twoply),
            ("twoply-fibers", twoply_straight),
            ("twoply-native", twoply_straight),
            ("twoply-native-std", twoply_std_traits),
        ],
    ),
    timed(
        "unix-echo",
        &[("workers", 1)],
        &[
            ("tokio-multi", unix_tokio),
            ("twoply-green", unix_twoply),
            ("twoply-fibers", unix_twoply_straight),
        ],
    ),
    timed(
        "unix-echo",
        &[("workers", 2)],
        &[
            ("std-thread", unix_std),
            ("tokio-multi", unix_tokio),
            ("twoply-green", unix_twoply),
            ("twoply-native", unix_twoply_straight),
        ],
    ),
    timed(
        "udp-echo",
        &[("workers", 1)],
        &[
            ("tokio-current", udp_tokio),
            ("tokio-multi", udp_tokio),
            ("twoply-green", udp_twoply),
            ("twoply-local", udp_twoply_local),
        ],
    ),
    timed(
        "udp-echo",
        &[("workers", 2)],
        &[
            ("std-thread", udp_std),
            ("tokio-multi", udp_tokio),
            ("twoply-green", udp_twoply),
            ("twoply-native", udp_twoply_straight),
        ],
    ),
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
        // Ours reads and writes through a shared reference.
        #[allow(unused_mut)]
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

/// The client in blocking code that knows std's traits only.
fn blocking_client(mut client: impl Read + Write, ops: usize) -> Result<()> {
    let mut answer = [0; MESSAGE.len()];
    for _ in 0..ops {
        client.write_all(&MESSAGE)?;
        client.read_exact(&mut answer)?;
        ensure!(answer == MESSAGE, "the echo is another message");
    }
    Ok(())
}

/// The server in blocking code that knows std's traits only.
fn blocking_server(mut server: impl Read + Write) -> Result<()> {
    let mut message = [0; MESSAGE.len()];
    while server.read_exact(&mut message).is_ok() {
        server.write_all(&message)?;
    }
    Ok(())
}

fn std_threads(ctx: &Context) -> Result<Sample> {
    ctx.time(1, |ops| {
        let (client, server) = connection()?;
        let echo = thread::spawn(move || blocking_server(server));
        blocking_client(client, ops)?;
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
        })?
    })
}

/// Both ends of one connection as our streams.
fn twoply_connection() -> Result<(twoply::net::TcpStream, twoply::net::TcpStream)> {
    let (client, server) = connection()?;
    Ok((client.into(), server.into()))
}

fn twoply(ctx: &Context) -> Result<Sample> {
    as_futures(ctx, twoply_connection)
}

/// Both ends of a connection of ours.
type Ends<F> = (Endpoint<F, Stream>, Endpoint<F, Stream>);

fn as_futures<F: Family>(ctx: &Context, connect: fn() -> Result<Ends<F>>) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| {
        let (client, server) = connect()?;
        let (client, server) = client_and_server!(ops, client, server);
        runtime.run(async move {
            let server = twoply::spawn(server);
            client.await?;
            server.await?
        })?
    })
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    straight(ctx, twoply_connection)
}

fn straight<F: Family>(ctx: &Context, connect: fn() -> Result<Ends<F>>) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| {
        let (client, server) = connect()?;
        let echo = runtime.spawner().spawn_fn(move || {
            let mut message = [0; MESSAGE.len()];
            while server.read_exact(&mut message).wait().is_ok() {
                server.write_all(&message).wait()?;
            }
            anyhow::Ok(())
        });
        runtime.run_fn(move || {
            let mut answer = [0; MESSAGE.len()];
            for _ in 0..ops {
                client.write_all(&MESSAGE).wait()?;
                client.read_exact(&mut answer).wait()?;
                ensure!(answer == MESSAGE, "the echo is another message");
            }
            anyhow::Ok(())
        })??;
        echo.wait()?
    })
}

fn twoply_std_traits(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| {
        let (client, server) = twoply_connection()?;
        let echo = runtime.spawner().spawn_fn(move || blocking_server(server));
        runtime.run_fn(move || blocking_client(client, ops))??;
        echo.wait()?
    })
}

fn unix_std(ctx: &Context) -> Result<Sample> {
    ctx.time(1, |ops| {
        let (client, server) = UnixStream::pair()?;
        let echo = thread::spawn(move || blocking_server(server));
        blocking_client(client, ops)?;
        echo.join().ok().context("the server panicked")?
    })
}

fn unix_tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let both = async move {
            let (client, server) = tokio::net::UnixStream::pair()?;
            let (client, server) = client_and_server!(ops, client, server);
            let server = tokio::spawn(server);
            client.await?;
            server.await?
        };
        runtime.block_on(runtime.spawn(both))?
    })
}

fn unix_twoply(ctx: &Context) -> Result<Sample> {
    as_futures(ctx, || Ok(twoply::net::UnixStream::pair()?))
}

fn unix_twoply_straight(ctx: &Context) -> Result<Sample> {
    straight(ctx, || Ok(twoply::net::UnixStream::pair()?))
}

/// Two sockets of datagrams, each connected to the other.
fn sockets() -> Result<(UdpSocket, UdpSocket)> {
    let (client, server) =
        (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    client.connect(server.local_addr()?)?;
    server.connect(client.local_addr()?)?;
    Ok((client, server))
}

/// The client's loop and the server's loop for datagrams, of which one is under way at a time, so that none
/// is lost. `$finish` is what finishes a call: nothing, `.await` or `.wait()`.
macro_rules! ask {
    ($ops:expr, $client:expr, ($($finish:tt)*)) => {{
        let mut answer = [0; MESSAGE.len()];
        for _ in 0..$ops {
            $client.send(&MESSAGE)$($finish)*?;
            let _ = $client.recv(&mut answer)$($finish)*?;
            ensure!(answer == MESSAGE, "the echo is another message");
        }
        anyhow::Ok(())
    }};
}

/// The server's part of [`ask`].
macro_rules! answer {
    ($ops:expr, $server:expr, ($($finish:tt)*)) => {{
        let mut message = [0; MESSAGE.len()];
        for _ in 0..$ops {
            let _ = $server.recv(&mut message)$($finish)*?;
            $server.send(&message)$($finish)*?;
        }
        anyhow::Ok(())
    }};
}

fn udp_std(ctx: &Context) -> Result<Sample> {
    ctx.time(1, |ops| {
        let (client, server) = sockets()?;
        let echo = thread::spawn(move || answer!(ops, server, ()));
        ask!(ops, client, ())?;
        echo.join().ok().context("the server panicked")?
    })
}

fn udp_tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let (client, server) = sockets()?;
        let both = async move {
            client.set_nonblocking(true)?;
            server.set_nonblocking(true)?;
            let (client, server) =
                (tokio::net::UdpSocket::from_std(client)?, tokio::net::UdpSocket::from_std(server)?);
            let server = tokio::spawn(async move { answer!(ops, server, (.await)) });
            ask!(ops, client, (.await))?;
            server.await?
        };
        runtime.block_on(runtime.spawn(both))?
    })
}

fn udp_twoply(ctx: &Context) -> Result<Sample> {
    udp_ours(ctx, &runtimes::twoply(ctx)?)
}

/// In a process of one thread, in which a system call costs less.
fn udp_twoply_local(ctx: &Context) -> Result<Sample> {
    udp_ours(ctx, &runtimes::local()?)
}

fn udp_ours(ctx: &Context, runtime: &impl runtimes::Tasks) -> Result<Sample> {
    ctx.time(1, |ops| {
        let (client, server) = sockets()?;
        let (client, server) = (twoply::net::UdpSocket::from(client), twoply::net::UdpSocket::from(server));
        runtime.run(async move {
            let server = twoply::spawn(async move { answer!(ops, server, (.await)) });
            ask!(ops, client, (.await))?;
            server.await?
        })?
    })
}

fn udp_twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| {
        let (client, server) = sockets()?;
        let (client, server) = (twoply::net::UdpSocket::from(client), twoply::net::UdpSocket::from(server));
        let echo = runtime.spawner().spawn_fn(move || answer!(ops, server, (.wait())));
        runtime.run_fn(move || ask!(ops, client, (.wait())))??;
        echo.wait()?
    })
}

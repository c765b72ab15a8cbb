//! The server process: which servers there are, and how one obeys the run that started it.
//!
//! It prints the port that it listens on, then answers each line on its standard input with what it has used
//! so far, and ends at the end of its input. So it cannot outlive the run, however that ends.

mod epoll;
mod may;
mod smol;
mod threads;
mod tokio;
mod twoply;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::child::{self, Child, Greeting, Used};
use crate::peers;

/// A server: serves the listener on that many workers until the process ends. It returns only on an error.
type Serve = fn(TcpListener, usize) -> Result<()>;

/// The servers, by the names that the table of cases uses.
const SERVERS: &[(&str, Serve)] = &[
    ("limit-epoll", epoll::serve),
    ("std-thread", threads::serve),
    ("tokio-current", tokio::serve_on_current_thread),
    ("tokio-multi", tokio::serve_on_workers),
    ("tokio-multi-in-place", tokio::serve_in_place),
    ("smol", smol::serve),
    ("smol-unblock", smol::serve_unblocked),
    ("may", may::serve),
    ("twoply-green", twoply::serve_async),
    ("twoply-green-offload", twoply::serve_offloaded),
    ("twoply-fibers", twoply::serve_on_fibers),
    ("twoply-native", twoply::serve_on_threads),
];

/// The main function of a server process.
pub(crate) fn serve(system: &str, workers: usize) -> Result<()> {
    let (_, serve) = SERVERS.iter().find(|(name, _)| *name == system).context("no such server")?;
    let listener = listen()?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        let error = serve(listener, workers).err();
        eprintln!("the server ended: {error:?}");
        std::process::exit(1);
    });
    child::say(&Greeting { port })?;
    for line in std::io::stdin().lines() {
        line?;
        child::say(&Used::here()?)?;
    }
    Ok(())
}

/// A listener on loopback with room for all the clients to arrive at once, which std's 128 has not.
fn listen() -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// A running server process. It ends when this is dropped.
pub(crate) struct ServerProcess {
    /// The process, which answers each line with what it has used.
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl ServerProcess {
    /// Starts a server and waits until it listens. It, and this process too, may have as many descriptors
    /// from now on as the system allows.
    pub(crate) fn start(system: &str, workers: usize) -> Result<Self> {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
            .context("raising the limit of descriptors")?;
        let mut command = if SERVERS.iter().any(|(name, _)| *name == system) {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["serve", "--system", system, "--workers", &workers.to_string()]);
            command
        } else {
            peers::command(system, "http", workers, &[])?
        };
        let (child, Greeting { port }) = Child::start(&mut command)?;
        Ok(Self { child, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    /// What the server has used up to now.
    pub(crate) fn used(&mut self) -> Result<Used> {
        self.child.ask("0")
    }
}

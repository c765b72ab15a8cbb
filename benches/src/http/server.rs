//! The server process: which servers there are, and how one obeys the run that started it.
//!
//! It prints the port that it listens on, then answers each line on its standard input with what it has used
//! so far, and ends at the end of its input. So it cannot outlive the run, however that ends.

mod epoll;
mod threads;
mod tokio;
mod twoply;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::usage;

/// A server: serves the listener on that many workers until the process ends. It returns only on an error.
type Serve = fn(TcpListener, usize) -> Result<()>;

/// The servers, by the names that the table of cases uses.
const SERVERS: &[(&str, Serve)] = &[
    ("limit-epoll", epoll::serve),
    ("std-thread", threads::serve),
    ("tokio-current", tokio::serve_on_current_thread),
    ("tokio-multi", tokio::serve_on_workers),
    ("twoply-green", twoply::serve_async),
    ("twoply-fibers", twoply::serve_on_fibers),
    ("twoply-native", twoply::serve_on_threads),
];

/// The first line of a server.
#[derive(Serialize, Deserialize)]
struct Greeting {
    /// The port that it listens on.
    port: u16,
}

/// What a server has used so far.
#[derive(Serialize, Deserialize)]
pub(crate) struct Used {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory that was resident.
    pub(crate) peak_rss_kib: u64,
}

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
    say(&Greeting { port })?;
    for line in std::io::stdin().lines() {
        line?;
        say(&Used { cpu: usage::cpu_time(), peak_rss_kib: usage::peak_rss_kib()? })?;
    }
    Ok(())
}

/// Writes one line of JSON to standard output.
fn say(message: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, message)?;
    writeln!(out)?;
    Ok(out.flush()?)
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
    /// Reaped at the end.
    child: Child,
    /// Closing it ends the server; taken for that.
    orders: Option<ChildStdin>,
    /// What the server says.
    answers: BufReader<ChildStdout>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl ServerProcess {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(system: &str, workers: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--system", system, "--workers", &workers.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a server")?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a child without the pipes that were asked for");
        };
        let mut answers = BufReader::new(answers);
        let Greeting { port } = read_line(&mut answers)?;
        Ok(Self { child, orders: Some(orders), answers, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    /// What the server has used up to now.
    pub(crate) fn used(&mut self) -> Result<Used> {
        self.orders.as_mut().context("the server was told to end")?.write_all(b"\n")?;
        read_line(&mut self.answers)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.orders = None;
        // It ends by itself; if it has failed, it has said so on standard error.
        let _status = self.child.wait();
    }
}

/// Reads one line of JSON.
fn read_line<T: for<'a> Deserialize<'a>>(answers: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("a server said {line:?}"))
}

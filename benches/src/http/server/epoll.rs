//! The limit: bare `epoll` loops with nothing in between, level-triggered, one read and one write a request.
//!
//! One blocking thread accepts and deals the connections out in turn, so they are spread evenly, which
//! `SO_REUSEPORT` does not do with few connections. It costs nothing once all clients are there.
//!
//! This is the limit of a loop that sleeps whenever nothing is ready. A loop that spins for a little while
//! first can be faster, as it saves the kernel the waking of an idle core; it buys that with CPU time. So a
//! system may beat this one in requests a second, and then stands above it in CPU time for each request.
//!
//! With as many workers as the machine has cores it is not the limit of the whole machine either: the load
//! generator needs a core too, and two loops that each sleep and wake cost more than one that is always busy.
//! A scheduler that keeps its second worker asleep while the first one keeps up does better there.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::http::respond::Conversation;

/// How many events one wait takes at most.
const EVENTS: usize = 256;

pub(super) fn serve(listener: TcpListener, workers: usize) -> Result<()> {
    let loops = (0..workers).map(|_| EventLoop::start()).collect::<Result<Vec<_>>>()?;
    for event_loop in loops.iter().cycle() {
        let (stream, _) = listener.accept()?;
        event_loop.adopt(stream)?;
    }
    Ok(())
}

/// What the accepting thread sees of a worker.
struct EventLoop {
    /// Registrations come from the accepting thread, waits from the worker.
    epoll: OwnedFd,
    /// Connections that the worker has not seen yet. It takes them at the first event of an unknown
    /// descriptor.
    arrivals: Mutex<Vec<TcpStream>>,
}

/// A connection of a worker.
struct Connection {
    /// Non-blocking, and registered with the worker's epoll instance until it is dropped.
    stream: TcpStream,
    /// What was received and is not yet answered or sent.
    conversation: Conversation,
}

impl EventLoop {
    /// Starts a worker's thread.
    fn start() -> Result<Arc<Self>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("creating an epoll instance")?;
        let event_loop = Arc::new(Self { epoll, arrivals: Mutex::default() });
        let worker = event_loop.clone();
        std::thread::Builder::new().name("epoll".into()).spawn(move || {
            let error = worker.run().err();
            eprintln!("an epoll loop ended: {error:?}");
            std::process::exit(1);
        })?;
        Ok(event_loop)
    }

    /// Gives a connection to the worker. The event says which descriptor is ready.
    fn adopt(&self, stream: TcpStream) -> Result<()> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        // Held over the registration: the worker finds the connection here when its first event comes.
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        epoll::add(&self.epoll, &stream, EventData::new_u64(stream.as_raw_fd() as u64), EventFlags::IN)?;
        arrivals.push(stream);
        Ok(())
    }

    /// The worker. Connections are found by their descriptor; closing one takes it out of the epoll instance.
    fn run(&self) -> Result<()> {
        let mut connections: Vec<Option<Connection>> = Vec::new();
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("waiting for events"),
            }
            for event in &events {
                let index = event.data.u64() as usize;
                if connections.get(index).is_none_or(Option::is_none) {
                    self.take_arrivals(&mut connections);
                }
                let connection =
                    connections[index].as_mut().context("an event of a descriptor nobody knows")?;
                // A client that goes away is no fault of the server's: its connection just ends.
                if !connection.turn().unwrap_or(false) {
                    connections[index] = None;
                }
            }
        }
    }

    /// Enters the connections that have arrived.
    fn take_arrivals(&self, connections: &mut Vec<Option<Connection>>) {
        let arrivals = mem::take(&mut *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner));
        for stream in arrivals {
            let index = stream.as_raw_fd() as usize;
            if connections.len() <= index {
                connections.resize_with(index + 1, || None);
            }
            connections[index] = Some(Connection { stream, conversation: Conversation::new() });
        }
    }
}

impl Connection {
    /// Reads once, answers, writes once. Answers whether the connection stays open.
    ///
    /// A response that the socket does not take at once ends the connection: a client of this bench has one
    /// request under way, so its socket is empty, and the load generator would report the loss.
    fn turn(&mut self) -> io::Result<bool> {
        let count = match self.stream.read(self.conversation.space()) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let open = self.conversation.received(count);
        if !self.conversation.output.is_empty() {
            self.stream.write_all(&self.conversation.output)?;
            self.conversation.output.clear();
        }
        Ok(open)
    }
}

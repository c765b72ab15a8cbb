//! A proxy between two nodes that does to what passes whatever a line can do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_linger, socket_linger};

/// What becomes of what passes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Pass,
    /// It is read, and gone.
    Silent,
    /// It comes a byte at a time.
    Bytes,
    /// It comes later.
    Slow,
    /// The first byte of what comes next is another one.
    Flip,
}

/// The two directions: to the side that is called, and back.
pub(crate) type Lines = (Line, Line);

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    lines: Arc<Mutex<Lines>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Begins to pass on to this address.
    pub(crate) fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(Mutex::new((Line::Pass, Line::Pass)));
        let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (all, of_all, ends) = (Arc::clone(&lines), Arc::clone(&streams), Arc::clone(&over));
        let accepting = thread::spawn(move || {
            let mut pumps = Vec::new();
            while let Ok((caller, _)) = listener.accept()
                && !ends.load(Relaxed)
            {
                let Ok(called) = TcpStream::connect(target) else { break };
                for stream in [&caller, &called] {
                    stream.set_nodelay(true).unwrap();
                    of_all.lock().unwrap().push(stream.try_clone().unwrap());
                }
                let back = (called.try_clone().unwrap(), caller.try_clone().unwrap());
                pumps.push(pump(caller, called, Arc::clone(&all), |lines| &mut lines.0));
                pumps.push(pump(back.0, back.1, Arc::clone(&all), |lines| &mut lines.1));
            }
            for pump in pumps {
                pump.join().unwrap();
            }
        });
        Proxy { address, lines, streams, over, accepting: Some(accepting) }
    }

    pub(crate) fn set(&self, lines: Lines) {
        *self.lines.lock().unwrap() = lines;
    }

    /// Ends all connections, by a reset of both sides.
    pub(crate) fn reset(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = set_socket_linger(&stream, Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.reset();
        self.over.store(true, Relaxed);
        // It accepts this one, and sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

/// Passes on what comes, until either side ends.
fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    lines: Arc<Mutex<Lines>>,
    own: fn(&mut Lines) -> &mut Line,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut bytes).unwrap_or(0);
            if read == 0 {
                break;
            }
            let line = *own(&mut lines.lock().unwrap());
            let bytes = &mut bytes[..read];
            let written = match line {
                Line::Pass => to.write_all(bytes),
                Line::Silent => Ok(()),
                Line::Bytes => bytes.chunks(1).try_for_each(|byte| to.write_all(byte)),
                Line::Slow => {
                    thread::sleep(Duration::from_millis(5));
                    to.write_all(bytes)
                }
                Line::Flip => {
                    *own(&mut lines.lock().unwrap()) = Line::Pass;
                    bytes[0] ^= 0x80;
                    to.write_all(bytes)
                }
            };
            if written.is_err() {
                break;
            }
        }
        // A side that is not to linger is reset by being closed.
        if socket_linger(&from).is_ok_and(|linger| linger.is_none()) {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        }
    })
}

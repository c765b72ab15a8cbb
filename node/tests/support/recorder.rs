//! Records what two nodes say to each other. It is their port mapper, too, and sends each to where all is
//! recorded.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

/// What the node that connects has said, and what the other one has.
pub(crate) type Said = (Vec<u8>, Vec<u8>);

/// The name of the node that is connected to.
pub(crate) const CALLED: &str = "called@localhost";

/// A node that waits for others, and what stands between it and them.
pub(crate) struct Recorder {
    node: Node,
    epmd_port: u16,
    recording: JoinHandle<Said>,
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A node that is killed when this is dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Recorder {
    /// Starts a node, and waits until it is there.
    pub(crate) fn start(cookie: &str) -> Recorder {
        let ((epmd, epmd_port), (proxy, proxy_port)) = (listen(), listen());
        let (told, registered) = channel();
        thread::spawn(move || {
            for stream in epmd.incoming() {
                let (stream, told) = (stream.unwrap(), told.clone());
                thread::spawn(move || map_ports(stream, proxy_port, &told));
            }
        });
        let node = erl(CALLED.split_once('@').unwrap().0, cookie, epmd_port).spawn().unwrap();
        let node = Node(node);
        let port = registered.recv().unwrap();
        let recording = thread::spawn(move || record(&proxy.accept().unwrap().0, port));
        Recorder { node, epmd_port, recording }
    }

    /// Has an Erlang node run `main` of a module in `folder`, with the name of the other node.
    pub(crate) fn run_erlang(&self, folder: &Path, module: &str, cookie: &str) {
        let mut calling = erl("calling", cookie, self.epmd_port);
        let status = calling.arg("-pa").arg(folder).args(["-run", module, "main", CALLED]).status();
        assert!(status.unwrap().success());
    }

    /// Has a program run, with the name of the other node and the cookie.
    pub(crate) fn run(&self, program: &Path, cookie: &str) {
        let mut command = Command::new(program);
        let status = command.args([CALLED, cookie]).env("ERL_EPMD_PORT", self.epmd_port.to_string()).status();
        assert!(status.unwrap().success());
    }

    /// Returns all that has been said, once both have fallen silent.
    pub(crate) fn end(self) -> Said {
        let Recorder { node, recording, .. } = self;
        let said = recording.join().unwrap();
        drop(node);
        said
    }
}

fn erl(name: &str, cookie: &str, epmd_port: u16) -> Command {
    let mut erl = Command::new("erl");
    erl.args(["-noinput", "-hidden", "-start_epmd", "false", "-setcookie", cookie])
        .args(["-sname", &format!("{name}@localhost"), "-kernel", "logger_level", "none"])
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .stdin(Stdio::null());
    erl
}

/// Answers as a port mapper: whoever registers is told of, and whoever asks is sent to the proxy.
fn map_ports(mut stream: TcpStream, proxy: u16, registered: &Sender<u16>) {
    let mut len = [0; 2];
    while stream.read_exact(&mut len).is_ok() {
        let mut request = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut request).unwrap();
        match request[0] {
            b'x' => {
                let _ = registered.send(u16::from_be_bytes([request[1], request[2]]));
                stream.write_all(&[118, 0, 0, 0, 0, 9]).unwrap();
            }
            _ => {
                let [high, low] = proxy.to_be_bytes();
                let head = [119, 0, high, low, 72, 0, 0, 6, 0, 5];
                let name = &request[1..];
                let answer = [head.as_slice(), &(name.len() as u16).to_be_bytes(), name, &[0, 0]].concat();
                stream.write_all(&answer).unwrap();
                return;
            }
        }
    }
}

/// Hands on what comes from either side until both are silent, and keeps it.
fn record(calling: &TcpStream, port: u16) -> Said {
    let called = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    thread::scope(|scope| {
        let there = scope.spawn(|| copy(calling, &called));
        let back = copy(&called, calling);
        (there.join().unwrap(), back)
    })
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        all.extend(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    all
}

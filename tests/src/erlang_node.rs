//! An Erlang node as a child, which does what a test tells it, and a port mapper of the test's own: so tests
//! run side by side, and leave nothing behind.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use twoply_core::Wait;
use twoply_node::{Builder, Node};

use crate::{Dir, Namespace, Systems, skip};

/// A running `erl` with a name, and its port mapper.
pub struct ErlangNode {
    child: Child,
    /// Nothing where nodes are found without one.
    epmd: Option<Child>,
    /// The address of the port mapper, or one where there is none.
    pub epmd_addr: SocketAddr,
    /// The name of the node.
    pub name: String,
    socket: TcpStream,
    /// Further arguments of the program.
    arguments: Vec<String>,
    /// A folder with files that those name.
    dir: Option<Dir>,
}

impl ErlangNode {
    /// Starts one with this cookie, and a port mapper. Returns `None` where no Erlang is installed, and says
    /// so.
    pub fn start(cookie: &str, tick_seconds: u32) -> Option<ErlangNode> {
        ErlangNode::start_with(cookie, tick_seconds, Vec::new())
    }

    /// As [`start`](ErlangNode::start), with further arguments for `erl`.
    pub fn start_with(cookie: &str, tick_seconds: u32, arguments: Vec<String>) -> Option<ErlangNode> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !is_installed() {
            skip("there is no Erlang to connect to");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = format!("twoply{}x{number}", process::id());
        let name = format!("{own}@localhost");
        for _ in 0..5 {
            let (mut epmd, epmd_addr) = start_epmd();
            let place = Place::default();
            if let Some((child, socket)) = run(&name, cookie, tick_seconds, epmd_addr, &arguments, &place) {
                // Else somebody else had the port, and took the node for a moment.
                if epmd.try_wait().expect("it is a child").is_none() {
                    let epmd = Some(epmd);
                    return Some(ErlangNode { child, epmd, epmd_addr, name, socket, arguments, dir: None });
                }
                end(child);
            }
            end(epmd);
        }
        panic!("no node of Erlang's starts");
    }

    /// Starts one where there is no port mapper: it listens on this address, and takes it that
    /// each other node does on the same port of the host in its name. The host is this address, too.
    pub fn start_without_epmd(cookie: &str, address: SocketAddr) -> Option<ErlangNode> {
        if !is_installed() {
            skip("there is no Erlang to connect to");
            return None;
        }
        Some(ErlangNode::run_without_epmd(cookie, 60, address, &Place::default()))
    }

    /// As [`start_without_epmd`](ErlangNode::start_without_epmd), in a network namespace: at its end of the
    /// line that may be cut, on this port.
    pub fn start_apart(
        cookie: &str,
        tick_seconds: u32,
        namespace: &Namespace,
        port: u16,
    ) -> Option<ErlangNode> {
        if !is_installed() {
            skip("there is no Erlang to connect to");
            return None;
        }
        let (interface, tells) = (namespace.there(), namespace.second_here());
        let place = Place { interface, tells, namespace: Some(namespace) };
        Some(ErlangNode::run_without_epmd(cookie, tick_seconds, (interface, port).into(), &place))
    }

    fn run_without_epmd(
        cookie: &str,
        tick_seconds: u32,
        address: SocketAddr,
        place: &Place<'_>,
    ) -> ErlangNode {
        // Erlang looks once whether there is one; nobody listens there.
        let epmd_addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let arguments = vec!["-erl_epmd_port".to_owned(), address.port().to_string()];
        let name = format!("twoply{}@{}", process::id(), address.ip());
        let started = run(&name, cookie, tick_seconds, epmd_addr, &arguments, place);
        let (child, socket) = started.expect("it starts");
        ErlangNode { child, epmd: None, epmd_addr, name, socket, arguments, dir: None }
    }

    /// Keeps a folder with files that the arguments name, for as long as the node is there.
    #[must_use]
    pub fn with(mut self, dir: Dir) -> ErlangNode {
        self.dir = Some(dir);
        self
    }

    /// Kills the node, and starts one of the same name.
    pub fn restart(&mut self, cookie: &str, tick_seconds: u32) {
        self.kill();
        // The port mapper may not know yet that the name is free.
        let place = Place::default();
        let mut starts =
            (0..5).map(|_| run(&self.name, cookie, tick_seconds, self.epmd_addr, &self.arguments, &place));
        (self.child, self.socket) = starts.find_map(|started| started).expect("it starts again");
    }

    /// Returns the number of the operating system's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Returns the address at which other nodes find this one.
    pub fn address(&mut self) -> SocketAddr {
        let own = self.name.split('@').next().unwrap_or_default();
        let find = format!("{{port, Port, _}} = erl_epmd:port_please(\"{own}\", {{127, 0, 0, 1}}), Port");
        let port = self.eval(&find).parse().expect("the port mapper knows the node");
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Has the node evaluate expressions, and returns the value of the last one as text.
    pub fn eval(&mut self, expressions: &str) -> String {
        self.begin(expressions);
        self.end()
    }

    /// As [`eval`](ErlangNode::eval), and does not wait for the value.
    pub fn begin(&mut self, expressions: &str) {
        let packet = [&(expressions.len() as u32 + 1).to_be_bytes(), expressions.as_bytes(), b"."].concat();
        self.socket.write_all(&packet).expect("the node listens");
    }

    /// Returns the value of what has begun.
    pub fn end(&mut self) -> String {
        let mut len = [0; 4];
        self.socket.read_exact(&mut len).expect("the node answers in time");
        let mut answer = vec![0; u32::from_be_bytes(len) as usize];
        self.socket.read_exact(&mut answer).expect("the node answers");
        String::from_utf8(answer).expect("the answer is text")
    }

    /// Ends the port mapper, and starts one at the same address.
    pub fn restart_epmd(&mut self) {
        self.kill_epmd();
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            self.epmd = start_epmd_at(self.epmd_addr);
            if self.epmd.is_some() {
                return;
            }
        }
        panic!("no port mapper starts");
    }

    fn kill_epmd(&mut self) {
        if let Some(epmd) = self.epmd.take() {
            end(epmd);
        }
    }

    /// Kills the node, as by `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a node of ours, with the port mapper of an Erlang node or with none.
pub fn start_node(on: &Systems, builder: Builder, erlang: Option<&ErlangNode>) -> Node {
    let builder = match erlang {
        Some(erlang) => builder.epmd(erlang.epmd_addr),
        None => builder.without_epmd(),
    };
    on.here().spawn(builder.start()).wait().expect("it does not panic").expect("the node starts")
}

/// Ends a child, however far it is.
fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The surroundings of a node.
struct Place<'a> {
    /// The address that it listens on.
    interface: IpAddr,
    /// The address of this process, which it tells what it is asked.
    tells: IpAddr,
    namespace: Option<&'a Namespace>,
}

impl Default for Place<'_> {
    fn default() -> Self {
        let here = Ipv4Addr::LOCALHOST.into();
        Place { interface: here, tells: here, namespace: None }
    }
}

/// Starts a node, and waits until it is there. Returns `None` if it has ended by itself.
fn run(
    name: &str,
    cookie: &str,
    tick_seconds: u32,
    epmd: SocketAddr,
    arguments: &[String],
    place: &Place<'_>,
) -> Option<(Child, TcpStream)> {
    let listener = TcpListener::bind((place.tells, 0)).expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let form = if name.contains('.') { "-name" } else { "-sname" };
    let mut child = place
        .namespace
        .map_or_else(|| Command::new("erl"), |namespace| namespace.command("erl"))
        .args(["-noinput", "+S", "1:1", form, name, "-setcookie", cookie, "-pa"])
        .arg(compiled())
        .args(arguments)
        .args(["-start_epmd", "false", "-kernel", "net_ticktime", &tick_seconds.to_string()])
        .args(["logger_level", "none", "inet_dist_use_interface"])
        .arg(format!("{{{}}}", place.interface.to_string().replace('.', ",")))
        .args(["-run", "twoply_peer", "main", &place.tells.to_string(), &port.to_string()])
        .env("ERL_EPMD_PORT", epmd.port().to_string())
        .env("ERL_CRASH_DUMP_SECONDS", "0")
        .stdin(Stdio::null())
        .spawn()
        .expect("erl starts");
    listener.set_nonblocking(true).expect("an option");
    let socket = loop {
        match listener.accept() {
            Ok((socket, _)) => break socket,
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("the node cannot tell: {error}"),
            Err(_) if child.try_wait().expect("it is a child").is_some() => return None,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    socket.set_nonblocking(false).expect("an option");
    socket.set_nodelay(true).expect("an option");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
    Some((child, socket))
}

/// Returns the folder with the compiled module, which lies beside what cargo has built.
fn compiled() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let program = env::current_exe().expect("a test has a path");
        let folder = program.with_file_name("erlang");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("erlang/twoply_peer.erl");
        let module = "twoply_peer.beam";
        let changed = |file: &Path| fs::metadata(file).and_then(|about| about.modified());
        // Another program of this suite may have compiled it.
        if let (Ok(compiled), Ok(written)) = (changed(&folder.join(module)), changed(&source))
            && compiled > written
        {
            return folder;
        }
        let own = folder.join(process::id().to_string());
        fs::create_dir_all(&own).expect("a folder for the compiled module");
        let compiled = Command::new("erlc").arg("-o").arg(&own).arg(source).status();
        assert!(compiled.expect("erlc runs").success());
        // At once, since other tests may do the same.
        fs::rename(own.join(module), folder.join(module)).expect("the folder is ours");
        let _ = fs::remove_dir(own);
        folder
    })
}

/// Returns whether Erlang's programs can be found. They are not run for that: each would take as long as a
/// whole node.
fn is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let folders: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        ["erl", "erlc", "epmd"].iter().all(|tool| folders.iter().any(|folder| folder.join(tool).is_file()))
    })
}

/// Starts a port mapper on a port that was free a moment ago.
fn start_epmd() -> (Child, SocketAddr) {
    for _ in 0..20 {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = probe.local_addr().expect("it is bound");
        drop(probe);
        if let Some(epmd) = start_epmd_at(address) {
            return (epmd, address);
        }
    }
    panic!("no port mapper starts");
}

/// Starts a port mapper there, unless the port is taken.
fn start_epmd_at(address: SocketAddr) -> Option<Child> {
    let epmd = Command::new("epmd")
        .args(["-relaxed_command_check", "-port", &address.port().to_string()])
        .args(["-address", "127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut epmd = epmd.expect("epmd starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline && epmd.try_wait().expect("it is a child").is_none() {
        if TcpStream::connect(address).is_ok() {
            return Some(epmd);
        }
        thread::sleep(Duration::from_millis(5));
    }
    end(epmd);
    None
}

impl Drop for ErlangNode {
    fn drop(&mut self) {
        self.kill();
        self.kill_epmd();
    }
}

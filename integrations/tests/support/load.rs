//! Live work of every kind on one runtime, which checks itself, while the runtime moves between threads:
//! sockets, timers, files and children.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use twoply::green_backend::Green;
use twoply::net::{TcpListener, UnixStream};
use twoply::process::{Command, Stdio};
use twoply::{Task, Wait, fs, time};
use twoply_tests::{Gate, eventually};

/// The number of connections.
const CONNECTIONS: usize = 4;

/// The number of kinds of work.
const KINDS: usize = 4;

/// The work, and what it has done so far.
pub(crate) struct Load {
    shared: Arc<Shared>,
    /// The other ends of the connections.
    clients: Vec<JoinHandle<u32>>,
    tasks: Vec<Task<()>>,
    /// What was done when somebody asked last.
    seen: [usize; KINDS],
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// How many echoes, ticks, reads of a file and children there were.
    done: [AtomicUsize; KINDS],
    /// The thread of the foreign loop, while it carries the runtime.
    host: Mutex<Option<ThreadId>>,
    /// How many echoes were written by the foreign loop, and by others.
    echoes_by_host: AtomicUsize,
    echoes_by_others: AtomicUsize,
}

impl Shared {
    fn stops(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn count(&self, kind: usize) {
        self.done[kind].fetch_add(1, Ordering::SeqCst);
    }

    fn count_echo(&self) {
        let by_host = *self.host.lock().unwrap() == Some(thread::current().id());
        let counter = if by_host { &self.echoes_by_host } else { &self.echoes_by_others };
        counter.fetch_add(1, Ordering::SeqCst);
        self.count(0);
    }
}

impl Load {
    /// Starts the work on `green`.
    pub(crate) fn start(green: &Green) -> Load {
        let shared = Arc::<Shared>::default();
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let address = listener.local_addr().unwrap();
        let spawn = |work| green.spawner().spawn(work);
        let mut tasks = vec![spawn(echo_to_all(listener, Arc::clone(&shared)))];
        tasks.push(green.spawner().spawn(tick(Arc::clone(&shared))));
        tasks.push(green.spawner().spawn(read_files(Arc::clone(&shared))));
        tasks.push(green.spawner().spawn(start_children(Arc::clone(&shared))));
        let client = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || talk(address, &shared))
        };
        let clients = (0..CONNECTIONS).map(client).collect();
        Load { shared, clients, tasks, seen: [0; KINDS] }
    }

    /// Notes whether this thread carries the runtime from now on.
    pub(crate) fn moved(&mut self, here: bool) {
        *self.shared.host.lock().unwrap() = here.then(|| thread::current().id());
        self.seen = self.done();
        self.shared.echoes_by_host.store(0, Ordering::SeqCst);
        self.shared.echoes_by_others.store(0, Ordering::SeqCst);
    }

    fn done(&self) -> [usize; KINDS] {
        self.shared.done.each_ref().map(|done| done.load(Ordering::SeqCst))
    }

    /// Returns true when there was more of each kind since the last move, and the right thread did it.
    pub(crate) fn has_gone_on(&self) -> bool {
        let by_host = self.shared.echoes_by_host.load(Ordering::SeqCst);
        let by_others = self.shared.echoes_by_others.load(Ordering::SeqCst);
        let is_here = self.shared.host.lock().unwrap().is_some();
        let echoes = if is_here { by_host } else { by_others };
        echoes >= 20 && self.done().iter().zip(self.seen).all(|(now, seen)| *now >= seen + 2)
    }

    /// Has the work stop, which it does while the runtime runs.
    pub(crate) fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }

    /// Returns true when all of it has stopped.
    pub(crate) fn has_stopped(&self) -> bool {
        self.tasks.iter().all(Task::is_finished)
    }

    /// Checks that nothing was lost.
    pub(crate) fn check(self) {
        let sent: u32 = self.clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert_eq!(self.shared.done[0].load(Ordering::SeqCst), sent as usize, "each echo came back");
        self.tasks.into_iter().for_each(|task| task.wait().unwrap());
    }
}

/// Sends numbers and gets them back until it is told to stop. Returns how many.
fn talk(address: SocketAddr, shared: &Shared) -> u32 {
    let mut stream = StdStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut number, mut back) = (0_u32, [0; 4]);
    while !shared.stops() {
        stream.write_all(&number.to_be_bytes()).unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(u32::from_be_bytes(back), number, "in order, and none is lost");
        number += 1;
    }
    number
}

/// Echoes what the clients send, on one task each.
async fn echo_to_all(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        connections.push(twoply::spawn(async move {
            let mut number = [0; 4];
            while stream.read_exact(&mut number).await.is_ok() {
                shared.count_echo();
                stream.write_all(&number).await.unwrap();
            }
        }));
    }
    for connection in connections {
        connection.await.unwrap();
    }
}

async fn tick(shared: Arc<Shared>) {
    let mut ticks = time::interval(Duration::from_millis(2));
    while !shared.stops() {
        ticks.tick().await;
        shared.count(1);
    }
}

/// Writes a file and reads it, each time another one.
async fn read_files(shared: Arc<Shared>) {
    let path: PathBuf =
        std::env::temp_dir().join(format!("twoply-load-{}-{:p}", std::process::id(), Arc::as_ptr(&shared)));
    for number in 0_u32.. {
        if shared.stops() {
            break;
        }
        let text = format!("content {number}").repeat(100);
        fs::write(&path, &text).await.unwrap();
        assert_eq!(fs::read_to_string(&path).await.unwrap(), text);
        shared.count(2);
    }
    fs::remove_file(&path).await.unwrap();
}

async fn start_children(shared: Arc<Shared>) {
    for number in 0_u32.. {
        if shared.stops() {
            break;
        }
        let mut echo = Command::new("echo");
        let child = echo.arg(number.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), number.to_string());
        shared.count(3);
    }
}

/// Has `green` do one thing at a time, from another thread, so that each has to wake the foreign loop by
/// itself.
pub(crate) fn one_at_a_time(green: &Green) -> JoinHandle<()> {
    let spawner = green.spawner().clone();
    thread::spawn(move || {
        for _ in 0..5 {
            // Only the call of this thread can.
            spawner.spawn(async {}).wait().unwrap();
            // Only the time.
            spawner.spawn(time::sleep(Duration::from_millis(20))).wait().unwrap();
            // Only the socket.
            let ((ours, theirs), waits) = (UnixStream::pair().unwrap(), Gate::new());
            let waiting = waits.clone();
            let read = async move { waiting.open_when_polled(ours.read_exact(&mut [0])).await };
            let read = spawner.spawn(read);
            eventually("it waits", || waits.is_open());
            theirs.write_all(b"x").wait().unwrap();
            read.wait().unwrap().unwrap();
        }
    })
}

//! What becomes of each kind of work in flight when a runtime is shut down: the rows of the table in the
//! documentation of `twoply::shutdown`, one law each.

use std::future::{Future, pending};
use std::io::{ErrorKind, Read, Write};
use std::net as std_net;
use std::pin::Pin;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use twoply_core::actor::{Builder, Event, ExitReason, Pid, Process, Registry};
use twoply_core::fs::{Engine, File, OpenOptions};
use twoply_core::io::BufWriter;
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::process::Command;
use twoply_core::sync::Event as Latch;
use twoply_core::task::{SpawnError, Task};
use twoply_core::threads::PoolLimits;
use twoply_core::time::sleep;
use twoply_core::{Wait, channel, offload, port};
use twoply_tests::{Dir, Gate, Signal, System, Systems, children_of, eventually, laws};

laws! {
    everywhere {
        all_tasks_are_cancelled_before_any_is_waited_for,
        no_task_starts_any_more,
        a_task_that_runs_ends_at_its_next_wait,
        a_read_that_is_cut_off_takes_nothing,
        what_the_system_has_taken_of_a_write_is_sent,
        what_was_written_to_a_file_stays,
        what_a_buffer_has_not_written_is_lost,
        a_listener_is_closed,
        a_listener_with_another_owner_goes_on,
        a_port_that_has_closed_has_written_all,
        a_port_that_is_closed_and_has_not_ended_is_cut_off,
        a_port_ends_with_its_connection,
        what_was_sent_into_a_channel_stays_there,
        no_timer_of_a_task_fires,
        a_timer_goes_with_the_process_that_it_is_for,
        a_timer_for_a_process_elsewhere_goes_on,
        a_child_goes_on_unless_it_goes_with_its_handle,
        code_that_is_offloaded_is_waited_for,
        processes_end_as_shut_down_and_others_are_told,
    }
    green { an_operation_on_a_file_goes_on_to_its_end }
}

const SOON: Duration = Duration::from_secs(10);

/// Starts `wait` as a task that is suspended, and as one that is blocked, on the systems in turn.
fn both<F: Future<Output = ()> + Send + 'static>(system: &System, wait: impl Fn() -> F) -> [Task<()>; 2] {
    let (suspended, blocked) = (wait(), wait());
    [system.spawn(suspended), system.spawn_fn(move || Box::pin(blocked).wait())]
}

fn all_tasks_are_cancelled_before_any_is_waited_for(on: &Systems) {
    struct After(Arc<Latch>, Arc<Latch>);
    impl Drop for After {
        fn drop(&mut self) {
            self.0.set();
            self.1.wait().wait();
        }
    }
    let system = on.kind().build();
    let (one, two, gate) = (Arc::new(Latch::new()), Arc::new(Latch::new()), Gate::new());
    for n in 0..4 {
        // The destructor of each waits for that of the one before or after it, whatever the order.
        let (own, other) = if n % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let (after, opened) = (After(Arc::clone(own), Arc::clone(other)), gate.opened());
        let body = async move {
            let _after = after;
            opened.await;
        };
        match n / 2 {
            0 => system.spawn(body).detach(),
            _ => system.spawn_fn(move || Box::pin(body).wait()).detach(),
        }
    }
    eventually("all wait", || gate.waiting() == 4);
    system.shutdown(SOON).unwrap();
}

fn no_task_starts_any_more(on: &Systems) {
    struct Spawns(channel::Sender<bool>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let refused = twoply_core::task::Builder::new().spawn(async {}).err();
            let _ = self.0.try_send(matches!(refused, Some(SpawnError::ShutDown)));
        }
    }
    let system = on.kind().build();
    let ((tell, told), gate) = (channel::unbounded(), Gate::new());
    both(&system, || {
        let (spawns, opened) = (Spawns(tell.clone()), gate.opened());
        async move {
            let _spawns = spawns;
            opened.await;
        }
    })
    .into_iter()
    .for_each(Task::detach);
    eventually("both wait", || gate.waiting() == 2);
    system.shutdown(SOON).unwrap();
    assert_eq!([told.try_recv(), told.try_recv()], [Ok(true), Ok(true)]);
}

fn a_task_that_runs_ends_at_its_next_wait(on: &Systems) {
    for blocked in [false, true] {
        let system = on.kind().build();
        let (running, tasks) = (Signal::new(), Arc::clone(system.backend().tasks()));
        let runs = running.clone();
        let body = async move {
            runs.add();
            while !tasks.is_closed() {
                thread::sleep(Duration::from_millis(1));
            }
            pending::<()>().await;
        };
        let task = if blocked { system.spawn_fn(move || Box::pin(body).wait()) } else { system.spawn(body) };
        eventually("it runs", || running.count() == 1);
        system.shutdown(SOON).unwrap();
        assert!(task.wait().unwrap_err().is_cancelled());
    }
}

/// A connection: an end of this library, and one of std.
fn connection() -> (TcpStream, std_net::TcpStream) {
    let listener = std_net::TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (here, listener.accept().unwrap().0)
}

fn a_read_that_is_cut_off_takes_nothing(on: &Systems) {
    // Suspended, blocked in a wait, in what std calls a read, and in the wait of an operation that reads.
    for way in 0..4 {
        let system = on.kind().build();
        let (here, mut there) = connection();
        let (here, seen, stop) =
            (Arc::new(here), Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (reading, saw) = (Arc::clone(&here), Arc::clone(&seen));
        let read = async move {
            let (mut stream, mut part) = (&*reading, [0; 64]);
            loop {
                let n = match way {
                    0 | 1 => stream.read(&mut part).await,
                    2 => Read::read(&mut stream, &mut part),
                    _ => stream.read(&mut part).wait(),
                };
                saw.lock().unwrap().extend_from_slice(&part[..n.unwrap()]);
            }
        };
        let task: Task<()> =
            if way == 0 { system.spawn(read) } else { system.spawn_fn(move || Box::pin(read).wait()) };
        let stopped = Arc::clone(&stop);
        let writing = thread::spawn(move || {
            let numbers = (0..=u8::MAX).cycle().take_while(|_| !stopped.load(Ordering::SeqCst));
            numbers.map(|n| there.write_all(&[n]).unwrap()).count()
        });
        eventually("it reads", || seen.lock().unwrap().len() > 1000);
        system.shutdown(SOON).unwrap();
        assert!(task.wait().unwrap_err().is_cancelled());
        stop.store(true, Ordering::SeqCst);
        let mut all = std::mem::take(&mut *seen.lock().unwrap());
        // On this thread, whose driver is another one; and first, for the writer may wait for room.
        twoply_core::io::read_to_end(&mut &*here, &mut all, 1 << 30).wait().unwrap();
        assert_eq!(all.len(), writing.join().unwrap());
        all.iter().enumerate().for_each(|(n, byte)| assert_eq!(*byte, n as u8));
    }
}

/// The number of words in one write.
const WORDS: usize = 1000;

fn what_the_system_has_taken_of_a_write_is_sent(on: &Systems) {
    for blocked in [false, true] {
        let system = on.kind().build();
        let (here, mut there) = connection();
        let written = Signal::new();
        let count = written.clone();
        let write = async move {
            for n in 0..u32::MAX {
                here.write_all(&n.to_be_bytes().repeat(WORDS)).await.unwrap();
                count.add();
            }
        };
        let task =
            if blocked { system.spawn_fn(move || Box::pin(write).wait()) } else { system.spawn(write) };
        // It goes on until the buffers are full, and then waits.
        let mut before = 0;
        eventually("it waits", || {
            thread::sleep(Duration::from_millis(20));
            std::mem::replace(&mut before, written.count()) == written.count() && before > 0
        });
        system.shutdown(SOON).unwrap();
        assert!(task.wait().unwrap_err().is_cancelled());
        let mut received = Vec::new();
        there.read_to_end(&mut received).unwrap();
        let numbers = received.chunks(4).enumerate();
        numbers.for_each(|(n, bytes)| assert_eq!(bytes, &((n / WORDS) as u32).to_be_bytes()[..bytes.len()]));
        let whole = received.len() / 4 / WORDS;
        assert!(whole >= written.count(), "{whole} of {}", written.count());
    }
}

fn what_was_written_to_a_file_stays(on: &Systems) {
    let system = on.kind().build();
    let name = format!("twoply-shutdown-{}-{}", process::id(), on.name().replace("::", "-"));
    let path = std::env::temp_dir().join(name);
    let (written, target) = (Signal::new(), path.clone());
    let count = written.clone();
    let task = system.spawn(async move {
        let file = File::create(&target).await.unwrap();
        for n in 0..u32::MAX {
            file.write_all(&n.to_be_bytes().repeat(WORDS)).await.unwrap();
            count.add();
        }
    });
    eventually("it writes", || written.count() >= 20);
    system.shutdown(SOON).unwrap();
    assert!(task.wait().unwrap_err().is_cancelled());
    let content = std::fs::read(&path).unwrap();
    let numbers = content.chunks(4).enumerate();
    numbers.for_each(|(n, bytes)| assert_eq!(bytes, &((n / WORDS) as u32).to_be_bytes()[..bytes.len()]));
    assert!(content.len() / 4 / WORDS >= written.count());
    std::fs::remove_file(path).unwrap();
}

fn an_operation_on_a_file_goes_on_to_its_end(on: &Systems) {
    let limits = PoolLimits { threads: 1, ..PoolLimits::default() };
    let builder = on.kind().green().offload_limits(limits).file_engine(Engine::Pool);
    let (system, dir) = (System::from(builder.build().unwrap()), Dir::new());
    let (hold, held) = mpsc::channel::<()>();
    // The operation has to wait for the thread.
    system.backend().blocking_pool().execute(None, move || assert!(held.recv().is_err())).unwrap();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).custom_flags(libc::O_DSYNC);
    let (file, begun) = (options.open(dir.join("file")).wait().unwrap(), Gate::new());
    let began = begun.clone();
    let task = system.spawn(async move { drop(began.open_when_polled(file.write(b"all")).await) });
    eventually("it has begun", || begun.is_open());
    let _ = system.shutdown(Duration::from_millis(20));
    assert!(task.wait().unwrap_err().is_cancelled());
    assert_eq!(std::fs::read(dir.join("file")).unwrap(), b"");
    drop(hold);
    eventually("it is written", || std::fs::read(dir.join("file")).unwrap() == b"all");
}

fn what_a_buffer_has_not_written_is_lost(on: &Systems) {
    let system = on.kind().build();
    let ((here, mut there), begun) = (connection(), Gate::new());
    let began = begun.clone();
    let task = system.spawn(async move {
        let mut buffered = BufWriter::new(here);
        buffered.write_all(b"flushed").await.unwrap();
        buffered.flush().await.unwrap();
        buffered.write_all(b"not").await.unwrap();
        began.open();
        pending::<()>().await;
    });
    eventually("it has written", || begun.is_open());
    system.shutdown(SOON).unwrap();
    assert!(task.wait().unwrap_err().is_cancelled());
    let mut received = String::new();
    there.read_to_string(&mut received).unwrap();
    assert_eq!(received, "flushed");
}

fn a_port_ends_with_its_connection(on: &Systems) {
    let system = on.kind().build();
    let (here, mut there) = connection();
    let port = port::lines(here).on(system.backend()).start().unwrap();
    there.write_all(b"one\ntwo").unwrap();
    assert_eq!(port.recv().wait().unwrap().item().as_deref(), Some("one"));
    let ended = port.port_ref().ended();
    system.shutdown(SOON).unwrap();
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    assert!(port.recv().wait().is_err(), "half a line is no line");
    assert!(port.send("late".to_owned()).wait().is_err());
    let end = there.read(&mut [0]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

fn a_port_that_has_closed_has_written_all(on: &Systems) {
    let system = on.kind().build();
    let (here, mut there) = connection();
    let port = port::lines(here).on(system.backend()).start().unwrap();
    // More than the system takes at once, so that it waits for its peer.
    let line = "x".repeat(8 << 20);
    let reading = thread::spawn(move || {
        let mut received = String::new();
        there.read_to_string(&mut received).unwrap();
        received
    });
    port.send(line.clone()).wait().unwrap();
    port.port_ref().close();
    assert!(port.port_ref().ended().wait().is_normal());
    system.shutdown(SOON).unwrap();
    assert_eq!(reading.join().unwrap(), line + "\n");
}

fn a_port_that_is_closed_and_has_not_ended_is_cut_off(on: &Systems) {
    let system = on.kind().build();
    let (here, mut there) = connection();
    let port = port::lines(here).on(system.backend()).start().unwrap();
    // More than the system takes from a port whose peer reads nothing.
    let line = "x".repeat(32 << 20);
    port.send(line.clone()).wait().unwrap();
    there.read_exact(&mut [0]).unwrap();
    port.port_ref().close();
    let ended = port.port_ref().ended();
    system.shutdown(SOON).expect("nobody waits for the peer");
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    let mut received = Vec::new();
    let end = there.read_to_end(&mut received);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(line.as_bytes().starts_with(&received), "what has been sent is sent in order");
    assert!(received.len() < line.len() - 1, "{} bytes", received.len());
}

fn a_listener_is_closed(on: &Systems) {
    let system = on.kind().build();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let begun = Gate::new();
    let accept = begun.clone().open_when_polled(async move { drop(listener.accept().await) });
    let task = system.spawn(accept);
    eventually("it accepts", || begun.is_open());
    system.shutdown(SOON).unwrap();
    assert!(task.wait().unwrap_err().is_cancelled());
    let refused = std_net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

fn a_listener_with_another_owner_goes_on(on: &Systems) {
    let system = on.kind().build();
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").wait().unwrap());
    let (begun, other) = (Gate::new(), Arc::clone(&listener));
    let accept = begun.clone().open_when_polled(async move { drop(other.accept().await) });
    let task = system.spawn(accept);
    eventually("it accepts", || begun.is_open());
    system.shutdown(SOON).unwrap();
    assert!(task.wait().unwrap_err().is_cancelled());
    let address = listener.local_addr().unwrap();
    let waits = Gate::new();
    let waited = waits.clone();
    // It waits, with another driver.
    let accepting = thread::spawn(move || {
        waited.open_when_polled(listener.accept()).wait().map(|(_, peer)| peer).unwrap()
    });
    eventually("it waits", || waits.is_open());
    let client = std_net::TcpStream::connect(address).unwrap();
    assert_eq!(accepting.join().unwrap(), client.local_addr().unwrap());
}

fn what_was_sent_into_a_channel_stays_there(on: &Systems) {
    let system = on.kind().build();
    let (tx, rx) = channel::bounded(4);
    let full = Gate::new();
    let begun = full.clone();
    let task = system.spawn(async move {
        for n in 0..4 {
            tx.send(n).await.unwrap();
        }
        begun.open_when_polled(tx.send(4)).await.unwrap();
    });
    eventually("it is full", || full.is_open());
    system.shutdown(SOON).unwrap();
    assert!(task.wait().unwrap_err().is_cancelled());
    assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2, 3], "and not what was not sent");
}

fn no_timer_of_a_task_fires(on: &Systems) {
    let system = on.kind().build();
    let (fired, gate) = (Signal::new(), Gate::new());
    let tasks = both(&system, || {
        let (fired, gate) = (fired.clone(), gate.clone());
        async move {
            gate.open_when_polled(sleep(Duration::from_secs(3600))).await;
            fired.add();
        }
    });
    eventually("one sleeps", || gate.is_open());
    system.shutdown(SOON).unwrap();
    for task in tasks {
        assert!(task.wait().unwrap_err().is_cancelled());
    }
    assert_eq!(fired.count(), 0);
}

fn a_timer_goes_with_the_process_that_it_is_for(on: &Systems) {
    let system = on.kind().build();
    let (lost, found) = channel::unbounded();
    let process = Builder::new()
        .on(system.backend())
        .on_undelivered(move |number: u32| lost.try_send(number).unwrap())
        .spawn(async |mut me: Process<u32>| drop(me.receive().await))
        .unwrap();
    // It is started here, and it is the process's all the same.
    let _timer = process.send_after(Duration::from_secs(3600), 7);
    system.shutdown(SOON).unwrap();
    assert_eq!(found.recv().wait(), Ok(7), "it is given back, and not sent late");
}

fn a_timer_for_a_process_elsewhere_goes_on(on: &Systems) {
    let system = on.kind().build();
    let (tell, told) = channel::unbounded();
    let process = Builder::new()
        .on(on.here().backend())
        .spawn(async move |mut me: Process<u32>| {
            let _ = tell.try_send(me.receive().await.message());
        })
        .unwrap();
    let target = process.clone();
    // The task's own driver has the timer, and ends long before the time has come.
    system.spawn(async move { drop(target.send_after(Duration::from_millis(300), 7)) }).wait().unwrap();
    system.shutdown(SOON).unwrap();
    drop(system);
    assert_eq!(told.recv().wait(), Ok(Some(7)));
}

fn a_child_goes_on_unless_it_goes_with_its_handle(on: &Systems) {
    on.alone(|| {
        let system = on.kind().build();
        let (tell, told) = channel::unbounded();
        for kill in [false, true] {
            let mut child = Command::new("sleep").arg("1000").kill_on_drop(kill).spawn().unwrap();
            let (tell, id) = (tell.clone(), child.id());
            let wait = async move {
                let _ = tell.try_send(id);
                let _ = child.wait().await;
            };
            system.spawn(wait).detach();
        }
        let ids: Vec<u32> = (0..2).map(|_| told.recv().wait().unwrap()).collect();
        system.shutdown(SOON).unwrap();
        let own = || children_of(process::id());
        eventually("one is left", || own().len() == 1);
        let left = own()[0].0;
        assert!(ids.contains(&left));
        let pid = rustix::process::Pid::from_raw(left as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        eventually("it leaves no zombie", || own().is_empty());
    });
}

fn code_that_is_offloaded_is_waited_for(on: &Systems) {
    let system = on.kind().build();
    let (gate, ended) = (Gate::new(), Arc::new(AtomicBool::new(false)));
    let (begun, end, stop) = (gate.clone(), Arc::clone(&ended), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let task = system.spawn_fn(move || {
        offload(|| {
            begun.open();
            while !stopped.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            end.store(true, Ordering::SeqCst);
        })
        .unwrap();
    });
    eventually("it runs", || gate.is_open());
    let late = system.shutdown(Duration::from_millis(20)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert!(!ended.load(Ordering::SeqCst));
    stop.store(true, Ordering::SeqCst);
    system.shutdown(SOON).unwrap();
    assert!(ended.load(Ordering::SeqCst), "it has come to its end");
    drop(task.wait());
}

/// A waker that says whether a name is taken at the moment at which it is woken.
struct Looks(Registry, channel::Sender<bool>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let _ = self.1.try_send(self.0.whereis_pid("clerk").is_some());
    }
}

/// What comes to a process that watches another one.
enum Note {
    Watch(Pid),
    Undelivered(u32),
}

fn processes_end_as_shut_down_and_others_are_told(on: &Systems) {
    let system = on.kind().build();
    let (registry, (tell, told)) = (Registry::new(), channel::unbounded());
    let names = registry.clone();
    let watcher = Builder::new()
        .on(on.here().backend())
        .trap_exit(true)
        .spawn(async move |mut me: Process<Note>| {
            for _ in 0..4 {
                let news = match me.receive().await {
                    Event::Message(Note::Watch(watched)) => {
                        me.link(&watched);
                        me.monitor(&watched);
                        "watching".to_owned()
                    }
                    Event::Exit(exit) => format!("exit: {}", exit.reason),
                    Event::Down(down) => format!("down: {}", down.reason),
                    Event::Message(Note::Undelivered(number)) => format!("undelivered: {number}"),
                    other => format!("{other:?}"),
                };
                let _ = tell.try_send((news, names.whereis_pid("clerk").is_some()));
            }
        })
        .unwrap();
    let lost = watcher.clone();
    let process = Builder::new()
        .on(system.backend())
        .register_in(&registry, "clerk")
        .on_undelivered(move |number: u32| lost.try_send(Note::Undelivered(number)).unwrap())
        .spawn(async |_: Process<u32>| pending::<()>().await)
        .unwrap();
    watcher.send(Note::Watch(process.pid())).wait().unwrap();
    assert_eq!(told.recv().wait().unwrap(), ("watching".to_owned(), true));
    process.send(7).wait().unwrap();
    let ((look, looked), mut ended) = (channel::unbounded(), process.ended());
    let waker = Waker::from(Arc::new(Looks(registry, look)));
    assert!(Pin::new(&mut ended).poll(&mut Context::from_waker(&waker)).is_pending());
    system.shutdown(SOON).unwrap();
    assert_eq!(looked.recv().wait(), Ok(false), "its name is free before anybody is told");
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    // In the order of the mailbox.
    for news in ["exit: shutdown", "down: shutdown", "undelivered: 7"] {
        assert_eq!(told.recv().wait().unwrap(), (news.to_owned(), false));
    }
    watcher.ended().wait();
}

//! The threads on which ports run where they do not run on the workers of their owners.
#![cfg(all(feature = "native", feature = "green"))]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use twoply::net::UnixStream;
use twoply::port::{self, Buffer, Decoder, Event, Lines};
use twoply::{Runtime, Wait};
use twoply_tests::{Systems, eventually, facade, laws};

laws! {
    everywhere {
        ports_run_on_the_threads_of_the_io_server,
        a_thread_that_is_awake_is_not_woken,
        a_decoder_that_waits_keeps_its_thread_and_gets_on,
        a_shutdown_closes_the_ports,
    }
    native { a_port_of_a_native_task_costs_no_thread }
}

const SOON: Duration = Duration::from_secs(10);

fn pair() -> (UnixStream, StdStream) {
    let (ours, theirs) = StdStream::pair().unwrap();
    (UnixStream::from(ours), theirs)
}

fn runtime(on: &Systems, threads: usize) -> Runtime {
    facade!(on.kind()).name("law").io_server(threads).build().unwrap()
}

/// Decodes lines, and does something else before.
#[derive(Clone)]
struct Hooked<F>(F, Lines);

impl<F: FnMut()> Decoder for Hooked<F> {
    type Item = String;
    type Error = twoply::port::CodecError;

    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<String>, Self::Error> {
        (self.0)();
        self.1.decode(buf)
    }
}

fn ports_run_on_the_threads_of_the_io_server(on: &Systems) {
    let runtime = runtime(on, 2);
    let names: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut open = Vec::new();
    for number in 0..4 {
        let (ours, mut theirs) = pair();
        let names = Arc::clone(&names);
        let note = move || names.lock().unwrap().extend(thread::current().name().map(str::to_owned));
        let codec = Hooked(note, Lines::new());
        let port = port::custom::<_, _, _, String>(ours, codec, Lines::new());
        let port = port.on(runtime.spawner().backend()).start().unwrap();
        writeln!(theirs, "{number}").unwrap();
        assert_eq!(port.recv().wait().unwrap().item().unwrap(), number.to_string());
        port.send("back".to_owned()).wait().unwrap();
        let mut back = [0; 5];
        theirs.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"back\n");
        open.push((port, theirs));
    }
    let mut names = std::mem::take(&mut *names.lock().unwrap());
    names.sort();
    names.dedup();
    assert_eq!(names, ["law-io-0", "law-io-1"]);
    let io = runtime.metrics().io;
    assert_eq!((io.threads, io.tasks, io.reactors.registered), (2, 4, 4));
    drop(open);
    eventually("they are closed", || runtime.metrics().io.tasks == 0);
    runtime.shutdown(SOON).unwrap();
}

fn a_thread_that_is_awake_is_not_woken(on: &Systems) {
    const LINES: usize = 5_000;
    let runtime = runtime(on, 1);
    let (ours, theirs) = pair();
    let port = port::lines(ours).on(runtime.spawner().backend()).start().unwrap();
    let reader = thread::spawn(move || std::io::read_to_string(theirs).unwrap());
    let before = runtime.metrics().io.reactors;
    for line in 0..LINES {
        port.send(line.to_string()).wait().unwrap();
    }
    port.port_ref().close();
    assert_eq!(reader.join().unwrap().lines().count(), LINES);
    let after = runtime.metrics().io.reactors;
    let (woken, saved) = (after.notifies - before.notifies, after.saved_notifies - before.saved_notifies);
    // Each item is one that the thread may have to be told of, and it takes several at a time.
    assert!(woken < LINES as u64, "{woken} wake-ups for {LINES} lines");
    assert!(saved > 0, "{woken} wake-ups, and none saved");
}

fn a_decoder_that_waits_keeps_its_thread_and_gets_on(on: &Systems) {
    let runtime = runtime(on, 1);
    let (ours, mut theirs) = pair();
    // It waits for a deadline of the same thread's reactor.
    let nap = || twoply::time::sleep(Duration::from_millis(2)).wait();
    let port = port::custom::<_, _, _, String>(ours, Hooked(nap, Lines::new()), Lines::new());
    let port = port.on(runtime.spawner().backend()).start().unwrap();
    theirs.write_all(b"1\n2\n").unwrap();
    for number in 1..=2 {
        assert_eq!(port.recv().wait().unwrap().item().unwrap(), number.to_string());
    }
}

fn a_shutdown_closes_the_ports(on: &Systems) {
    let runtime = runtime(on, 1);
    let (ours, mut theirs) = pair();
    let port = port::lines(ours).on(runtime.spawner().backend()).start().unwrap();
    runtime.shutdown(SOON).unwrap();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    assert!(port.recv().wait().is_err());
    let (ours, _theirs) = pair();
    let late = port::lines(ours).on(runtime.spawner().backend()).start();
    assert!(late.unwrap_err().to_string().contains("shut down"));
    // So does dropping a runtime.
    let runtime = self::runtime(on, 1);
    let (ours, mut theirs) = pair();
    let port = port::lines(ours).on(runtime.spawner().backend()).start().unwrap();
    drop(runtime);
    match theirs.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
    assert!(port.recv().wait().is_err());
}

fn a_port_of_a_native_task_costs_no_thread(on: &Systems) {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let start = || {
        let (ours, theirs) = pair();
        (port::lines(ours).on(on.here().backend()).start().unwrap(), theirs)
    };
    let first = start();
    let before = threads();
    let mut many: Vec<_> = (0..200).map(|_| start()).collect();
    // Other laws run beside this one.
    assert!(threads() < before + 100, "{} threads, and {before} before", threads());
    for (number, (port, theirs)) in many.iter_mut().enumerate() {
        writeln!(theirs, "{number}").unwrap();
        assert!(matches!(port.recv().wait(), Ok(Event::Item(line)) if line == number.to_string()));
    }
    drop(first);
}

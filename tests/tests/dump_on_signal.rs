//! Dumps that a signal asks for.
#![cfg(all(feature = "native", feature = "green"))]

use std::future::pending;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use twoply::runtime::{Builder, DumpOnSignal};
use twoply::signal::SignalKind;
use twoply::task;
use twoply::{Backend, Runtime, Wait, channel, spawn_fn};
use twoply_tests::{Resources, Systems, eventually, fiber_promise, laws};

laws! {
    everywhere {
        a_signal_dumps_what_tasks_wait_for,
        a_signal_dumps_a_runtime_whose_workers_are_all_stuck,
        a_handler_of_dumps_may_panic_and_wait,
        no_dump_is_made_of_a_runtime_that_is_dropped,
    }
    native {
        a_signal_dumps_the_runtimes_of_the_process,
        a_signal_that_cannot_be_listened_to_is_refused,
    }
}

const SOON: Duration = Duration::from_secs(15);

fn builder(on: &Systems) -> Builder {
    let backend = match (on.kind().is_green(), on.kind().is_fibers()) {
        (true, true) => Backend::Fibers,
        (true, false) => Backend::Green,
        _ => Backend::Native,
    };
    Runtime::builder().backend(backend).workers(on.kind().workers()).fibers(fiber_promise())
}

fn send(signal: Signal) {
    kill_process(getpid(), signal).expect("a process may signal itself");
}

/// Asks for dumps until there is one that contains all of `parts`.
fn dump_with(dumps: &mpsc::Receiver<String>, parts: &[&str]) {
    let mut last = String::new();
    eventually("a dump tells it", || {
        send(Signal::QUIT);
        last = dumps.recv_timeout(SOON).expect("a dump is made");
        parts.iter().all(|part| last.contains(part))
    });
}

fn a_signal_dumps_what_tasks_wait_for(on: &Systems) {
    on.alone(|| {
        let (tell, dumps) = mpsc::channel();
        let runtime = builder(on)
            .dump_on_signal_with(SignalKind::QUIT, move |dump| drop(tell.send(dump.to_string())))
            .build()
            .unwrap();
        let (tx, rx) = channel::bounded::<()>(1);
        let named = task::Builder::new().name("the receiver");
        let receiver = named.spawn_fn_on(runtime.spawner().backend(), move || rx.recv().wait()).unwrap();
        dump_with(&dumps, &["the receiver", "for a message of channel"]);
        drop(tx);
        assert!(receiver.wait().unwrap().is_err());
        runtime.shutdown(SOON).unwrap();
        dump_with(&dumps, &["0 tasks"]);
    });
}

fn a_signal_dumps_a_runtime_whose_workers_are_all_stuck(on: &Systems) {
    on.alone(|| {
        let (tell, dumps) = mpsc::channel();
        let handler = move |dump: &task::Dump| drop(tell.send(dump.to_string()));
        let runtime = builder(on).dump_on_signal_with(SignalKind::QUIT, handler).build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..on.kind().workers().max(1))
            .map(|_| {
                let stop = Arc::clone(&stop);
                let code = move || while !stop.load(Ordering::Relaxed) {};
                let named = task::Builder::new().name("the hog");
                named.spawn_fn_on(runtime.spawner().backend(), code).unwrap()
            })
            .collect();
        dump_with(&dumps, &["the hog", "running"]);
        stop.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|task| task.wait().unwrap());
    });
}

fn a_handler_of_dumps_may_panic_and_wait(on: &Systems) {
    on.alone(|| {
        let (tell, dumps) = mpsc::channel();
        let handler = move |dump: &task::Dump| {
            spawn_fn(|| ()).wait().unwrap();
            tell.send(dump.to_string()).unwrap();
            panic!("expected: a handler of dumps");
        };
        let _runtime = builder(on).dump_on_signal_with(SignalKind::QUIT, handler).build().unwrap();
        (0..3).for_each(|_| dump_with(&dumps, &["0 tasks"]));
    });
}

fn no_dump_is_made_of_a_runtime_that_is_dropped(on: &Systems) {
    on.alone(|| {
        let (tell, dumps) = mpsc::channel();
        let handler = move |dump: &task::Dump| drop(tell.send(dump.to_string()));
        let runtime = builder(on).dump_on_signal_with(SignalKind::QUIT, handler).build().unwrap();
        eventually("its thread waits", || Resources::now().threads_named("twoply-dump") == 1);
        drop(runtime);
        // The thread has dropped the handler.
        assert_eq!(dumps.recv(), Err(mpsc::RecvError));
        // What was listened to once does not end the process.
        send(Signal::QUIT);
        eventually("the thread is idle", || Resources::now().threads_named("twoply-dump") == 0);
    });
}

fn a_signal_dumps_the_runtimes_of_the_process(on: &Systems) {
    let output = on.in_child(|| {
        twoply::dump_on_signal(SignalKind::QUIT).unwrap();
        let green = task::Builder::new().name("one of green");
        let _green = green.spawn_on(twoply::green().backend(), pending::<()>()).unwrap();
        let native = task::Builder::new().name("one of native");
        let _native = native.spawn_on(twoply::native().backend(), pending::<()>()).unwrap();
        // Another dump tells that the one before has been written.
        let (tell, dumps) = mpsc::channel();
        let spawners = [twoply::green()];
        let _other = DumpOnSignal::new(SignalKind::USER1, spawners, move |_| tell.send(()).unwrap()).unwrap();
        for _ in 0..50 {
            send(Signal::QUIT);
            send(Signal::USR1);
            dumps.recv_timeout(SOON).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("one of green") && told.contains("one of native"),
        "{told}"
    );
}

fn a_signal_that_cannot_be_listened_to_is_refused(on: &Systems) {
    let refused = builder(on).dump_on_signal(SignalKind::from_raw(9)).build().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

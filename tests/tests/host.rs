//! The scheduler inside a foreign event loop: a plain `poll(2)` loop takes a running one over and gives it
//! back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use twoply::{Backend, Runtime};
use twoply_core::future::yield_now;
use twoply_core::net::TcpListener;
use twoply_core::{Wait, channel, time};
use twoply_green::{Green, Host};
use twoply_native::Native;
use twoply_tests::{eventually, watch};

/// Long enough for anything here, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the host looks at its own business.
const LOOK: Duration = Duration::from_millis(10);

/// A host's loop: turns the runtime, and sleeps in `poll(2)`, until `done`.
fn host_loop(host: &mut Host<&Green>, mut done: impl FnMut() -> bool) -> io::Result<()> {
    let began = Instant::now();
    loop {
        // `done` is the host's own business, which it looks at every so often.
        let timeout = host.turn()?.unwrap_or(LOOK).min(LOOK);
        if done() {
            return Ok(());
        }
        assert!(began.elapsed() < PATIENCE, "the host waits in vain");
        let timeout = timeout.try_into().expect("seconds fit");
        let _ = poll(&mut [PollFd::new(host, PollFlags::IN)], Some(&timeout))?;
    }
}

fn one_worker() -> Green {
    Green::builder().workers(1).build().expect("a runtime")
}

/// A server that counts the threads it has answered on: one byte back for each that comes.
fn echo_server(green: &Green) -> (std::net::SocketAddr, mpsc::Receiver<ThreadId>) {
    let (seen, threads) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").wait().expect("a listener");
    let address = listener.local_addr().expect("an address");
    let server = async move {
        let (stream, _) = listener.accept().await?;
        let mut byte = [0];
        while stream.read(&mut byte).await? > 0 {
            let _ = seen.send(thread::current().id());
            stream.write_all(&byte).await?;
        }
        io::Result::Ok(())
    };
    green.spawner().spawn(server).detach();
    (address, threads)
}

fn ask(client: &mut StdStream) {
    client.write_all(b"x").expect("written");
    let mut byte = [0];
    client.read_exact(&mut byte).expect("answered");
}

#[test]
fn a_host_takes_over_a_running_scheduler_with_its_descriptors_and_gives_it_back() {
    let green = one_worker();
    let (address, threads) = echo_server(&green);
    let mut client = StdStream::connect(address).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    ask(&mut client);
    let before = threads.recv().expect("answered");
    assert_ne!(before, thread::current().id());

    let mut host = green.host().expect("taken over");
    let asking = thread::spawn(move || {
        (0..100).for_each(|_| ask(&mut client));
        client
    });
    host_loop(&mut host, || asking.is_finished()).expect("hosted");
    let on: Vec<ThreadId> = threads.try_iter().collect();
    assert_eq!(on.len(), 100);
    assert!(on.iter().all(|on| *on == thread::current().id()), "the host's thread did the work");

    drop(host);
    let mut client = asking.join().expect("asked");
    ask(&mut client);
    assert_ne!(threads.recv().expect("answered"), thread::current().id());
    green.shutdown(PATIENCE).expect("ended");
}

#[test]
fn work_from_other_threads_and_timers_wake_a_sleeping_host() {
    let green = one_worker();
    let mut host = green.host().expect("taken over");
    let spawner = green.spawner().clone();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let outside = thread::spawn(move || {
        for _ in 0..50 {
            let count = Arc::clone(&counted);
            let task = spawner.spawn(async move {
                time::sleep(Duration::from_micros(200)).await;
                count.fetch_add(1, Ordering::Relaxed)
            });
            task.wait().expect("ran");
        }
    });
    host_loop(&mut host, || outside.is_finished()).expect("hosted");
    outside.join().expect("spawned");
    assert_eq!(count.load(Ordering::Relaxed), 50);
}

#[test]
fn a_task_that_blocks_keeps_the_hosts_thread_and_others_have_the_worker_meanwhile() {
    let green = one_worker();
    let (release, released) = channel::bounded::<()>(1);
    let mut host = green.host().expect("taken over");
    let spawner = green.spawner().clone();
    let outside = thread::spawn(move || {
        let blocked = spawner.spawn_fn(move || released.recv().wait());
        // Only a worker can run this, and the host's thread is the blocked task's.
        let releasing = spawner.spawn(async move { release.send(()).await });
        releasing.wait().expect("ran").expect("sent");
        blocked.wait().expect("ran").expect("released");
    });
    host_loop(&mut host, || outside.is_finished()).expect("hosted");
    outside.join().expect("joined");
    drop(host);
    green.shutdown(PATIENCE).expect("ended");
}

#[test]
fn native_tasks_talk_to_a_stack_that_blocks_while_the_scheduler_moves() {
    watch("a host and native tasks", talk_across_moves);
}

fn talk_across_moves() {
    let (native, green) = (Native::new(), one_worker());
    let (ask, asked) = channel::bounded::<usize>(1);
    let (answer, answered) = channel::bounded(1);
    let echo = green.spawner().spawn_fn(move || {
        let mut count = 0;
        while let Ok(number) = asked.recv().wait() {
            answer.send(number).wait().expect("somebody has asked");
            count += 1;
        }
        count
    });
    let (rounds, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let asking = native.spawner().spawn({
        let (rounds, stop) = (Arc::clone(&rounds), Arc::clone(&stop));
        async move {
            for number in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return number;
                }
                ask.send(number).await.expect("it is there");
                assert_eq!(answered.recv().await, Ok(number), "each answer comes once and in order");
                rounds.store(number, Ordering::SeqCst);
            }
            unreachable!("it is told to stop")
        }
    });
    // A stack that begins inside of a host keeps its thread.
    eventually("the stack has begun", || rounds.load(Ordering::SeqCst) > 0);
    let goes_on = |seen: usize| rounds.load(Ordering::SeqCst) >= seen + 20;
    for _ in 0..5 {
        let mut host = green.host().expect("taken over");
        let seen = rounds.load(Ordering::SeqCst);
        host_loop(&mut host, || goes_on(seen)).expect("hosted");
        drop(host);
        let seen = rounds.load(Ordering::SeqCst);
        eventually("they go on when it is given back", || goes_on(seen));
    }
    stop.store(true, Ordering::SeqCst);
    assert_eq!(asking.wait().expect("ended"), echo.wait().expect("ended"));
    green.shutdown(PATIENCE).expect("ended");
    native.shutdown(PATIENCE).expect("ended");
}

#[test]
fn a_busy_host_keeps_its_timers() {
    let green = one_worker();
    let mut host = green.host().expect("taken over");
    let timer = green.spawner().spawn(time::sleep(Duration::from_millis(1)));
    let busy = green.spawner().spawn(async {
        loop {
            yield_now().await;
        }
    });
    host_loop(&mut host, || timer.is_finished()).expect("hosted");
    busy.cancel();
    drop(host);
    green.shutdown(PATIENCE).expect("ended");
}

#[test]
fn a_runtime_has_one_host_at_a_time_and_only_where_it_can() {
    let green = one_worker();
    let host = green.host().expect("taken over");
    assert_eq!(green.host().expect_err("two hosts").kind(), ErrorKind::ResourceBusy);
    drop(host);
    drop(green.host().expect("free again"));
    green.shutdown(PATIENCE).expect("ended");
    assert_eq!(green.host().expect_err("shut down").kind(), ErrorKind::NotConnected);
    let two = Green::builder().workers(2).build().expect("a runtime");
    assert_eq!(two.host().expect_err("two workers").kind(), ErrorKind::Unsupported);
    let fibers = Runtime::builder().workers(1).backend(Backend::Fibers).fibers(twoply_tests::fiber_promise());
    let fibers = fibers.build().expect("a runtime");
    let green = fibers.as_green().expect("it has workers");
    assert_eq!(green.host().expect_err("fibers").kind(), ErrorKind::Unsupported);
}

#[test]
fn a_task_cannot_host_its_own_runtime() {
    let green = Arc::new(one_worker());
    let own = Arc::clone(&green);
    let kind = green.spawner().spawn_fn(move || own.host().map(drop).map_err(|error| error.kind())).wait();
    assert_eq!(kind.expect("ran"), Err(ErrorKind::ResourceBusy));
}

#[test]
fn an_owned_host_goes_in_and_out_with_its_runtime() {
    let mut green = one_worker();
    let (address, threads) = echo_server(&green);
    let mut client = StdStream::connect(address).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    for _ in 0..10 {
        let mut host = green.into_host().expect("taken over");
        let asking = thread::spawn(move || {
            ask(&mut client);
            client
        });
        let began = Instant::now();
        while !asking.is_finished() {
            assert!(began.elapsed() < PATIENCE, "the host waits in vain");
            host.turn().expect("hosted");
        }
        client = asking.join().expect("asked");
        assert_eq!(threads.recv().expect("answered"), thread::current().id());
        green = host.into_inner();
        ask(&mut client);
        assert_ne!(threads.recv().expect("answered"), thread::current().id());
    }
    // The last one is dropped with its runtime in it.
    let pending = green.spawner().spawn(std::future::pending::<()>());
    drop(green.into_host().expect("taken over"));
    assert!(pending.wait().expect_err("it cannot end").is_cancelled());
}

#[test]
fn a_runtime_that_cannot_be_hosted_comes_back() {
    let two = Green::builder().workers(2).build().expect("a runtime");
    let refused = two.into_host().map(drop).expect_err("two workers");
    assert_eq!(refused.error.kind(), ErrorKind::Unsupported);
    refused.green.spawner().spawn(async {}).wait().expect("it runs");
}

//! The context of tokio on twoply's threads: for single futures, and for all that runs on a runtime.

use std::future::pending;
use std::thread;
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use twoply::net::{TcpListener, TcpStream};
use twoply::tokio::{FuturesIo, Io, compat};
use twoply::{Wait, channel, spawn_fn};
use twoply_tests::{Signal, Systems, eventually, facade, fork, laws};

laws! {
    everywhere {
        a_single_future_finds_tokio,
        what_a_single_future_holds_finds_tokio_as_it_ends,
        all_that_runs_on_a_runtime_finds_tokio,
        stacks_that_wait_inside_of_tokio_disturb_nobody,
        guards_of_tokio_belong_to_the_thread,
        streams_have_the_traits_of_tokio,
        streams_of_tokio_have_the_traits_of_futures,
        the_child_of_a_fork_has_a_tokio_of_its_own,
        a_runtime_that_is_lent_stays_with_its_process,
    }
}

const SHORT: Duration = Duration::from_micros(200);

fn a_single_future_finds_tokio(on: &Systems) {
    let nap = compat(async {
        sleep(SHORT).await;
        tokio::spawn(async { 7 }).await.unwrap()
    });
    assert_eq!(on.here().spawn(nap).wait().unwrap(), 7);
    compat(async { sleep(SHORT).await }).wait();
}

/// As the connection of a pool: its destructor starts a task of tokio's.
struct Returned(Signal);

impl Drop for Returned {
    fn drop(&mut self) {
        let signal = self.0.clone();
        drop(tokio::spawn(async move { signal.add() }));
    }
}

fn what_a_single_future_holds_finds_tokio_as_it_ends(on: &Systems) {
    let returned = Signal::default();
    let holding = || {
        let held = Returned(returned.clone());
        compat(async move {
            let _held = held;
            pending::<()>().await;
        })
    };
    // One that waits is cancelled; of others the first poll may never come.
    let (begin, begun) = channel::oneshot();
    let waiting = holding();
    let waiting = on.here().spawn(compat(async move {
        begin.send(()).unwrap();
        waiting.await;
    }));
    begun.wait().unwrap();
    waiting.cancel();
    let others: Vec<_> = (0..20).map(|_| on.here().spawn(holding())).collect();
    others.iter().for_each(|task| task.cancel());
    assert!(waiting.wait().unwrap_err().is_cancelled());
    assert!(others.into_iter().all(|task| task.wait().unwrap_err().is_cancelled()));
    // Elsewhere, on a thread that nobody has entered, one that has been polled and one that has not.
    let mut polled = holding();
    #[expect(clippy::async_yields_async, reason = "it is to be dropped elsewhere, not to be finished")]
    let polled = on.here().spawn(async move {
        assert!(futures::poll!(&mut polled).is_pending());
        polled
    });
    let (polled, unpolled) = (polled.wait().unwrap(), holding());
    thread::spawn(move || drop(polled)).join().unwrap();
    thread::spawn(move || drop(unpolled)).join().unwrap();
    eventually("each has been returned", || returned.count() == 23);
}

fn all_that_runs_on_a_runtime_finds_tokio(on: &Systems) {
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let tasks = (0..20).map(|n| {
        runtime.spawn_fn(move || {
            sleep(SHORT).wait();
            let inner = twoply::spawn(async move {
                sleep(SHORT).await;
                n
            });
            twoply::offload(|| tokio::runtime::Handle::current().id()).unwrap();
            tokio::time::timeout(Duration::from_secs(60), inner).wait().unwrap().unwrap()
        })
    });
    for (n, task) in tasks.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(task.wait().unwrap(), n);
    }
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

/// Each poll waits in its middle, so that on fibers they overlap on one thread.
fn stacks_that_wait_inside_of_tokio_disturb_nobody(on: &Systems) {
    let tasks = (0..20).map(|n| {
        on.here().spawn(compat(async move {
            for round in 0..5 {
                sleep(SHORT * ((n * 7 + round * 3) % 5)).await;
                spawn_fn(|| twoply::time::sleep(SHORT).wait()).wait().unwrap();
                twoply::time::sleep(SHORT * (n % 4)).wait();
                tokio::task::yield_now().await;
            }
        }))
    });
    for task in tasks.collect::<Vec<_>>() {
        task.wait().unwrap();
    }
}

fn guards_of_tokio_belong_to_the_thread(on: &Systems) {
    // One worker has both fibers on one thread, unless it stood still and goes on by another one.
    let is_one_thread = on.kind().is_fibers() && on.kind().workers() == 1;
    eventually("both are on one thread", || guards_overlap_on_one_thread(on) || !is_one_thread);
}

/// Two stacks hold a guard of tokio's while they wait. Where both are fibers of one thread, the guard that
/// ends first is not the one that began last: tokio panics in its destructor, and the other stack hears
/// nothing. Returns whether they were.
fn guards_overlap_on_one_thread(on: &Systems) -> bool {
    let runtime = facade!(on.kind()).build().unwrap();
    let tokio = twoply::tokio::handle().unwrap();
    let ((enter, entered), (begin, begun)) = (channel::oneshot(), channel::oneshot());
    let (release, released) = channel::oneshot();
    let first = runtime.spawn_fn(move || {
        let _guard = tokio.enter();
        enter.send(thread::current().id()).unwrap();
        released.wait().unwrap();
    });
    let thread_of_first = entered.wait().unwrap();
    let (end, ends) = channel::oneshot();
    let second = runtime.spawn_fn(move || {
        let _guard = tokio.enter();
        begin.send(thread::current().id()).unwrap();
        ends.wait().unwrap();
    });
    let are_on_one_thread = begun.wait().unwrap() == thread_of_first;
    assert!(!are_on_one_thread || on.kind().is_fibers());
    release.send(()).unwrap();
    let outcome = first.wait();
    end.send(()).unwrap();
    second.wait().unwrap();
    match outcome {
        Ok(()) => assert!(!are_on_one_thread),
        Err(failure) => {
            assert!(are_on_one_thread && failure.to_string().contains("out of order"), "{failure}");
        }
    }
    are_on_one_thread
}

fn streams_have_the_traits_of_tokio(on: &Systems) {
    let echoed = on.here().spawn(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let echo = twoply::spawn(async move {
            let (reader, writer) = server.into_split();
            let (mut reader, mut writer) = (Io::new(reader), Io::new(writer));
            let copied = tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
            copied
        });
        let (reader, writer) = client.into_split();
        let (mut reader, mut writer) = (Io::new(reader), Io::new(writer));
        let sent: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let bytes = sent.clone();
        let sending = twoply::spawn(async move {
            writer.write_all(&bytes).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.unwrap();
        assert!(back == sent);
        sending.await.unwrap();
        echo.await.unwrap()
    });
    assert_eq!(echoed.wait().unwrap(), 300_000);
}

fn streams_of_tokio_have_the_traits_of_futures(on: &Systems) {
    let (ours, theirs) = tokio::io::duplex(8);
    let echo = on.here().spawn(async move {
        let (mut reader, mut writer) = FuturesIo::new(theirs).split();
        futures::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.close().await.unwrap();
    });
    let (mut reader, mut writer) = FuturesIo::new(ours).split();
    let sending = on.here().spawn(async move {
        writer.write_all(b"more than there is room for").await.unwrap();
        writer.close().await.unwrap();
    });
    let mut back = String::new();
    let reading = on.here().spawn(async move {
        reader.read_to_string(&mut back).await.unwrap();
        back
    });
    assert_eq!(reading.wait().unwrap(), "more than there is room for");
    sending.wait().unwrap();
    echo.wait().unwrap();
}

/// Returns whether tokio's timers run for this thread, for one that begins, and for a task of tokio's.
fn timers_run(on: &Systems) -> bool {
    let nap = || async { timeout(Duration::from_secs(5), sleep(SHORT)).await.is_ok() };
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let tasks = [runtime.spawn(nap()), runtime.spawn_fn(move || compat(nap()).wait())];
    compat(nap()).wait()
        && tasks.into_iter().all(|task| task.wait().unwrap())
        && twoply::tokio::handle().unwrap().spawn(nap()).wait().unwrap()
}

fn the_child_of_a_fork_has_a_tokio_of_its_own(on: &Systems) {
    on.alone(|| {
        assert!(timers_run(on));
        assert_eq!(fork(|| timers_run(on).into()), Some(1), "a thread that was entered for good");
        let mut inside = None;
        twoply::tokio::enter(&mut || inside = fork(|| timers_run(on).into()));
        assert_eq!(inside, Some(1), "a thread that is inside");
    });
}

fn a_runtime_that_is_lent_stays_with_its_process(on: &Systems) {
    on.alone(|| {
        let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        twoply::tokio::lend(own.handle().clone()).unwrap();
        assert!(timers_run(on));
        assert_eq!(twoply::tokio::handle().unwrap().id(), own.handle().id());
        assert_eq!(fork(|| timers_run(on).into()), Some(1));
        assert!(twoply::tokio::lend(own.handle().clone()).is_err());
    });
}

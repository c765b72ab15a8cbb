//! The limits of what is offloaded, what is counted of it, and its name.

use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use twoply::Runtime;
use twoply::runtime::PoolLimits;
use twoply_core::task::{self, SpawnError, WaitingFor};
use twoply_core::{Wait, channel, offload, offload_named};
use twoply_tests::{System, Systems, eventually, laws};

laws! {
    and_mixed { offloaded_code_of_two_runtimes_meets }
    fibers {
        a_full_queue_refuses_what_is_offloaded,
        a_name_is_that_of_the_thread_and_of_the_wait,
    }
    everywhere {
        every_runtime_tells_how_busy_its_pool_is,
        offloaded_code_can_ask_whether_its_task_is_cancelled,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// The name that the system shows for the calling thread.
fn thread_name() -> String {
    std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim().to_owned()
}

fn limited(on: &Systems, threads: usize, queue: usize) -> System {
    let limits = PoolLimits { threads, queue, ..PoolLimits::default() };
    System::from(on.kind().green().offload_limits(limits).build().unwrap())
}

fn offloaded_code_of_two_runtimes_meets(on: &Systems) {
    // Each blocks its thread until the other one has come, in the middle of a function, and goes on there.
    let pairs = (0..10).map(|n| {
        let (here, there) = (Arc::new(Barrier::new(2)), channel::bounded(1));
        let (blocked, (tell, told)) = (Arc::clone(&here), there);
        let one = on.here().spawn_fn(move || {
            let mut parts = vec![n];
            offload(|| {
                blocked.wait();
                parts.push(n + 1);
            })
            .unwrap();
            tell.send(parts).wait().unwrap();
        });
        let other = on.there().spawn(async move {
            offload(|| _ = here.wait()).unwrap();
            assert_eq!(told.recv().await.unwrap(), [n, n + 1]);
        });
        (one, other)
    });
    for (one, other) in pairs.collect::<Vec<_>>() {
        one.wait().unwrap();
        other.wait().unwrap();
    }
}

fn offloaded_code_can_ask_whether_its_task_is_cancelled(on: &Systems) {
    let ((begun, begins), (tell, told)) = (channel::oneshot(), channel::oneshot());
    let task = on.here().spawn_fn(move || {
        offload(|| {
            assert!(!task::is_cancelled());
            begun.send(()).unwrap();
            let end = Instant::now() + SOON;
            while !task::is_cancelled() && Instant::now() < end {
                std::thread::yield_now();
            }
            tell.send(task::is_cancelled()).unwrap();
        })
    });
    begins.wait().unwrap();
    task.cancel();
    assert!(told.wait().unwrap());
    let _ = task.wait();
}

fn a_full_queue_refuses_what_is_offloaded(on: &Systems) {
    let system = limited(on, 1, 1);
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    let start = |n: u32| {
        let hold = Arc::clone(&hold);
        system.spawn_fn(move || offload(|| drop(hold.lock())).map(|()| n))
    };
    let first = start(1);
    eventually("the first runs", || system.metrics().offloaded.running == 1);
    let second = start(2);
    eventually("the second waits", || system.metrics().offloaded.is_saturated());
    let refused = start(3).wait().unwrap();
    assert!(matches!(refused, Err(SpawnError::Thread(_))), "{refused:?}");
    drop(held);
    assert_eq!(first.wait().unwrap().unwrap(), 1);
    assert_eq!(second.wait().unwrap().unwrap(), 2);
    eventually("both are counted", || system.metrics().offloaded.completed == 2);
    let counted = system.metrics().offloaded;
    assert_eq!((counted.most_running, counted.most_queued, counted.refused), (1, 1, 1));
    assert!(!counted.is_saturated());
    system.shutdown(SOON).unwrap();
}

fn a_name_is_that_of_the_thread_and_of_the_wait(on: &Systems) {
    let system = limited(on, 1, usize::MAX);
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    let theirs = Arc::clone(&hold);
    let named = system.spawn_fn(move || {
        offload_named("checksum", || {
            drop(theirs.lock());
            thread_name()
        })
    });
    eventually("it runs", || system.metrics().offloaded.running == 1);
    // The thread of the pool may be there before the task waits for it.
    eventually("the task waits for that", || {
        let dump = system.spawner().dump().wait();
        let is_named = |waits: &[WaitingFor]| matches!(waits, [WaitingFor::Offload { name: Some(name) }] if **name == *"checksum");
        dump.task(named.id()).is_some_and(|task| is_named(&task.waits))
    });
    drop(held);
    assert_eq!(named.wait().unwrap().unwrap(), "checksum");
    let after = system.spawn_fn(|| offload(thread_name)).wait().unwrap().unwrap();
    assert_ne!(after, "checksum", "the thread has its own name again");
    system.shutdown(SOON).unwrap();
}

fn every_runtime_tells_how_busy_its_pool_is(on: &Systems) {
    let kind = on.kind();
    let limits = PoolLimits { threads: 1, ..PoolLimits::default() };
    let runtime = match kind.is_green() {
        true => Runtime::from(kind.green().offload_limits(limits).build().unwrap()),
        false => {
            let native = twoply::native_backend::Native::builder();
            Runtime::from(native.offload_limits(limits).build())
        }
    };
    let pool = runtime.spawner().backend().blocking_pool();
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    for _ in 0..2 {
        let hold = Arc::clone(&hold);
        pool.execute(Some("held"), move || drop(hold.lock())).unwrap();
    }
    eventually("one runs and one waits", || pool.metrics().is_saturated());
    let busy = runtime.metrics();
    assert_eq!((busy.offloaded.running, busy.offloaded.queued), (1, 1));
    assert!(busy.to_string().contains("1 queued"), "{busy}");
    drop(held);
    eventually("both are over", || runtime.metrics().offloaded.completed == 2);
    runtime.shutdown(SOON).unwrap();
}

//! A third backend, written against the contract alone: one thread, one queue, a clock that only moves when
//! there is nothing else to do. It proves that core knows no backend, and it is small enough for Miri:
//! `cargo +nightly miri test -p twoply-core --test third_backend`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use twoply_core::backend::{Backend, Driver, Job, Mode, SpawnError, Strand, StrandState, Unpark};
use twoply_core::parker::Parker;
use twoply_core::promise::Failure;
use twoply_core::reactor::{Interest, IoSource};
use twoply_core::task::{Builder, TaskGroup, TaskList, scope};
use twoply_core::timers::Timers;
use twoply_core::world::Numbers;
use twoply_core::{Wait, actor, channel, coop, strand, task, time};

/// Jobs that can go on, and nothing else that is shared.
struct Toy {
    tasks: Arc<TaskList>,
    queue: Mutex<VecDeque<Job>>,
}

impl Backend for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn mode(&self) -> Mode {
        Mode::Polling
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.tasks
    }

    fn start(&self, job: Job) -> Result<(), SpawnError> {
        self.resume(job, false);
        Ok(())
    }

    fn resume(&self, job: Job, _yielded: bool) {
        self.queue.lock().unwrap().push_back(job);
    }
}

/// The one thread's stack. Where it must wait it runs other tasks on top of itself.
struct ToyStrand {
    state: StrandState,
    backend: Arc<Toy>,
    timers: Arc<Timers>,
    now: Cell<Instant>,
    /// How many operations each poll may complete.
    budget: Cell<u32>,
}

/// The one thread looks at the parker by itself.
struct Nothing;

impl Unpark for Nothing {
    fn unpark(&self) {}
}

impl ToyStrand {
    fn new() -> ToyStrand {
        let backend = Arc::new(Toy { tasks: TaskList::new(), queue: Mutex::default() });
        let state = StrandState::new(Parker::new(Nothing));
        let (timers, now) = (Timers::new(|| ()), Cell::new(Instant::now()));
        ToyStrand { state, backend, timers, now, budget: Cell::new(coop::BUDGET) }
    }

    /// Runs `f` as the toy's main code.
    fn run<R>(f: impl FnOnce(&ToyStrand) -> R) -> R {
        let strand = ToyStrand::new();
        let result = strand::enter(&strand, || f(&strand));
        strand.backend.queue.lock().unwrap().clear();
        result
    }

    /// Runs one job, or moves the clock to the next deadline. False when there is neither.
    fn step(&self) -> bool {
        let job = self.backend.queue.lock().unwrap().pop_front();
        if let Some(job) = job {
            // A job's waits are another stack's business: here, of one on top of this.
            let stack = ToyStrand {
                state: StrandState::new(Parker::new(Nothing)),
                backend: Arc::clone(&self.backend),
                timers: Arc::clone(&self.timers),
                now: Cell::new(self.now.get()),
                budget: self.budget.clone(),
            };
            coop::set_budget(&stack.state, self.budget.get());
            strand::enter(&stack, || job.run());
            self.now.set(stack.now.get());
            return true;
        }
        let Some(deadline) = self.timers.next() else { return false };
        self.now.set(self.now.get().max(deadline));
        self.timers.fire(self.now.get());
        true
    }
}

impl Strand for ToyStrand {
    fn state(&self) -> &StrandState {
        &self.state
    }

    fn park(&self) {
        while self.state.parker().is_parked() {
            assert!(self.step(), "everything waits for ever");
        }
    }

    fn yield_now(&self) {
        self.step();
    }

    fn driver(&self) -> &dyn Driver {
        self
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        Some(Arc::clone(&self.backend) as _)
    }
}

impl Driver for ToyStrand {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn watch(&self, _: &Arc<IoSource>, _: Interest, _: &Waker) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn timers(&self, _: &Waker) -> io::Result<Arc<Timers>> {
        Ok(Arc::clone(&self.timers))
    }
}

fn spawn<T: Send + 'static>(f: impl Future<Output = T> + Send + 'static) -> task::Task<T> {
    Builder::new().spawn(f).unwrap()
}

fn spawn_fn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> task::Task<T> {
    Builder::new().spawn_fn(f).unwrap()
}

#[test]
fn tasks_wait_for_each_other() {
    ToyStrand::run(|_| {
        let (tx, rx) = channel::bounded(1);
        let sender = spawn(async move {
            for n in 0..10 {
                tx.send(n).await.unwrap();
            }
        });
        let sum = spawn_fn(move || rx.iter().sum::<i32>());
        assert_eq!(sum.wait().unwrap(), 45);
        sender.wait().unwrap();
    });
}

/// Two tasks that could each go on for ever take turns of as many messages as the backend says.
#[test]
fn it_sets_the_budget_of_each_poll() {
    for budget in [1, 3] {
        ToyStrand::run(|strand| {
            strand.budget.set(budget);
            let taken = Arc::new(Mutex::new(Vec::new()));
            let tasks = [0, 1].map(|own| {
                let (taken, (tx, rx)) = (Arc::clone(&taken), channel::unbounded());
                (0..12).for_each(|n| tx.try_send(n).unwrap());
                drop(tx);
                spawn(async move {
                    while rx.recv().await.is_ok() {
                        taken.lock().unwrap().push(own);
                    }
                })
            });
            for task in tasks {
                task.wait().unwrap();
            }
            let taken = taken.lock().unwrap();
            let turns: Vec<_> = taken.chunk_by(|one, other| one == other).map(<[i32]>::len).collect();
            assert!(turns.iter().all(|turn| *turn == budget as usize), "{turns:?}");
            // What is decided by what is not ready is decided as ever.
            let (tx, rx) = channel::unbounded();
            (0..12).for_each(|n| tx.try_send(n).unwrap());
            let all = async move {
                for _ in 0..12 {
                    rx.recv().await.unwrap();
                }
            };
            assert!(spawn(time::timeout(Duration::ZERO, all)).wait().unwrap().is_ok());
        });
    }
}

#[test]
fn its_clock_is_the_clock() {
    let began = Instant::now();
    ToyStrand::run(|strand| {
        let start = strand.now();
        let slept = spawn(time::sleep(Duration::from_secs(3600)));
        slept.wait().unwrap();
        assert_eq!(strand.now() - start, Duration::from_secs(3600));
        let late = spawn(time::timeout(Duration::from_secs(60), std::future::pending::<()>()));
        assert!(late.wait().unwrap().is_err());
    });
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_world_has_the_same_numbers_in_each_run() {
    let run = || {
        let program = |_: &ToyStrand| {
            let tasks = [spawn(async {}), spawn(async {})].map(|task| task.id());
            let process = actor::spawn(async |mut me: actor::Process<actor::Pid>| {
                let other = me.receive().await.message().unwrap();
                let monitor = me.monitor(&other);
                other.exit(actor::ExitReason::Shutdown);
                let down = me.receive().await;
                assert!(matches!(&down, actor::Event::Down(down) if down.monitor == monitor), "{down:?}");
                actor::ExitReason::other(format!("{down:?}"))
            })
            .unwrap();
            let other = actor::spawn(async |mut me: actor::Process<()>| drop(me.receive().await)).unwrap();
            process.try_send(other.pid()).unwrap();
            (tasks, process.pid(), process.ended().wait().to_string())
        };
        Numbers::claim(3).unwrap().with(|| ToyStrand::run(program))
    };
    let first = run();
    // Others in the program take numbers meanwhile, and the second run is on another thread.
    spawn_elsewhere();
    assert_eq!(std::thread::spawn(run).join().unwrap(), first);
}

/// Starts tasks outside of any world.
fn spawn_elsewhere() {
    ToyStrand::run(|_| (0..3).for_each(|_| drop(spawn(async {}))));
}

#[test]
fn panics_are_reported_by_the_handle() {
    ToyStrand::run(|_| {
        let error = spawn(async { panic!("no {}", "luck") }).wait().unwrap_err();
        let Failure::Panicked(panic) = error else { panic!("{error}") };
        assert_eq!(panic.message(), Some("no luck"));
    });
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn cancelling_drops_what_the_task_holds_at_every_stage() {
    let drops = Arc::new(AtomicUsize::new(0));
    let held = || Counted(Arc::clone(&drops));
    ToyStrand::run(|strand| {
        // Before its first poll.
        let (a, guard) = (held(), strand.backend.tasks.len());
        assert_eq!(guard, 0);
        let unstarted = spawn(async move { drop(a) });
        unstarted.cancel();
        assert!(unstarted.wait().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        // Suspended.
        let b = held();
        let suspended = spawn(async move {
            let _b = b;
            std::future::pending::<()>().await;
        });
        strand.step();
        suspended.cancel();
        assert!(suspended.wait().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::Relaxed), 2);
        // By itself, in a wait of straight-line code.
        let c = held();
        let blocked = spawn_fn(move || {
            let _c = c;
            task::current().unwrap().cancel();
            std::future::pending::<()>().wait();
        });
        assert!(blocked.wait().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::Relaxed), 3);
        // After its end.
        let done = spawn(async { 1 });
        strand.step();
        done.cancel();
        assert_eq!(done.wait().unwrap(), 1);
        assert!(strand.backend.tasks.is_empty());
    });
}

#[test]
fn what_has_not_begun_when_the_registry_closes_does_not_begin() {
    ToyStrand::run(|strand| {
        let (queued, code) = (spawn(async { 1 }), spawn_fn(|| 2));
        strand.backend.tasks.close();
        assert!(queued.wait().unwrap_err().is_cancelled());
        assert!(code.wait().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_dropped_job_is_a_cancelled_task() {
    ToyStrand::run(|strand| {
        let drops = Arc::new(AtomicUsize::new(0));
        let held = Counted(Arc::clone(&drops));
        let task = spawn(async move { drop(held) });
        let job = strand.backend.queue.lock().unwrap().pop_front();
        drop(job);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        assert!(task.wait().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_scope_lends_and_joins_also_when_it_panics() {
    ToyStrand::run(|_| {
        let mut numbers = vec![3, 1, 2];
        let text = String::from("borrowed");
        let length = scope(|s| {
            s.spawn_fn(|| numbers.sort_unstable()).unwrap().wait().unwrap();
            s.spawn(async { text.len() }).unwrap().wait().unwrap()
        });
        assert_eq!((numbers.as_slice(), length), ([1, 2, 3].as_slice(), 8));
        let joined = AtomicUsize::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                let _task = s.spawn(async {
                    time::sleep(Duration::from_secs(1)).await;
                    joined.fetch_add(1, Ordering::Relaxed);
                });
                panic!("out of the scope");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(joined.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_group_yields_results_as_tasks_finish() {
    ToyStrand::run(|_| {
        let mut group = TaskGroup::new();
        for secs in [3, 1, 2] {
            group
                .spawn(async move {
                    time::sleep(Duration::from_secs(secs)).await;
                    secs
                })
                .unwrap();
        }
        let mut order = Vec::new();
        while let Some(result) = group.join_next().wait() {
            order.push(result.unwrap());
        }
        assert_eq!(order, [1, 2, 3]);
    });
}

#[test]
fn a_nested_wait_leaves_the_outer_wake_up_alone() {
    ToyStrand::run(|_| {
        let (outer_tx, outer_rx) = channel::bounded(1);
        let (inner_tx, inner_rx) = channel::bounded(1);
        spawn(async move {
            // While the inner wait is on, the outer one's message comes first.
            outer_tx.send(1).await.unwrap();
            inner_tx.send(2).await.unwrap();
        })
        .detach();
        let polls = Cell::new(0);
        let mut outer = std::pin::pin!(outer_rx.recv());
        let got = std::future::poll_fn(|cx| {
            polls.set(polls.get() + 1);
            if polls.get() == 1 {
                assert!(outer.as_mut().poll(cx).is_pending());
                assert_eq!(inner_rx.recv().wait(), Ok(2));
                return std::task::Poll::Pending;
            }
            outer.as_mut().poll(cx)
        })
        .wait();
        assert_eq!((got, polls.get()), (Ok(1), 2));
    });
}

/// A backend of threads, one for each task.
struct Threads(Arc<TaskList>);

impl Backend for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn mode(&self) -> Mode {
        Mode::Blocking
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.0
    }

    fn start(&self, job: Job) -> Result<(), SpawnError> {
        std::thread::spawn(move || job.run());
        Ok(())
    }

    fn resume(&self, _: Job, _: bool) {}
}

/// A strand that cannot do its work.
struct Broken(ToyStrand);

impl Strand for Broken {
    fn state(&self) -> &StrandState {
        &self.0.state
    }

    fn park(&self) {
        // Without the hook, which may take longer than the task.
        resume_unwind(Box::new("this strand is broken"));
    }

    fn driver(&self) -> &dyn Driver {
        &self.0
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }
}

#[test]
fn a_scope_joins_even_on_a_strand_that_panics() {
    let threads: Arc<dyn Backend> = Arc::new(Threads(TaskList::new()));
    let broken = Broken(ToyStrand::new());
    let joined = AtomicUsize::new(0);
    let code = || {
        scope(|s| {
            let _task = s.spawn_fn_on(&threads, || {
                std::thread::sleep(Duration::from_millis(50));
                joined.fetch_add(1, Ordering::Relaxed);
            });
        });
    };
    assert!(catch_unwind(AssertUnwindSafe(|| strand::enter(&broken, code))).is_err());
    assert_eq!(joined.load(Ordering::Relaxed), 1);
}

/// A backend that starts nothing.
struct Refusing(Arc<TaskList>);

impl Backend for Refusing {
    fn name(&self) -> &'static str {
        "refusing"
    }

    fn mode(&self) -> Mode {
        Mode::Polling
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.0
    }

    fn start(&self, _: Job) -> Result<(), SpawnError> {
        Err(SpawnError::ShutDown)
    }

    fn resume(&self, _: Job, _: bool) {}
}

#[test]
fn a_job_dropped_inside_a_task_takes_the_stack_from_nobody() {
    ToyStrand::run(|strand| {
        let next = || strand.backend.queue.lock().unwrap().pop_front().unwrap();
        let first = spawn(async {
            time::sleep(Duration::from_secs(1)).wait();
            let refusing: Arc<dyn Backend> = Arc::new(Refusing(TaskList::new()));
            assert!(Builder::new().spawn_on(&refusing, async {}).is_err());
            std::future::pending::<()>().await;
        });
        // Both tasks are polled on one stack, one after the other.
        next().run();
        first.cancel();
        let cancelled = next();
        let second = spawn(async { time::sleep(Duration::from_secs(1)).wait() });
        next().run();
        second.wait().unwrap();
        cancelled.run();
        assert!(first.wait().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_job_dropped_inside_a_task_leaves_it_to_be_cancelled() {
    ToyStrand::run(|_| {
        let task = spawn(async {
            time::sleep(Duration::from_secs(1)).wait();
            let refusing: Arc<dyn Backend> = Arc::new(Refusing(TaskList::new()));
            assert!(Builder::new().spawn_on(&refusing, async {}).is_err());
            task::current().unwrap().cancel();
            std::future::pending::<()>().wait();
        });
        assert!(task.wait().unwrap_err().is_cancelled());
    });
}

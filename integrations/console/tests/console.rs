//! tokio-console's subscriber hears of our tasks, and whoever asks its server, as the console does, is shown
//! them: names, places, polls, wakes, waits and ends; and what they wait for, as resources.
#![allow(unexpected_cfgs, reason = "the flag is one of the subscriber's")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use console_api::async_ops::{AsyncOp, Stats as OpStats};
use console_api::field::Value;
use console_api::instrument::instrument_client::InstrumentClient;
use console_api::instrument::{InstrumentRequest, Update};
use console_api::resources::resource::kind;
use console_api::resources::{Resource, Stats as ResourceStats};
use console_api::tasks::{Stats, Task};
use console_subscriber::ConsoleLayer;
use tonic::Streaming;
use tonic::transport::Endpoint;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use twoply::runtime::Hooks;
use twoply::sync::{Mutex, Semaphore};
use twoply::tokio::compat;
use twoply::{Wait, channel, future, task, time};
use twoply_tests::{Kind, facade};

/// The time within which all has to be shown.
const SOON: Duration = Duration::from_secs(60);

/// One who asks the server, as the console does.
struct Console {
    updates: Streaming<Update>,
    /// The tasks that were shown, by the numbers of their spans.
    tasks: BTreeMap<u64, Task>,
    /// What was last told of each.
    stats: BTreeMap<u64, Stats>,
    /// The same of resources, and of the operations on them.
    resources: BTreeMap<u64, Resource>,
    resource_stats: BTreeMap<u64, ResourceStats>,
    ops: BTreeMap<u64, AsyncOp>,
    op_stats: BTreeMap<u64, OpStats>,
}

impl Console {
    async fn connect(port: u16) -> Console {
        let server = Endpoint::try_from(format!("http://127.0.0.1:{port}")).unwrap();
        let channel = loop {
            match server.connect().await {
                Ok(channel) => break channel,
                // The server is still about to listen.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let mut client = InstrumentClient::new(channel);
        let updates = client.watch_updates(InstrumentRequest {}).await.unwrap().into_inner();
        Console {
            updates,
            tasks: BTreeMap::new(),
            stats: BTreeMap::new(),
            resources: BTreeMap::new(),
            resource_stats: BTreeMap::new(),
            ops: BTreeMap::new(),
            op_stats: BTreeMap::new(),
        }
    }

    /// Waits for what is told next.
    async fn update(&mut self) {
        let update = self.updates.message().await.unwrap().expect("the server stays");
        let tasks = update.task_update.unwrap_or_default();
        self.tasks.extend(tasks.new_tasks.into_iter().filter_map(|task| Some((task.id?.id, task))));
        self.stats.extend(tasks.stats_update);
        let resources = update.resource_update.unwrap_or_default();
        let new = resources.new_resources.into_iter();
        self.resources.extend(new.filter_map(|resource| Some((resource.id?.id, resource))));
        self.resource_stats.extend(resources.stats_update);
        let ops = update.async_op_update.unwrap_or_default();
        self.ops.extend(ops.new_async_ops.into_iter().filter_map(|op| Some((op.id?.id, op))));
        self.op_stats.extend(ops.stats_update);
    }

    /// Follows the updates until the task of this name is what `is_as_expected` says.
    async fn until(&mut self, name: &str, is_as_expected: impl Fn(&Task, &Stats) -> bool) {
        let shown = async {
            while !self.find(name).is_some_and(|(task, stats)| is_as_expected(task, stats)) {
                self.update().await;
            }
        };
        let shown = tokio::time::timeout(SOON, shown).await;
        assert!(shown.is_ok(), "{name} is shown as {:?}", self.find(name));
    }

    /// Follows the updates until the task of this name is shown in this wait, and returns its resource and
    /// the number of the wait.
    async fn until_waits(&mut self, name: &str, concrete_type: &str, op: &str) -> (Resource, u64) {
        let shown = async {
            loop {
                if let Some(found) = self.find_wait(name, concrete_type, op) {
                    return found;
                }
                self.update().await;
            }
        };
        let shown = tokio::time::timeout(SOON, shown).await;
        shown.unwrap_or_else(|_| panic!("{name} is not shown in {op} of {concrete_type}: {:?}", self.ops))
    }

    fn find_wait(&self, name: &str, concrete_type: &str, op: &str) -> Option<(Resource, u64)> {
        let task = self.find(name)?.0.id?;
        self.ops.iter().find_map(|(&id, shown)| {
            let stats = self.op_stats.get(&id)?;
            let resource = self.resources.get(&shown.resource_id?.id)?;
            let is_it = shown.source == op
                && resource.concrete_type == concrete_type
                && stats.task_id.is_some_and(|of| of.id == task.id)
                && stats.dropped_at.is_none();
            is_it.then(|| (resource.clone(), id))
        })
    }

    /// Follows the updates until this wait, and this resource, are over.
    async fn until_over(&mut self, op: u64, resource: &Resource) {
        let resource = resource.id.unwrap().id;
        let shown = async {
            while self.op_stats[&op].dropped_at.is_none()
                || self.resource_stats.get(&resource).is_none_or(|stats| stats.dropped_at.is_none())
            {
                self.update().await;
            }
        };
        assert!(tokio::time::timeout(SOON, shown).await.is_ok(), "resource {resource} stays");
    }

    fn find(&self, name: &str) -> Option<(&Task, &Stats)> {
        let is_named = |task: &&Task| {
            task.fields.iter().any(|field| field.value == Some(Value::StrVal(name.to_owned())))
        };
        let task = self.tasks.values().find(is_named)?;
        Some((task, self.stats.get(&task.id?.id)?))
    }
}

#[test]
fn the_console_shows_tasks_and_what_they_wait_for() {
    if !cfg!(console_without_tokio_unstable) {
        return twoply_tests::skip("the flag of the console's subscriber is not set");
    }
    let port = twoply_integrations::free_port().unwrap();
    let console = ConsoleLayer::builder()
        .server_addr(([127, 0, 0, 1], port))
        .publish_interval(Duration::from_millis(20));
    let (layer, server) = console.build();
    tracing_subscriber::registry().with(layer).init();
    let serving = twoply::tokio::handle().unwrap().spawn(server.serve());
    let mut console =
        compat(async { tokio::time::timeout(SOON, Console::connect(port)).await.unwrap() }).wait();
    for kind in [Kind::Native, Kind::Green1, Kind::Green2, Kind::Fibers1, Kind::Fibers2] {
        compat(shows_tasks_of(&mut console, kind)).wait();
        for is_stack in [false, true] {
            compat(shows_resources_of(&mut console, kind, is_stack)).wait();
        }
    }
    serving.abort();
}

async fn shows_tasks_of(console: &mut Console, kind: Kind) {
    let name = format!("{kind:?} task");
    let runtime = facade!(kind).hooks(twoply::tracing::console(Hooks::new())).build().unwrap();
    let (release, released) = channel::bounded(1);
    let builder = task::Builder::new().name(name.clone());
    let task = builder.spawn_on(runtime.spawner().backend(), async move {
        for _ in 0..3 {
            time::sleep(Duration::from_millis(1)).await;
        }
        released.recv().wait().unwrap();
    });
    let task = task.unwrap();
    // A native task is one poll, and its stack is woken by no waker that anybody else could see.
    let (polls, wakes) = if kind.is_green() { (4, 3) } else { (1, 0) };
    console
        .until(&name, |task, stats| {
            let Some(polled) = &stats.poll_stats else { return false };
            let place = task.location.as_ref().and_then(|place| place.file.as_deref());
            assert!(place.is_some_and(|file| file.ends_with("console.rs")), "{task:?}");
            let at = |time: Option<_>| time.map(|time: prost_types::Timestamp| (time.seconds, time.nanos));
            // The stack that blocks is a poll that goes on, but for one that is suspended.
            let goes_on = at(polled.last_poll_started) > at(polled.last_poll_ended);
            polled.polls >= polls && stats.wakes >= wakes && goes_on != kind.is_fibers()
        })
        .await;
    release.send(()).await.unwrap();
    task.await.unwrap();
    console.until(&name, |_, stats| stats.dropped_at.is_some()).await;
    runtime.shutdown(SOON).unwrap();
}

async fn shows_resources_of(console: &mut Console, kind: Kind, is_stack: bool) {
    let name = format!("{kind:?} waiter, {is_stack}");
    let runtime = facade!(kind).hooks(twoply::tracing::console(Hooks::new())).build().unwrap();
    let (tell, told) = channel::bounded::<()>(1);
    let (lock, semaphore) = (Arc::new(Mutex::new(())), Arc::new(Semaphore::new(0)));
    let (left, leave) = channel::oneshot::<()>();
    let held = lock.lock().await;
    let waits = {
        let (lock, semaphore) = (Arc::clone(&lock), Arc::clone(&semaphore));
        async move {
            told.recv().await.unwrap();
            drop(lock.lock().await);
            semaphore.acquire().await.unwrap().forget();
            let left = async { leave.await.unwrap() };
            future::race((time::sleep(SOON), left)).await;
        }
    };
    let builder = task::Builder::new().name(name.clone());
    let task = match is_stack {
        false => builder.spawn_on(runtime.spawner().backend(), waits),
        true => builder.spawn_on(runtime.spawner().backend(), async move { waits.wait() }),
    };
    let task = task.unwrap();
    let (channel, receives) = console.until_waits(&name, "Channel", "recv").await;
    tell.send(()).await.unwrap();
    let (mutex, locks) = console.until_waits(&name, "Lock", "acquire").await;
    console.until_over(receives, &channel).await;
    drop(held);
    console.until_over(locks, &mutex).await;
    let (permits, acquires) = console.until_waits(&name, "Lock", "acquire").await;
    assert_ne!(permits.id, mutex.id);
    semaphore.add_permits(1);
    let (timer, sleeps) = console.until_waits(&name, "Sleep", "elapsed").await;
    let kind = timer.kind.clone().and_then(|kind| kind.kind);
    assert_eq!(kind, Some(kind::Kind::Known(kind::Known::Timer.into())));
    console.until_over(acquires, &permits).await;
    left.send(()).unwrap();
    task.await.unwrap();
    console.until_over(sleeps, &timer).await;
    runtime.shutdown(SOON).unwrap();
}

//! tokio-console's subscriber hears of our tasks, and whoever asks its server, as the console does, is shown
//! them: names, places, polls, wakes, waits and ends.
#![allow(unexpected_cfgs, reason = "the flag is one of the subscriber's")]

use std::collections::BTreeMap;
use std::time::Duration;

use console_api::field::Value;
use console_api::instrument::instrument_client::InstrumentClient;
use console_api::instrument::{InstrumentRequest, Update};
use console_api::tasks::{Stats, Task};
use console_subscriber::ConsoleLayer;
use tonic::Streaming;
use tonic::transport::Endpoint;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use twoply::runtime::Hooks;
use twoply::tokio::compat;
use twoply::{Wait, channel, task, time};
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
        Console { updates, tasks: BTreeMap::new(), stats: BTreeMap::new() }
    }

    /// Follows the updates until the task of this name is what `is_as_expected` says.
    async fn until(&mut self, name: &str, is_as_expected: impl Fn(&Task, &Stats) -> bool) {
        let shown = async {
            while !self.find(name).is_some_and(|(task, stats)| is_as_expected(task, stats)) {
                let update = self.updates.message().await.unwrap().expect("the server stays");
                let update = update.task_update.unwrap_or_default();
                let tasks = update.new_tasks.into_iter();
                self.tasks.extend(tasks.filter_map(|task| Some((task.id?.id, task))));
                self.stats.extend(update.stats_update);
            }
        };
        let shown = tokio::time::timeout(SOON, shown).await;
        assert!(shown.is_ok(), "{name} is shown as {:?}", self.find(name));
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
fn the_console_shows_tasks() {
    if !cfg!(console_without_tokio_unstable) {
        eprintln!(
            "SKIPPED: the flag of the console's subscriber is not set, so nothing of it has been tested"
        );
        return;
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

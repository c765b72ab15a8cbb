//! What is plain data, in the hands of serde, metrics, clap, anyhow and eyre.

use std::collections::BTreeSet;

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::Serialize;
use serde_json::{Value, from_str, json, to_string, to_value};
use twoply::actor::{self, ExitReason, Foreign, Process};
use twoply::task::TaskId;
use twoply::{Backend, Runtime, Wait, channel};
use twoply_tests::{Systems, facade, laws};

laws! {
    everywhere {
        metrics_are_exported,
        metrics_are_written,
        each_field_of_the_metrics_has_a_line,
        numbers_of_tasks_are_read_again,
        ends_of_processes_are_written,
        errors_are_those_of_anyhow_and_eyre,
    }
}

fn runtime(on: &Systems) -> Runtime {
    facade!(on.kind()).build().unwrap()
}

fn metrics_are_exported(on: &Systems) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = facade!(on.kind()).time_polls().time_tasks().build().unwrap();
    let idle = runtime.spawn(std::future::pending::<()>());
    runtime.spawn(async {}).wait().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.record_metrics("main"));
    let text = recorder.handle().render();
    assert!(text.contains("# TYPE twoply_tasks gauge\ntwoply_tasks{runtime=\"main\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE twoply_offloaded_completed_total counter\n"), "{text}");
    for (kind, begun) in [("future", 1), ("closure", 0), ("process", 0)] {
        let labels = format!("{{runtime=\"main\",kind=\"{kind}\",le=\"+Inf\"}}");
        let key = format!("twoply_task_start_delay_seconds_bucket{labels} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&key)?.parse::<u64>().ok());
        assert!(count >= Some(begun), "{text}");
    }
    let mut timed = 0;
    for worker in 0..on.kind().workers() {
        let polls = format!("twoply_worker_polls_total{{runtime=\"main\",worker=\"{worker}\"}} ");
        assert!(text.contains(&polls), "{text}");
        // All of its polls took less than for ever.
        let value = |key: String| text.lines().find_map(|line| line.strip_prefix(&key)?.parse::<u64>().ok());
        let labels = format!("{{runtime=\"main\",worker=\"{worker}\"");
        for times in ["poll", "wake_delay"] {
            let key = format!("twoply_worker_{times}_seconds_bucket{labels},le=\"+Inf\"}} ");
            timed += value(key).unwrap_or_else(|| panic!("{text}"));
        }
        assert!(value(format!("twoply_worker_busy_nanoseconds_total{labels}}} ")).is_some(), "{text}");
    }
    assert_eq!(timed > 0, on.kind().workers() > 0, "{text}");
    drop(idle);
}

fn metrics_are_written(on: &Systems) {
    let runtime = runtime(on);
    let idle = runtime.spawn(std::future::pending::<()>());
    let written = to_value(runtime.metrics()).unwrap();
    assert_eq!((&written["tasks"], &written["offloaded"]["queued"]), (&json!(1), &json!(0)));
    let Some(green) = runtime.as_green() else { return };
    let written = to_value(green.metrics()).unwrap();
    assert_eq!(written["workers"].as_array().map(Vec::len), Some(on.kind().workers()));
    drop(idle);
}

/// Each field of `Runtime::metrics` as serde writes it, and the line that has it.
const LINES: &[(&str, &str)] = &[
    ("tasks", "tasks"),
    ("kinds/futures", "tasks_futures"),
    ("kinds/closures", "tasks_closures"),
    ("kinds/processes", "tasks_processes"),
    ("kinds/unlisted", "tasks_unlisted"),
    ("threads", "threads"),
    ("idle_threads", "threads_idle"),
    ("offloaded/running", "offloaded_running"),
    ("offloaded/queued", "offloaded_queued"),
    ("offloaded/most_running", "offloaded_most_running"),
    ("offloaded/most_queued", "offloaded_most_queued"),
    ("offloaded/completed", "offloaded_completed_total"),
    ("offloaded/refused", "offloaded_refused_total"),
    ("io/threads", "io_threads"),
    ("io/tasks", "io_tasks"),
    ("io/reactors/waits", "io_waits_total"),
    ("io/reactors/notifies", "io_notifies_total"),
    ("io/reactors/saved_notifies", "io_saved_notifies_total"),
    ("io/reactors/registered", "io_registered"),
    ("io/reactors/file_operations", "io_file_operations_total"),
    ("io/reactors/file_operations_under_way", "io_file_operations_under_way"),
];

/// The field that there is where there are workers; its line has it as a label.
const ENGINE: (&str, &str) = ("file_engine", "file_engine");

/// What green runtimes have beside that.
const GREEN_LINES: &[(&str, &str)] = &[
    ("injected", "injected"),
    ("stacks", "stacks"),
    ("blocked_fibers", "blocked_fibers"),
    ("leaked_stacks", "leaked_stacks"),
    ("long_polls", "long_polls_total"),
    ("refusals", "refusals_total"),
    ("stuck", "stuck"),
];

/// What a worker has. The three queues are one line.
const WORKER_LINES: &[(&str, &str)] = &[
    ("queued", "worker_queued"),
    ("assigned", "worker_queued"),
    ("woken_fibers", "worker_queued"),
    ("polls", "worker_polls_total"),
    ("steals", "worker_steals_total"),
    ("sleeps", "worker_parks_total"),
    ("handovers", "worker_handovers_total"),
    ("rescues", "worker_rescues_total"),
    ("times/busy", "worker_busy_nanoseconds_total"),
    ("times/polls", "worker_poll_seconds_bucket"),
    ("times/wake_delays", "worker_wake_delay_seconds_bucket"),
    ("reactor/waits", "worker_waits_total"),
    ("reactor/notifies", "worker_notifies_total"),
    ("reactor/saved_notifies", "worker_saved_notifies_total"),
    ("reactor/registered", "worker_registered"),
    ("reactor/file_operations", "worker_file_operations_total"),
    ("reactor/file_operations_under_way", "worker_file_operations_under_way"),
];

/// Returns the paths of all that is no object, such as that of the futures among the kinds.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object().filter(|fields| !fields.contains_key("secs")) {
        Some(fields) => fields.iter().for_each(|(name, value)| {
            let separator = if path.is_empty() { "" } else { "/" };
            paths(value, &format!("{path}{separator}{name}"), found);
        }),
        None => found.push(path.to_owned()),
    }
}

/// Checks that `lines` names each field of `metrics` but those of `elsewhere`, and that the text has the line
/// of each.
fn check_lines(
    metrics: impl Serialize,
    elsewhere: &[(&str, &str)],
    lines: &[(&str, &str)],
    labels: &str,
    text: &str,
) {
    let mut fields = Vec::new();
    paths(&to_value(metrics).unwrap(), "", &mut fields);
    let fields: BTreeSet<_> = fields.iter().map(String::as_str).collect();
    let elsewhere: BTreeSet<_> = elsewhere.iter().map(|(path, _)| *path).collect();
    let named: BTreeSet<_> = lines.iter().map(|(path, _)| *path).collect();
    assert_eq!(fields.difference(&elsewhere).copied().collect::<BTreeSet<_>>(), named);
    for (_, line) in lines {
        let line = format!("\ntwoply_{line}{{{labels}");
        assert!(text.contains(&line), "{line} is in {text}");
    }
}

fn each_field_of_the_metrics_has_a_line(on: &Systems) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = facade!(on.kind()).time_polls().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.record_metrics("main"));
    let text = recorder.handle().render();
    check_lines(runtime.metrics(), &[ENGINE], LINES, "runtime=\"main\"}", &text);
    let Some(green) = runtime.as_green() else { return };
    check_lines(runtime.metrics(), LINES, &[ENGINE], "runtime=\"main\",engine=\"auto\"}", &text);
    let (metrics, mut elsewhere) = (green.metrics(), vec![ENGINE, ("workers", "")]);
    elsewhere.extend(LINES);
    check_lines(&metrics, &elsewhere, GREEN_LINES, "runtime=\"main\"}", &text);
    for (index, worker) in metrics.workers.iter().enumerate() {
        let labels = format!("runtime=\"main\",worker=\"{index}\"");
        check_lines(worker, &[], WORKER_LINES, &labels, &text);
    }
}

fn numbers_of_tasks_are_read_again(on: &Systems) {
    let id = on.here().spawn(async { 1 }).id();
    let text = to_string(&id).unwrap();
    assert_eq!(text, id.as_u64().to_string());
    assert_eq!(from_str::<TaskId>(&text).unwrap(), id);
    assert!(from_str::<TaskId>("0").is_err(), "no task has that number");
    assert!(from_str::<TaskId>("-1").is_err());
}

fn ends_of_processes_are_written(on: &Systems) {
    let builder = actor::Builder::new().on(on.here().backend());
    let process = builder.spawn(async |_: Process<u32>| Err::<(), _>("no such account")).unwrap();
    let reason = process.ended().wait();
    assert_eq!(to_string(&reason).unwrap(), r#"{"failed":"no such account"}"#);
    assert_eq!(from_str::<ExitReason>(r#"{"failed":"no such account"}"#).unwrap(), reason);
    assert_eq!(to_value(process.pid()).unwrap(), json!(process.pid().to_string()));
}

fn errors_are_those_of_anyhow_and_eyre(on: &Systems) {
    fn with_anyhow(task: twoply::Task<u32>) -> anyhow::Result<u32> {
        let (tx, _) = channel::bounded::<u32>(1);
        let number = task.wait()?;
        tx.send(number).wait()?;
        Ok("no backend".parse::<Backend>().map(|_| number)?)
    }
    fn with_eyre(task: twoply::Task<u32>) -> eyre::Result<u32> {
        Ok(task.wait()?)
    }
    let panics = || on.here().spawn_fn(|| -> u32 { panic!("expected: no luck") });
    let failure = with_anyhow(panics()).unwrap_err();
    assert!(failure.to_string().contains("no luck"), "{failure}");
    assert!(failure.downcast_ref::<twoply::Failure>().is_some());
    assert!(with_eyre(panics()).unwrap_err().to_string().contains("no luck"));
    let closed = with_anyhow(on.here().spawn(async { 1 })).unwrap_err();
    assert!(closed.downcast_ref::<channel::SendError<u32>>().is_some_and(|error| error.0 == 1), "{closed:?}");
}

#[test]
fn every_kind_of_reason_is_read_as_it_was_written() {
    let kinds = [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::shutdown_with("later".to_owned()),
        ExitReason::Kill,
        ExitReason::Killed,
        ExitReason::NoProcess,
        ExitReason::NoConnection,
        ExitReason::Panicked("no luck".into()),
        ExitReason::failed("no account"),
        ExitReason::other("enough"),
    ];
    for reason in kinds {
        let text = to_string(&reason).unwrap();
        assert_eq!(from_str::<ExitReason>(&text).unwrap(), reason, "{text}");
    }
    let foreign = ExitReason::Foreign(Foreign::new("{badarg}", false));
    assert_eq!(to_value(foreign).unwrap(), json!({ "other": "{badarg}" }));
    assert!(from_str::<ExitReason>("\"boredom\"").is_err());
}

#[test]
fn backends_are_entries_and_arguments() {
    #[derive(Parser)]
    struct Arguments {
        #[arg(long, default_value_t)]
        backend: Backend,
    }
    for backend in Backend::ALL {
        let text = to_string(backend).unwrap();
        assert_eq!(text, format!("\"{}\"", backend.name()));
        assert_eq!(from_str::<Backend>(&text).unwrap(), *backend);
        assert_eq!(serde_json::from_value::<Backend>(Value::from(backend.name())).unwrap(), *backend);
        let arguments = ["program", "--backend", backend.name()];
        assert_eq!(Arguments::parse_from(arguments).backend, *backend);
    }
    assert_eq!(Arguments::parse_from(["program"]).backend, Backend::default());
    let refused = Arguments::try_parse_from(["program", "--backend", "grin"]).err().unwrap().to_string();
    assert!(refused.contains("there is no backend `grin`, only `green`"), "{refused}");
    assert!(from_str::<Backend>("\"grin\"").unwrap_err().to_string().contains("`native`"));
}

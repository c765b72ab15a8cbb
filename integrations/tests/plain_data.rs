//! What is plain data, in the hands of serde, metrics, clap, anyhow and eyre.

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, from_str, json, to_string, to_value};
use twoply::actor::{self, ExitReason, Foreign, Process};
use twoply::{Backend, Runtime, Wait, channel};
use twoply_tests::{Systems, facade, laws};

laws! {
    everywhere {
        metrics_are_exported,
        metrics_are_written,
        ends_of_processes_are_written,
        errors_are_those_of_anyhow_and_eyre,
    }
}

fn runtime(on: &Systems) -> Runtime {
    facade!(on.kind()).build().unwrap()
}

fn metrics_are_exported(on: &Systems) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = facade!(on.kind()).time_polls().build().unwrap();
    let idle = runtime.spawn(std::future::pending::<()>());
    runtime.spawn(async {}).wait().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.record_metrics("main"));
    let text = recorder.handle().render();
    assert!(text.contains("# TYPE twoply_tasks gauge\ntwoply_tasks{runtime=\"main\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE twoply_offloaded_completed_total counter\n"), "{text}");
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

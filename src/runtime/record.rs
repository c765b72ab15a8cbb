//! The counts of a runtime for the crate `metrics`, whose exporters bring them to Prometheus and others.

use metrics_recorders::{Label, counter, gauge};
use twoply_core::fs;
use twoply_core::reactor::ReactorMetrics;

use super::{Engine, Histogram, Metrics, Runtime, TaskTimes};

/// The label of a runtime's name.
const RUNTIME: &str = "runtime";

impl Runtime {
    /// Hands the counts of the runtime to the recorder of the crate [`metrics`](https://docs.rs/metrics),
    /// each with the label `runtime`, which is `name`, those of a worker with `worker`, its number, and those
    /// of the tasks of one kind with `kind`. A program calls it when it is asked for its metrics, or from
    /// time to time.
    ///
    /// A number that only grows is a counter, whose name ends with `_total`, and every other one a gauge.
    /// They are those of [`Runtime::metrics`] and, of workers, of
    /// [`WorkerMetrics`](crate::green_backend::WorkerMetrics). Times, where they are
    /// [measured](super::Builder::time_polls), are counters with the label `le`, as the buckets of Prometheus
    /// are: `histogram_quantile` reads them. `twoply_file_engine` is 1, and its label `engine` names the
    /// engine of files.
    ///
    /// # Examples
    /// ```
    /// use twoply::Runtime;
    ///
    /// // Before that: metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// // twoply_tasks{runtime="main"} 0
    /// runtime.record_metrics("main");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn record_metrics(&self, name: &str) {
        self.metrics().record(name);
        if let Some(times) = self.task_times() {
            record_tasks(&times, name);
        }
        match &self.engine {
            #[cfg(feature = "native")]
            Engine::Native(_) => {}
            #[cfg(feature = "green")]
            Engine::Green(green) => record_workers(&green.metrics(), name),
        }
    }
}

impl Metrics {
    fn record(&self, name: &str) {
        let labels = || vec![Label::new(RUNTIME, name.to_owned())];
        let Metrics { tasks, kinds, threads, idle_threads, offloaded, io, file_engine } = self;
        let gauges = [
            ("twoply_tasks", tasks),
            ("twoply_tasks_futures", &kinds.futures),
            ("twoply_tasks_closures", &kinds.closures),
            ("twoply_tasks_processes", &kinds.processes),
            ("twoply_tasks_unlisted", &kinds.unlisted),
            ("twoply_threads", threads),
            ("twoply_threads_idle", idle_threads),
            ("twoply_offloaded_running", &offloaded.running),
            ("twoply_offloaded_queued", &offloaded.queued),
            ("twoply_offloaded_most_running", &offloaded.most_running),
            ("twoply_offloaded_most_queued", &offloaded.most_queued),
            ("twoply_io_threads", &io.threads),
            ("twoply_io_tasks", &io.tasks),
        ];
        gauges.iter().for_each(|(key, value)| gauge!(*key, labels()).set(**value as f64));
        let counters = [
            ("twoply_offloaded_completed_total", offloaded.completed),
            ("twoply_offloaded_refused_total", offloaded.refused),
        ];
        counters.iter().for_each(|(key, value)| counter!(*key, labels()).absolute(*value));
        record_reactor("twoply_io", &io.reactors, &labels);
        if let Some(engine) = file_engine {
            let engine = match engine {
                fs::Engine::Auto => "auto",
                fs::Engine::Pool => "pool",
                fs::Engine::IoUring => "io_uring",
            };
            let mut labels = labels();
            labels.push(Label::new("engine", engine));
            gauge!("twoply_file_engine", labels).set(1);
        }
    }
}

/// Hands over what a reactor counts, or several do, by names that begin with `of`.
fn record_reactor(of: &str, reactor: &ReactorMetrics, labels: &dyn Fn() -> Vec<Label>) {
    let gauges = [
        ("registered", reactor.registered),
        ("file_operations_under_way", reactor.file_operations_under_way),
    ];
    gauges.iter().for_each(|(key, value)| gauge!(format!("{of}_{key}"), labels()).set(*value as f64));
    let counters = [
        ("waits", reactor.waits),
        ("notifies", reactor.notifies),
        ("saved_notifies", reactor.saved_notifies),
        ("file_operations", reactor.file_operations),
    ];
    counters.iter().for_each(|(key, value)| counter!(format!("{of}_{key}_total"), labels()).absolute(*value));
}

/// Hands over the times of tasks.
fn record_tasks(times: &TaskTimes, name: &str) {
    let TaskTimes { futures, closures, processes, .. } = times;
    for (kind, times) in [("future", futures), ("closure", closures), ("process", processes)] {
        let labels = || vec![Label::new(RUNTIME, name.to_owned()), Label::new("kind", kind)];
        let busy = u64::try_from(times.busy.as_nanos()).unwrap_or(u64::MAX);
        counter!("twoply_task_busy_nanoseconds_total", labels()).absolute(busy);
        record_times("twoply_task_poll_seconds_bucket", &times.polls, &labels);
        record_times("twoply_task_start_delay_seconds_bucket", &times.start_delays, &labels);
    }
}

/// Hands over what green runtimes count beside that.
#[cfg(feature = "green")]
fn record_workers(metrics: &twoply_green::Metrics, name: &str) {
    let labels = || vec![Label::new(RUNTIME, name.to_owned())];
    let gauges = [
        ("twoply_injected", metrics.injected),
        ("twoply_stacks", metrics.stacks),
        ("twoply_blocked_fibers", metrics.blocked_fibers),
        ("twoply_leaked_stacks", metrics.leaked_stacks),
        ("twoply_stuck", metrics.stuck),
    ];
    gauges.iter().for_each(|(key, value)| gauge!(*key, labels()).set(*value as f64));
    counter!("twoply_long_polls_total", labels()).absolute(metrics.long_polls);
    counter!("twoply_refusals_total", labels()).absolute(metrics.refusals);
    for (index, worker) in metrics.workers.iter().enumerate() {
        let of_worker =
            || vec![Label::new(RUNTIME, name.to_owned()), Label::new("worker", index.to_string())];
        let queued = worker.queued + worker.assigned + worker.woken_fibers;
        gauge!("twoply_worker_queued", of_worker()).set(queued as f64);
        let counters = [
            ("twoply_worker_polls_total", worker.polls),
            ("twoply_worker_steals_total", worker.steals),
            ("twoply_worker_parks_total", worker.sleeps),
            ("twoply_worker_handovers_total", worker.handovers),
            ("twoply_worker_rescues_total", worker.rescues),
        ];
        counters.iter().for_each(|(key, value)| counter!(*key, of_worker()).absolute(*value));
        record_reactor("twoply_worker", &worker.reactor, &of_worker);
        if let Some(times) = &worker.times {
            let busy = u64::try_from(times.busy.as_nanos()).unwrap_or(u64::MAX);
            counter!("twoply_worker_busy_nanoseconds_total", of_worker()).absolute(busy);
            record_times("twoply_worker_poll_seconds_bucket", &times.polls, &of_worker);
            record_times("twoply_worker_wake_delay_seconds_bucket", &times.wake_delays, &of_worker);
        }
    }
}

/// Hands over a histogram as Prometheus has them: a counter for each limit of what took no longer.
fn record_times(key: &'static str, times: &Histogram, labels: &dyn Fn() -> Vec<Label>) {
    let up_to = |limit: String, count: u64| {
        let mut labels = labels();
        labels.push(Label::new("le", limit));
        counter!(key, labels).absolute(count);
    };
    let mut below = 0;
    for (limit, count) in times.buckets() {
        below += count;
        up_to(limit.as_secs_f64().to_string(), below);
    }
    up_to("+Inf".to_owned(), below);
}

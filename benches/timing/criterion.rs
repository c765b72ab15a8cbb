//! criterion drives some of the workloads: it repeats them, compares with its last run, and draws.
//!
//! A workload looks for the number of operations that fills its window by itself, and checks what was done.
//! So criterion is told the time of as many operations as it asks for, by what one of them has taken.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// The workloads, by their names in `--list`, and the systems that are compared.
const WORKLOADS: &[(&str, &[&str])] = &[
    ("task-pingpong workers=1", &["tokio-current", "twoply-green", "twoply-fibers"]),
    ("task-pingpong workers=2", &["tokio-multi", "twoply-green", "twoply-fibers"]),
];

/// The measured time of one run.
const WINDOW: Duration = Duration::from_millis(10);

fn workloads(criterion: &mut Criterion) {
    for (case, systems) in WORKLOADS {
        let mut group = criterion.benchmark_group(*case);
        group.sample_size(10);
        for system in *systems {
            group.bench_function(BenchmarkId::from_parameter(system), |bencher| {
                bencher.iter_custom(|operations| {
                    let one = twoply_bench::time(case, system, WINDOW).expect("the work is done");
                    one.mul_f64(operations as f64)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, workloads);
criterion_main!(benches);

//! divan times what twoply does. A bench of it is straight-line code, and so is what waits: nothing lies in
//! between.

use divan::{Bencher, black_box};
use twoply::actor::{self, Process};
use twoply::promise::Resolver;
use twoply::{Backend, Runtime, Wait};

/// The backends that are compared. Fibers would want a promise.
const BACKENDS: [Backend; 2] = [Backend::Native, Backend::Green];

fn main() {
    divan::main();
}

fn runtime(backend: Backend) -> Runtime {
    Runtime::builder().backend(backend).workers(1).build().expect("there are threads")
}

#[divan::bench(args = BACKENDS)]
fn a_task_from_start_to_end(bencher: Bencher<'_, '_>, backend: Backend) {
    let runtime = runtime(backend);
    bencher.bench(|| runtime.spawn(async { black_box(7) }).wait());
}

#[divan::bench(args = BACKENDS)]
fn a_question_and_its_answer(bencher: Bencher<'_, '_>, backend: Backend) {
    let runtime = runtime(backend);
    let builder = actor::Builder::new().on(runtime.spawner().backend());
    let double = builder.spawn(async |mut me: Process<(u32, Resolver<u32>)>| {
        while let Some((number, answer)) = me.receive().await.message() {
            let _ = answer.resolve(number * 2);
        }
    });
    let double = double.expect("it starts");
    bencher.bench(|| double.ask(|answer| (black_box(7), answer)).wait());
}

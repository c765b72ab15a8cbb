//! The core alone has no default backend: what is started outside of any task has to name one.

use twoply_core::Wait;
use twoply_core::actor::{Active, Process, SpawnProcessError, spawn};
use twoply_core::task::{self, Builder, SpawnError, Spawner, TaskGroup};

#[test]
fn without_a_default_backend_a_start_outside_of_tasks_is_an_error() {
    let is_none = |error: Option<SpawnError>| matches!(error, Some(SpawnError::NoBackend));
    assert!(is_none(task::current_backend().err()));
    assert!(is_none(Spawner::current().err()));
    assert!(is_none(Builder::new().spawn(async {}).err()));
    assert!(is_none(TaskGroup::new().spawn(async {}).err()));
    let process = spawn(async |_: Process<()>| ());
    assert!(matches!(process, Err(SpawnProcessError::Spawn(SpawnError::NoBackend))));
    let failure = task::spawn(async {}).wait().unwrap_err();
    assert!(matches!(failure.not_started(), Some(SpawnError::NoBackend)), "{failure}");
    let failure = Active::new(1).ask(|n| *n).wait().unwrap_err();
    assert!(failure.to_string().contains("name a backend"), "{failure}");
}

//! A running loop of Qt's takes a whole runtime over, at run time, and gives it back: its sockets, timers,
//! files and children move along, and none of them notices.

#![cfg(qt)]

#[path = "../../tests/support/load.rs"]
mod load;

use std::cell::RefCell;
use std::env;
use std::process::Command;
use std::time::Duration;

use load::{Load, one_at_a_time};
use twoply::green_backend::Green;
use twoply_qt::{App, Hosted};
use twoply_tests::watch;

/// Where the runtime is.
enum Place<'a> {
    Here(Hosted<'a>),
    OnItsOwn(Green),
}

// One test, because a process has one application.
#[test]
fn a_running_loop_takes_a_runtime_in_and_out_under_load() {
    watch("qt", move_under_load);
    watch("qt, one at a time", wake_when_it_sleeps);
}

/// Qt waits by way of GLib, unless it is told not to; then it polls by itself.
#[test]
fn so_does_the_loop_without_glib() {
    let name = "a_running_loop_takes_a_runtime_in_and_out_under_load";
    let mut again = Command::new(env::current_exe().unwrap());
    let status = again.args(["--exact", name]).env("QT_NO_GLIB", "1").status().unwrap();
    assert!(status.success(), "{status}");
}

/// Whatever comes wakes a loop that sleeps.
fn wake_when_it_sleeps() {
    let green = Green::builder().workers(1).build().unwrap();
    let (work, app) = (one_at_a_time(&green), App::new());
    let hosted = Hosted::move_in(&app, green).unwrap();
    app.run(Duration::from_millis(5), || !work.is_finished());
    hosted.move_out().shutdown(Duration::from_secs(10)).unwrap();
    work.join().unwrap();
}

/// The number of times that the runtime is moved.
const MOVES: usize = 10;

/// What the loop works on.
struct State<'a> {
    place: Option<Place<'a>>,
    load: Load,
    moves: usize,
}

impl<'a> State<'a> {
    /// Moves the runtime into the loop, or out of it.
    fn go(&mut self, app: &'a App) {
        self.moves += 1;
        self.place = self.place.take().map(|place| match place {
            Place::OnItsOwn(green) => Place::Here(Hosted::move_in(app, green).unwrap()),
            Place::Here(hosted) => Place::OnItsOwn(hosted.move_out()),
        });
        self.load.moved(matches!(self.place, Some(Place::Here(_))));
    }
}

fn move_under_load() {
    let green = Green::builder().workers(1).build().unwrap();
    let load = Load::start(&green);
    let app = App::new();
    let state = RefCell::new(State { place: Some(Place::OnItsOwn(green)), load, moves: 0 });
    // The loop's own business: it moves the runtime, from inside of the loop.
    app.run(Duration::from_millis(5), || {
        let state = &mut *state.borrow_mut();
        if state.moves < MOVES {
            if state.load.has_gone_on() {
                state.go(&app);
            }
            return true;
        }
        state.load.stop();
        !state.load.has_stopped()
    });
    let State { place, load, .. } = state.into_inner();
    let Some(Place::OnItsOwn(green)) = place else { panic!("it ends outside") };
    load.check();
    green.shutdown(Duration::from_secs(10)).unwrap();
}

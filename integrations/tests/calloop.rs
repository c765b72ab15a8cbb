//! A running calloop event loop, as Wayland's compositors and clients have, takes a whole runtime over, at
//! run time, and gives it back: its sockets, timers, files and children move along, and none of them notices.

#[path = "support/load.rs"]
mod load;

use std::time::Duration;

use calloop::timer::{TimeoutAction, Timer};
use calloop::{Dispatcher, EventLoop, LoopHandle, RegistrationToken};
use load::{Load, one_at_a_time};
use twoply::calloop::Hosted;
use twoply::green_backend::Green;
use twoply_tests::watch;

/// Where the runtime is.
enum Place {
    Here(Dispatcher<'static, Hosted, State>, RegistrationToken),
    OnItsOwn(Green),
}

/// What the loop works on.
struct State {
    place: Option<Place>,
    load: Load,
    moves: usize,
}

impl State {
    /// Moves the runtime into the loop, or out of it.
    fn go(&mut self, handle: &LoopHandle<'static, State>) {
        self.moves += 1;
        self.place = self.place.take().map(|place| match place {
            Place::OnItsOwn(green) => {
                let dispatcher =
                    Dispatcher::new(Hosted::new(green).unwrap(), |(), &mut (), _: &mut State| ());
                let token = handle.register_dispatcher(dispatcher.clone()).unwrap();
                Place::Here(dispatcher, token)
            }
            Place::Here(dispatcher, token) => {
                handle.remove(token);
                Place::OnItsOwn(Dispatcher::into_source_inner(dispatcher).into_inner())
            }
        });
        self.load.moved(matches!(self.place, Some(Place::Here(..))));
    }
}

#[test]
fn a_running_event_loop_takes_a_runtime_in_and_out_under_load() {
    watch("calloop", move_under_load);
}

#[test]
fn whatever_comes_wakes_an_event_loop_that_sleeps() {
    watch("calloop, one at a time", || {
        let green = Green::builder().workers(1).build().unwrap();
        let work = one_at_a_time(&green);
        let mut event_loop: EventLoop<'static, ()> = EventLoop::try_new().unwrap();
        let dispatcher = Dispatcher::new(Hosted::new(green).unwrap(), |(), &mut (), _: &mut ()| ());
        let token = event_loop.handle().register_dispatcher(dispatcher.clone()).unwrap();
        while !work.is_finished() {
            event_loop.dispatch(Duration::from_millis(5), &mut ()).unwrap();
        }
        event_loop.handle().remove(token);
        let green = Dispatcher::into_source_inner(dispatcher).into_inner();
        green.shutdown(Duration::from_secs(10)).unwrap();
        work.join().unwrap();
    });
}

/// The number of times that the runtime is moved.
const MOVES: usize = 10;

fn move_under_load() {
    let green = Green::builder().workers(1).build().unwrap();
    let load = Load::start(&green);
    let mut state = State { place: Some(Place::OnItsOwn(green)), load, moves: 0 };
    let mut event_loop: EventLoop<'static, State> = EventLoop::try_new().unwrap();
    let (handle, signal) = (event_loop.handle(), event_loop.get_signal());
    // The loop's own business: it moves the runtime, from inside of the loop.
    let ticks = move |_, _: &mut (), state: &mut State| {
        if state.moves == MOVES {
            state.load.stop();
            if state.load.has_stopped() {
                signal.stop();
            }
        } else if state.load.has_gone_on() {
            state.go(&handle);
        }
        TimeoutAction::ToDuration(Duration::from_millis(5))
    };
    event_loop.handle().insert_source(Timer::immediate(), ticks).unwrap();
    event_loop.run(None, &mut state, |_| ()).unwrap();
    let Some(Place::OnItsOwn(green)) = state.place else { panic!("it ends outside") };
    state.load.check();
    green.shutdown(Duration::from_secs(10)).unwrap();
}

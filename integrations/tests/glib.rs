//! A running GLib main loop takes a whole runtime over, at run time, and gives it back: its sockets, timers,
//! files and children move along, and none of them notices.

#[path = "support/load.rs"]
mod load;

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::Duration;

use glib::{ControlFlow, IOCondition, MainLoop, SourceId};
use load::{Load, one_at_a_time};
use twoply::green_backend::{Green, Host};
use twoply_tests::watch;

/// A runtime that GLib's main loop on this thread carries. Clones are the same one.
#[derive(Clone)]
struct Hosted(Rc<RefCell<Sources>>);

struct Sources {
    host: Host<Green>,
    /// Calls when the runtime has something to do.
    readable: Option<SourceId>,
    /// Calls when a timer of the runtime's is due, or there is more to do at once.
    due: Option<SourceId>,
}

impl Hosted {
    /// Moves a runtime into the loop.
    fn move_in(green: Green) -> Hosted {
        let host = green.into_host().unwrap();
        let fd = host.as_fd().as_raw_fd();
        let hosted = Hosted(Rc::new(RefCell::new(Sources { host, readable: None, due: None })));
        let turned = hosted.clone();
        let readable = glib::source::unix_fd_add_local(fd, IOCondition::IN, move |_, _| {
            turned.turn();
            ControlFlow::Continue
        });
        hosted.0.borrow_mut().readable = Some(readable);
        hosted.turn();
        hosted
    }

    /// Runs what is ready, and has GLib come back in time.
    fn turn(&self) {
        let sources = &mut *self.0.borrow_mut();
        if let Some(due) = sources.due.take() {
            due.remove();
        }
        if let Some(timeout) = sources.host.turn().unwrap() {
            let turned = self.clone();
            // GLib counts whole milliseconds, and the runtime must not be called too early for ever.
            let millis = timeout.as_nanos().div_ceil(1_000_000) as u64;
            let due = glib::timeout_add_local_once(Duration::from_millis(millis), move || {
                // It is over, and so there is nothing to remove.
                turned.0.borrow_mut().due = None;
                turned.turn();
            });
            sources.due = Some(due);
        }
    }

    /// Moves the runtime out of the loop.
    fn move_out(self) -> Green {
        let sources = |sources: &mut Sources| [sources.readable.take(), sources.due.take()];
        let removed = sources(&mut self.0.borrow_mut());
        // Their closures go with them, and what these hold.
        removed.into_iter().flatten().for_each(SourceId::remove);
        let Ok(sources) = Rc::try_unwrap(self.0) else { panic!("somebody turns it") };
        sources.into_inner().host.into_inner()
    }
}

/// Where the runtime is.
enum Place {
    Here(Hosted),
    OnItsOwn(Green),
}

// One test, because there is one default context, and sources are removed from that alone.
#[test]
fn a_running_main_loop_takes_a_runtime_in_and_out_under_load() {
    watch("glib", move_under_load);
    watch("glib, one at a time", wake_when_it_sleeps);
}

/// Whatever comes wakes a loop that sleeps.
fn wake_when_it_sleeps() {
    let green = Green::builder().workers(1).build().unwrap();
    let (work, main_loop) = (Rc::new(one_at_a_time(&green)), MainLoop::new(None, false));
    let (hosted, quit, running) = (Hosted::move_in(green), main_loop.clone(), Rc::clone(&work));
    glib::timeout_add_local(Duration::from_millis(5), move || {
        if running.is_finished() {
            quit.quit();
            return ControlFlow::Break;
        }
        ControlFlow::Continue
    });
    main_loop.run();
    hosted.move_out().shutdown(Duration::from_secs(10)).unwrap();
    let Ok(work) = Rc::try_unwrap(work) else { panic!("the loop is over") };
    work.join().unwrap();
}

/// The number of times that the runtime is moved.
const MOVES: usize = 10;

fn move_under_load() {
    let green = Green::builder().workers(1).build().unwrap();
    let load = Rc::new(RefCell::new(Load::start(&green)));
    let ended = Rc::new(RefCell::new(None));
    // That of the default context, which all sources are in.
    let main_loop = MainLoop::new(None, false);
    let (checked, end, quit) = (Rc::clone(&load), Rc::clone(&ended), main_loop.clone());
    let (mut place, mut moves) = (Some(Place::OnItsOwn(green)), 0);
    // The loop's own business: it moves the runtime, from inside of the loop.
    glib::timeout_add_local(Duration::from_millis(5), move || {
        let mut load = checked.borrow_mut();
        if moves == MOVES {
            load.stop();
            if load.has_stopped() {
                *end.borrow_mut() = place.take();
                quit.quit();
                return ControlFlow::Break;
            }
        } else if load.has_gone_on() {
            moves += 1;
            place = place.take().map(|place| match place {
                Place::OnItsOwn(green) => Place::Here(Hosted::move_in(green)),
                Place::Here(hosted) => Place::OnItsOwn(hosted.move_out()),
            });
            load.moved(matches!(place, Some(Place::Here(_))));
        }
        ControlFlow::Continue
    });
    main_loop.run();
    let Some(Place::OnItsOwn(green)) = ended.borrow_mut().take() else { panic!("it ends outside") };
    let Ok(load) = Rc::try_unwrap(load) else { panic!("the loop is over") };
    load.into_inner().check();
    green.shutdown(Duration::from_secs(10)).unwrap();
}

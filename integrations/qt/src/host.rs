//! The half of the loop that is in Rust: what is safe to call, and what `loop.cpp` calls.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use twoply::green_backend::{Green, Host, IntoHostError};

mod ffi {
    use std::ffi::{c_int, c_void};

    /// An application of Qt's.
    #[repr(C)]
    pub(super) struct Application([u8; 0]);

    /// What calls a runtime in time.
    #[repr(C)]
    pub(super) struct Watch([u8; 0]);

    unsafe extern "C" {
        pub(super) fn twoply_qt_new() -> *mut Application;
        pub(super) fn twoply_qt_delete(application: *mut Application);
        pub(super) fn twoply_qt_run(
            application: *mut Application,
            period: c_int,
            tick: extern "C" fn(*mut c_void) -> bool,
            data: *mut c_void,
        );
        pub(super) fn twoply_qt_watch(
            fd: c_int,
            turn: extern "C" fn(*mut c_void) -> c_int,
            data: *mut c_void,
        ) -> *mut Watch;
        pub(super) fn twoply_qt_unwatch(watch: *mut Watch);
    }
}

/// True while there is an [`App`]. Qt has one application in a process.
static EXISTS: AtomicBool = AtomicBool::new(false);

/// The application, whose loop runs on the thread that has made it.
#[derive(Debug)]
pub struct App {
    /// Made by `twoply_qt_new`, and not deleted. As a pointer it keeps the value on its thread.
    application: NonNull<ffi::Application>,
}

impl App {
    /// Makes the application.
    ///
    /// # Panics
    /// If there is one.
    #[allow(clippy::new_without_default, reason = "it is no value like any other: there can be one")]
    pub fn new() -> App {
        assert!(!EXISTS.swap(true, Ordering::Acquire), "a process has one application of Qt's");
        // SAFETY: there is no other one.
        let application = NonNull::new(unsafe { ffi::twoply_qt_new() });
        App { application: application.expect("`new` in C++ returns no null") }
    }

    /// Runs the loop, which calls `tick` once in each `period`, until that returns false.
    ///
    /// # Panics
    /// If `tick` does; the loop has ended then.
    pub fn run<F: Fn() -> bool>(&self, period: Duration, tick: F) {
        let ticks = Ticks { tick, panic: Cell::new(None) };
        let data = ptr::from_ref(&ticks).cast_mut().cast();
        // SAFETY: the application exists, and this is its thread. `tick_of` gets what it is made for, which
        // is shared and outlives the loop.
        unsafe { ffi::twoply_qt_run(self.application.as_ptr(), millis(period), tick_of::<F>, data) };
        if let Some(panic) = ticks.panic.take() {
            resume_unwind(panic);
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // SAFETY: it exists, this is its thread, and who borrows it, a running loop or a `Hosted`, is gone.
        unsafe { ffi::twoply_qt_delete(self.application.as_ptr()) };
        // Release: with the acquire load of whoever makes the next one.
        EXISTS.store(false, Ordering::Release);
    }
}

/// What a running loop calls.
struct Ticks<F> {
    tick: F,
    /// The panic that has ended the loop: it must not unwind through frames of C++.
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

extern "C" fn tick_of<F: Fn() -> bool>(data: *mut c_void) -> bool {
    // SAFETY: `App::run` passes a reference to this, and waits for the loop.
    let ticks = unsafe { &*data.cast::<Ticks<F>>() };
    match catch_unwind(AssertUnwindSafe(&ticks.tick)) {
        Ok(goes_on) => goes_on,
        Err(panic) => {
            ticks.panic.set(Some(panic));
            false
        }
    }
}

/// Returns the whole milliseconds in which `time` has passed.
fn millis(time: Duration) -> c_int {
    c_int::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

/// A runtime that the loop of an application carries. Dropping it ends the runtime.
#[derive(Debug)]
pub struct Hosted<'a> {
    /// Has the loop turn the host, and goes before it.
    watch: Watch,
    /// The runtime. It is borrowed while it is turned.
    host: Rc<RefCell<Host<Green>>>,
    /// The application outlives what is in its loop.
    app: PhantomData<&'a App>,
}

impl<'a> Hosted<'a> {
    /// Moves a runtime into the loop of an application, which may be running.
    ///
    /// # Errors
    /// As [`Green::into_host`].
    pub fn move_in(_: &'a App, green: Green) -> Result<Hosted<'a>, IntoHostError> {
        let host = Rc::new(RefCell::new(green.into_host()?));
        Ok(Hosted { watch: Watch::new(Rc::clone(&host)), host, app: PhantomData })
    }

    /// Moves the runtime out of the loop. It goes on by itself.
    pub fn move_out(self) -> Green {
        drop(self.watch);
        let Ok(host) = Rc::try_unwrap(self.host) else { unreachable!("the watch had the other one") };
        host.into_inner().into_inner()
    }
}

/// The notifier and the timer that have the loop turn a host.
#[derive(Debug)]
struct Watch {
    /// Made by `twoply_qt_watch`, and not deleted.
    watch: NonNull<ffi::Watch>,
    /// What it calls `turn_of` with.
    host: Rc<RefCell<Host<Green>>>,
}

impl Watch {
    /// Has the loop turn `host`. To be called on the thread of an application that outlives this.
    fn new(host: Rc<RefCell<Host<Green>>>) -> Watch {
        let fd = host.borrow().as_fd().as_raw_fd();
        let data = Rc::as_ptr(&host).cast_mut().cast();
        // SAFETY: `turn_of` gets what it is made for, which lives as long as this; and so does the
        // descriptor, which is the host's. Neither is used by what is made here after `drop`.
        let watch = NonNull::new(unsafe { ffi::twoply_qt_watch(fd, turn_of, data) });
        Watch { watch: watch.expect("`new` in C++ returns no null"), host }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.host.try_borrow_mut().is_err() {
            // It would take away what is running. A task can do that only through a thread-local.
            eprintln!("a runtime is taken out of its loop by one of its own tasks; aborting");
            process::abort();
        }
        // SAFETY: it exists, and this is its thread, which is not in one of its calls.
        unsafe { ffi::twoply_qt_unwatch(self.watch.as_ptr()) };
    }
}

extern "C" fn turn_of(data: *mut c_void) -> c_int {
    // SAFETY: `Watch::new` passes this, and it outlives the calls.
    let host = unsafe { &*data.cast::<RefCell<Host<Green>>>() };
    // A task that has the loop run inside of its own poll is in a turn; and a runtime that has been shut down
    // has nothing to do any more.
    let turned = host.try_borrow_mut().ok().and_then(|mut host| host.turn().ok());
    turned.flatten().map_or(-1, millis)
}

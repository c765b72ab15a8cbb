//! The ends of the channels that are compared, by the same names for all libraries, so that a workload's loop
//! is written once.
//!
//! An end of a task gives the library's own future, with nothing around it ([`Give`], [`Take`]); an end of a
//! thread blocks ([`GiveHere`], [`TakeHere`]). What travels is numbers, whose sum or order is what a workload
//! checks; so whether a send has failed is not looked at: its number is missed at the other end.

use std::future::ready;

use twoply::Wait as _;
use twoply::channel;

/// Sends from an async task.
pub(crate) trait Give: Clone + Send + Sync + 'static {
    /// Sends a number, and waits for room.
    fn give(&self, number: usize) -> impl Future<Output: Send> + Send;
}

/// Receives in an async task.
pub(crate) trait Take: Send + 'static {
    /// Waits for a number.
    fn take(&mut self) -> impl Future<Output: Taken> + Send;
}

/// What a library answers to whom it has let wait for a number.
pub(crate) trait Taken: Send {
    /// The number. None means that there will be no more.
    fn number(self) -> Option<usize>;
}

impl Taken for Option<usize> {
    fn number(self) -> Option<usize> {
        self
    }
}

impl<E: Send> Taken for Result<usize, E> {
    fn number(self) -> Option<usize> {
        self.ok()
    }
}

/// Sends from straight-line code.
pub(crate) trait GiveHere: Clone + Send + 'static {
    /// Sends a number, and blocks until there is room.
    fn give_here(&self, number: usize);
}

/// Receives in straight-line code.
pub(crate) trait TakeHere: Send + 'static {
    /// Blocks until there is a number. None means that there will be no more.
    fn take_here(&mut self) -> Option<usize>;
}

/// The ends of async tasks.
macro_rules! async_ends {
    ($($giver:ty: |$to:ident, $number:ident| $give:expr, $taker:ty: |$from:ident| $take:expr;)*) => {$(
        impl Give for $giver {
            fn give(&self, $number: usize) -> impl Future<Output: Send> + Send {
                let $to = self;
                $give
            }
        }

        impl Take for $taker {
            fn take(&mut self) -> impl Future<Output: Taken> + Send {
                let $from = self;
                $take
            }
        }
    )*};
}

/// The ends of straight-line code.
macro_rules! straight_ends {
    ($($giver:ty: |$to:ident, $number:ident| $give:expr, $taker:ty: |$from:ident| $take:expr;)*) => {$(
        impl GiveHere for $giver {
            fn give_here(&self, $number: usize) {
                let $to = self;
                let _sent = $give;
            }
        }

        impl TakeHere for $taker {
            fn take_here(&mut self) -> Option<usize> {
                let $from = self;
                $take
            }
        }
    )*};
}

async_ends! {
    tokio::sync::mpsc::Sender<usize>: |to, number| to.send(number),
    tokio::sync::mpsc::Receiver<usize>: |from| from.recv();
    tokio::sync::mpsc::UnboundedSender<usize>: |to, number| ready(to.send(number)),
    tokio::sync::mpsc::UnboundedReceiver<usize>: |from| from.recv();
    kanal::AsyncSender<usize>: |to, number| to.send(number),
    kanal::AsyncReceiver<usize>: |from| from.recv();
    flume::Sender<usize>: |to, number| to.send_async(number),
    flume::Receiver<usize>: |from| from.recv_async();
    async_channel::Sender<usize>: |to, number| to.send(number),
    async_channel::Receiver<usize>: |from| from.recv();
    channel::Sender<usize>: |to, number| to.send(number),
    channel::Receiver<usize>: |from| from.recv();
}

straight_ends! {
    std::sync::mpsc::SyncSender<usize>: |to, number| to.send(number),
    std::sync::mpsc::Receiver<usize>: |from| from.recv().ok();
    crossbeam_channel::Sender<usize>: |to, number| to.send(number),
    crossbeam_channel::Receiver<usize>: |from| from.recv().ok();
    kanal::Sender<usize>: |to, number| to.send(number),
    kanal::Receiver<usize>: |from| from.recv().ok();
    flume::Sender<usize>: |to, number| to.send(number),
    flume::Receiver<usize>: |from| from.recv().ok();
    tokio::sync::mpsc::Sender<usize>: |to, number| to.blocking_send(number),
    tokio::sync::mpsc::Receiver<usize>: |from| from.blocking_recv();
    async_channel::Sender<usize>: |to, number| to.send_blocking(number),
    async_channel::Receiver<usize>: |from| from.recv_blocking().ok();
    may::sync::mpsc::Sender<usize>: |to, number| to.send(number),
    may::sync::mpsc::Receiver<usize>: |from| from.recv().ok();
    may::sync::mpmc::Sender<usize>: |to, number| to.send(number),
    may::sync::mpmc::Receiver<usize>: |from| from.recv().ok();
    channel::Sender<usize>: |to, number| to.send(number).wait(),
    channel::Receiver<usize>: |from| from.recv().wait().ok();
}

/// std has one receiver for its two kinds of senders.
impl GiveHere for std::sync::mpsc::Sender<usize> {
    fn give_here(&self, number: usize) {
        let _sent = self.send(number);
    }
}

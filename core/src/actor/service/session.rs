//! [`Session`]: the process of a reference, in the hands of a [`Service`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Presence, Service, Shared};
use crate::actor::supervisor::{Backoff, Pace};
use crate::actor::{Event, ExitReason, Process};
use crate::base::panic::discard_panic;
use crate::channel::watch;
use crate::kernel::coop;
use crate::kernel::task::IntoExit;
use crate::time::{now, sleep};

/// A message in the queue of a reference.
pub(super) struct Envelope<M> {
    pub(super) message: M,
    /// True once a session has taken it. Only questions have one, and whoever asks looks there.
    taken: Option<Arc<AtomicBool>>,
}

impl<M> Envelope<M> {
    pub(super) fn plain(message: M) -> Envelope<M> {
        Envelope { message, taken: None }
    }

    pub(super) fn question(message: M, taken: Arc<AtomicBool>) -> Envelope<M> {
        Envelope { message, taken: Some(taken) }
    }
}

/// The part of a session that references look at.
pub(super) struct State<M> {
    pub(super) present: bool,
    /// Messages that were put back, the first one first. They are before those in the mailbox.
    pub(super) returned: VecDeque<Envelope<M>>,
}

/// The hook that gets the messages which no session takes.
pub(super) type Undelivered<M> = Arc<dyn Fn(M) + Send + Sync>;

/// The queue of a [`ServiceRef`](super::ServiceRef) as a [`Service`] sees it, and the state that it tells.
pub struct Session<M: Send + 'static> {
    /// The process whose mailbox is the queue.
    me: Process<Envelope<M>>,
    shared: Arc<Shared<M>>,
    /// The states for those who watch. They are told after `shared` is.
    states: watch::Sender<Presence>,
    /// The number of times that the service has been there.
    number: u64,
    /// The delays between sessions.
    pace: Pace,
    /// The mark of the message that was received last.
    last: Option<Arc<AtomicBool>>,
    /// True once the process has been told to stop: the queue is empty, and nothing more will come.
    stopping: bool,
    undelivered: Option<Undelivered<M>>,
}

impl<M: Send + 'static> Session<M> {
    pub(super) fn new(
        me: Process<Envelope<M>>,
        shared: Arc<Shared<M>>,
        states: watch::Sender<Presence>,
        backoff: Backoff,
        undelivered: Option<Undelivered<M>>,
    ) -> Session<M> {
        let pace = Pace::new(backoff);
        Session { me, shared, states, number: 0, pace, last: None, stopping: false, undelivered }
    }

    /// Tells that the service is there. To receive a message tells it, too.
    ///
    /// To be connected is not yet to be served: the system takes connections for a program that is about to
    /// end. Where a question in vain costs much, the session waits for a first word of the service.
    pub fn present(&mut self) {
        let before = std::mem::replace(&mut self.shared.lock().present, true);
        if !before {
            self.number += 1;
            self.pace.started(now());
            self.states.replace(Presence::Present(self.number));
        }
    }

    /// Tells that the service is away, and why. To return from [`Service::serve`] tells it, too: this is for
    /// one that waits by itself until the service is back. It need not watch for the end of the reference
    /// meanwhile: once nobody refers to the service and nothing is queued, the reference ends, in the middle
    /// of that wait, too. What is to be [put back](Session::put_back) is put back before.
    pub fn away(&mut self, reason: ExitReason) {
        self.leave(reason);
        // A session that has been told that there is no more returns by itself.
        if !self.stopping && self.is_over() {
            self.me.me().exit(ExitReason::Shutdown);
        }
    }

    /// Notes and tells that the service is away.
    fn leave(&mut self, reason: ExitReason) {
        self.shared.lock().present = false;
        let away = Presence::Away(reason);
        if *self.states.latest() != away {
            self.states.replace(away);
        }
    }

    /// Takes the next message from the queue, and waits for one; `None` when there will be no more, because
    /// nobody refers to the service: the session returns then. The message counts as sent from now on. Finish
    /// it with `.await` or `.wait()`.
    ///
    /// # Cancel safety
    /// A future that is dropped has taken nothing.
    pub async fn receive(&mut self) -> Option<M> {
        self.present();
        coop::consume().await;
        let returned = self.shared.lock().returned.pop_front();
        if let Some(envelope) = returned {
            return Some(self.take(envelope));
        }
        while !self.stopping {
            match self.me.receive().await {
                Event::Message(envelope) => return Some(self.take(envelope)),
                Event::Stop(_) => self.stopping = true,
                _ => {}
            }
        }
        None
    }

    /// Puts the message that was received last back at the front of the queue, where it does not count as
    /// sent: for a session that knows that nothing of it has reached the service. A later session takes it.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Service, ServiceRef, Session}};
    ///
    /// /// A printer whose cable is loose: the first attempt to print a page does not reach it.
    /// struct Printer {
    ///     attempts: u32,
    ///     printed: twoply::channel::Sender<&'static str>,
    /// }
    ///
    /// impl Service for Printer {
    ///     type Message = &'static str;
    ///     type Error = &'static str;
    ///
    ///     async fn serve(&mut self, session: &mut Session<&'static str>) -> Result<(), &'static str> {
    ///         while let Some(page) = session.receive().await {
    ///             self.attempts += 1;
    ///             if self.attempts == 1 {
    ///                 session.put_back(page);
    ///                 return Err("the cable is loose");
    ///             }
    ///             self.printed.try_send(page).expect("there is room");
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (printed, pages) = twoply::channel::unbounded();
    /// let printer = ServiceRef::start(Printer { attempts: 0, printed })?;
    /// printer.send("page").wait()?;
    /// assert_eq!(pages.recv().wait()?, "page");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_back(&mut self, message: M) {
        let taken = self.last.take();
        if let Some(taken) = &taken {
            taken.store(false, Ordering::Relaxed);
        }
        self.shared.lock().returned.push_front(Envelope { message, taken });
    }

    /// Gives up a message that the service has refused.
    pub(super) fn give_up(&self, message: M) {
        discard_panic(|| match &self.undelivered {
            Some(undelivered) => undelivered(message),
            None => drop(message),
        });
    }

    /// Notes that the message is taken.
    fn take(&mut self, Envelope { message, taken }: Envelope<M>) -> M {
        if let Some(taken) = &taken {
            // The answer, or its failure, comes later, and whoever hears of that has heard of this.
            taken.store(true, Ordering::Relaxed);
        }
        self.last = taken;
        message
    }

    /// Returns true if there will be no more messages.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Returns true if nobody refers to the service and nothing is queued. It is asked while the service is
    /// said to be away.
    fn is_over(&self) -> bool {
        let me = self.me.me();
        self.stopping || (me.is_closed() && me.is_empty()) && self.shared.lock().returned.is_empty()
    }
}

/// Has one session after another, until nobody refers to the service.
pub(super) async fn run<S: Service>(mut service: S, mut session: Session<S::Message>) -> ExitReason {
    loop {
        let reason = service.serve(&mut session).await.into_exit();
        session.leave(reason);
        if session.is_over() {
            return ExitReason::Normal;
        }
        sleep(session.pace.next_delay(now())).await;
    }
}

impl<M: Send + 'static> Drop for Session<M> {
    fn drop(&mut self) {
        self.leave(ExitReason::NoProcess);
        let returned = std::mem::take(&mut self.shared.lock().returned);
        for Envelope { message, .. } in returned {
            self.give_up(message);
        }
    }
}

impl<M: Send + 'static> fmt::Debug for Session<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("process", &self.me).field("number", &self.number).finish()
    }
}

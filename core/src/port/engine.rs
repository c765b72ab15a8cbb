//! The engine of a port, which its task runs.
//!
//! A poll goes round: requests of the owner, items that are to be written, items that come, until nothing of
//! it gets on. None of the three keeps the others from getting on: a port that waits for room in the mailbox
//! of its owner goes on writing, and one whose peer reads nothing goes on reading.
//!
//! ```text
//!            input                                      output
//!   Reading ──end, failure──▶ (over)      Open ──finish, close, end──▶ Ending ──written──▶ Over
//!                                           └───────────────failure────────────────────────▶
//!   both over: Event::Closed, and the process ends
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::active::{Active, Demand};
use super::event::{Event, HandOver, PortError};
use super::medium::{Input, Medium};
use super::outlet::{Gone, Outlet};
use super::spare;
use crate::actor::{self, ExitReason, Listening, MonitorRef, Pid, Process};
use crate::channel::{Receiver, Source, WaitKey, oneshot};
use crate::kernel::coop;

/// The number of items that are delivered together, if as many have been read at once. Twice as many gain a
/// tenth for one connection whose port and owner are on two cores, and lose more, with more memory, for a
/// thousand.
const BATCH: usize = 64;

/// A request to a port: the messages of its process.
pub(super) enum Control<T> {
    /// Gives so many items more.
    Active(Active),
    /// Writes what has been sent, and ends the output. The input goes on.
    Finish,
    /// As that, and reads nothing more.
    Close,
    /// As that, and waits for nobody: the port has been dropped.
    Drop,
    /// Goes to another owner.
    HandOver(Successor<T>),
}

/// The next owner of a port.
pub(super) struct Successor<T> {
    /// Where its events go.
    pub(super) outlet: Box<dyn Outlet<T>>,
    /// The process with which the port closes.
    pub(super) owner: Pid,
    /// The events that are left in the channel of a port that was a source. They come first.
    pub(super) backlog: Option<Receiver<Event<T>>>,
}

/// The state of the output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// Items may be written.
    Open,
    /// Those that have been accepted are written; then it ends.
    Ending,
    /// It has ended, or failed.
    Over,
}

/// A port, as its task has it.
pub(super) struct Engine<M: Medium> {
    medium: M,
    /// The place that events go to.
    outlet: Box<dyn Outlet<M::In>>,
    /// The events that are to be delivered. There are [`BATCH`] at most, unless somebody sends one item after
    /// another that cannot be encoded and receives nothing: to have it wait for room would be a wait for
    /// itself.
    events: VecDeque<Event<M::In>>,
    /// The number of items that the owner has asked for.
    demand: Demand,
    /// False when there is nothing more to be read.
    reading: bool,
    output: Output,
    /// The items that are to be written.
    writes: Receiver<M::Out>,
    /// The wait for an item to write.
    wait_key: WaitKey,
    /// False when nobody is left who could send one.
    has_writers: bool,
    /// The number of unwritten bytes from which on no item is taken.
    high_water: usize,
    /// True if the output outlives the input.
    half_open: bool,
    /// The process with which the port closes.
    owner: Option<(Pid, MonitorRef)>,
    /// The next owner, until the present one has had its last event.
    successor: Option<Successor<M::In>>,
    /// Set while the last event of the present owner is on its way: what tells that it is gone.
    marker: Option<oneshot::Receiver<()>>,
    /// The wait for the owner before to let this one begin.
    held: Option<oneshot::Receiver<()>>,
    /// The wait for a request to the port.
    listening: Listening,
    /// True when the last event has been given to the outlet.
    closed: bool,
}

/// The parts that a port is started with.
pub(super) struct Start<M: Medium> {
    pub(super) medium: M,
    pub(super) outlet: Box<dyn Outlet<M::In>>,
    pub(super) owner: Option<Pid>,
    pub(super) active: Active,
    pub(super) writes: Receiver<M::Out>,
    pub(super) high_water: usize,
    pub(super) half_open: bool,
}

impl<M: Medium> Engine<M> {
    pub(super) fn new(start: Start<M>, me: &Process<Control<M::In>>) -> Engine<M> {
        Engine {
            medium: start.medium,
            outlet: start.outlet,
            events: VecDeque::new(),
            demand: Demand::new(start.active),
            reading: true,
            output: if M::WRITES { Output::Open } else { Output::Over },
            writes: start.writes,
            wait_key: WaitKey::new(),
            has_writers: true,
            high_water: start.high_water,
            half_open: start.half_open,
            owner: start.owner.map(|owner| (owner.clone(), me.monitor(&owner))),
            successor: None,
            marker: None,
            held: None,
            listening: Listening::default(),
            closed: false,
        }
    }

    /// Gets on as far as it can. Ready when the port is over, with the reason.
    pub(super) fn poll(
        &mut self,
        me: &mut Process<Control<M::In>>,
        cx: &mut Context<'_>,
    ) -> Poll<ExitReason> {
        let over = self.poll_round(me, cx);
        if over.is_pending() {
            self.medium.settle();
            if self.events.is_empty() && self.events.capacity() > 0 {
                if self.events.capacity() <= 2 * BATCH {
                    spare::exchange(&mut self.events);
                }
                self.events = VecDeque::new();
            }
        }
        over
    }

    fn poll_round(&mut self, me: &mut Process<Control<M::In>>, cx: &mut Context<'_>) -> Poll<ExitReason> {
        loop {
            // Streams of the user's may always be ready and spend nothing.
            ready!(coop::proceed(cx)).spend();
            let mut end = None;
            while let Poll::Ready(event) = me.poll_receive(&mut self.listening, cx) {
                end = end.or(self.control(event, me));
            }
            self.write(cx);
            if let Some(reason) = end {
                return Poll::Ready(reason);
            }
            let again = match self.read(me, cx) {
                Ok(again) => again,
                Err(Gone) => {
                    self.end_output();
                    self.write(cx);
                    return Poll::Ready(ExitReason::Normal);
                }
            };
            if self.closed && self.events.is_empty() && !self.outlet.is_busy() {
                return Poll::Ready(ExitReason::Normal);
            }
            if !again {
                return Poll::Pending;
            }
        }
    }

    /// Does what is asked for. Returns the reason if the port ends for it, once it has written what it can
    /// without waiting.
    fn control(
        &mut self,
        event: actor::Event<Control<M::In>>,
        me: &Process<Control<M::In>>,
    ) -> Option<ExitReason> {
        match event {
            actor::Event::Message(Control::Active(active)) => self.demand.add(active),
            actor::Event::Message(Control::Finish) => self.end_output(),
            actor::Event::Message(Control::Close) | actor::Event::Stop(_) => {
                self.reading = false;
                self.medium.end_input();
                self.end_output();
            }
            actor::Event::Message(Control::Drop) => {
                self.end_output();
                return Some(ExitReason::Normal);
            }
            actor::Event::Message(Control::HandOver(successor)) => self.hand_over(successor, me),
            actor::Event::Down(down) if self.is_owner(&down) => {
                // An owner that was about to hand the port over has done so before it ended.
                if self.successor.is_none() {
                    self.end_output();
                    return Some(down.reason);
                }
                self.succeed(me);
            }
            _ => {}
        }
        None
    }

    /// Returns true if it is the owner that has ended, and not one before.
    fn is_owner(&self, down: &actor::Down) -> bool {
        self.owner.as_ref().is_some_and(|(_, monitor)| *monitor == down.monitor)
    }

    /// Begins to hand the port over. One who was to have it has had nothing yet, and gets nothing.
    fn hand_over(&mut self, mut successor: Successor<M::In>, me: &Process<Control<M::In>>) {
        let backlog = successor.backlog.take();
        self.successor = Some(successor);
        if let Some(backlog) = backlog {
            // It was a source, and its receiver comes along: nobody has to be told.
            self.succeed(me);
            let mut events: VecDeque<_> = std::iter::from_fn(|| backlog.try_recv().ok()).collect();
            events.append(&mut self.events);
            self.events = events;
        }
    }

    /// Makes the successor the owner.
    fn succeed(&mut self, me: &Process<Control<M::In>>) {
        let Some(successor) = self.successor.take() else { return };
        if let Some((_, monitor)) = self.owner.take() {
            me.demonitor(monitor);
        }
        if self.is_parting() {
            self.events.pop_front();
        }
        self.marker = None;
        self.outlet = successor.outlet;
        self.owner = Some((successor.owner.clone(), me.monitor(&successor.owner)));
    }

    /// Returns true if the next event is the last one of its owner.
    fn is_parting(&self) -> bool {
        matches!(self.events.front(), Some(Event::HandedOver(_)))
    }

    /// Lets no more items be sent. Those that have been are written.
    fn end_output(&mut self) {
        if self.output == Output::Open {
            self.output = Output::Ending;
            self.writes.close();
            self.has_writers = true;
        }
    }

    /// Gives the output up.
    fn fail_output(&mut self, error: PortError) {
        self.events.push_back(Event::Error(error));
        self.output = Output::Over;
        self.writes.close();
        while self.writes.try_recv().is_ok() {}
    }

    /// Writes as far as it can.
    fn write(&mut self, cx: &mut Context<'_>) {
        while self.output != Output::Over {
            let more = self.take_items(cx);
            if self.output == Output::Over {
                return;
            }
            if self.output == Output::Ending && !self.has_writers && !self.reading && self.medium.is_opening()
            {
                // There is nothing to write, and nothing is to come.
                self.output = Output::Over;
                return;
            }
            match self.medium.poll_flush(cx) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => return self.fail_output(error),
                Poll::Ready(Ok(())) if more => {}
                Poll::Ready(Ok(())) if self.output == Output::Ending && !self.has_writers => {
                    return self.close_output(cx);
                }
                Poll::Ready(Ok(())) => return,
            }
        }
    }

    /// Ends the output, of which everything has been written.
    fn close_output(&mut self, cx: &mut Context<'_>) {
        match self.medium.poll_close(cx) {
            Poll::Pending => return,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.events.push_back(Event::Error(error)),
        }
        self.output = Output::Over;
    }

    /// Encodes the items that are to be written, up to the high-water mark. Returns true if it has stopped
    /// there.
    fn take_items(&mut self, cx: &mut Context<'_>) -> bool {
        while self.has_writers {
            if self.medium.unwritten() >= self.high_water {
                self.has_writers = !(self.writes.is_closed() && self.writes.is_empty());
                return self.has_writers;
            }
            match self.writes.poll_recv(&mut self.wait_key, cx) {
                Poll::Pending => return false,
                Poll::Ready(Err(_)) => self.has_writers = false,
                Poll::Ready(Ok(item)) => match self.medium.encode(item) {
                    Ok(()) => {}
                    Err(error @ PortError::EncoderPanicked { .. }) => {
                        // The items before it have been encoded, and are written.
                        self.fail_output(error);
                        self.output = Output::Ending;
                        self.has_writers = false;
                    }
                    Err(error) => self.events.push_back(Event::Error(error)),
                },
            }
        }
        false
    }

    /// Reads and delivers as far as it can. Returns true if the output has to be looked at again for that.
    fn read(&mut self, me: &Process<Control<M::In>>, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let output = self.output;
        loop {
            match self.poll_deliver(me, cx) {
                Poll::Pending => break,
                Poll::Ready(delivered) => delivered?,
            }
            if !self.reading {
                if self.output != Output::Over || self.closed {
                    break;
                }
                let left = self.medium.take_error();
                self.closed = left.is_none();
                self.events.push_back(left.map_or(Event::Closed, Event::Error));
                continue;
            }
            if self.demand.is_passive() {
                break;
            }
            let Poll::Ready(input) = self.medium.poll_next(cx) else { break };
            self.take_input(input);
            // Items that have been read together are delivered together.
            while self.reading && self.events.len() < BATCH {
                let most = self.demand.left().min(BATCH - self.events.len());
                let before = self.events.len();
                let other = self.medium.take_at_hand(most, |item| self.events.push_back(Event::Item(item)));
                self.count(self.events.len() - before);
                let Some(input) = other else { break };
                self.take_input(input);
            }
        }
        Ok(self.output != output)
    }

    /// Has what has come be delivered.
    #[inline]
    fn take_input(&mut self, input: Input<M::In>) {
        match input {
            Input::Item(item) => self.read_one(Event::Item(item)),
            Input::Error(error) => self.read_one(Event::Error(error)),
            Input::Failed(error) => {
                self.events.push_back(Event::Error(error));
                self.end_input();
            }
            Input::End => self.end_input(),
        }
    }

    /// Has `event`, which has been read, be delivered.
    #[inline]
    fn read_one(&mut self, event: Event<M::In>) {
        if self.events.capacity() == 0 {
            spare::exchange(&mut self.events);
        }
        self.events.push_back(event);
        self.count(1);
    }

    /// Counts items that have been read.
    #[inline]
    fn count(&mut self, items: usize) {
        if self.demand.count(items) {
            self.events.push_back(Event::Passive);
        }
    }

    /// Notes that nothing more will come.
    fn end_input(&mut self) {
        self.reading = false;
        if self.output == Output::Open && self.half_open {
            self.events.push_back(Event::HalfClosed);
        } else {
            self.end_output();
        }
    }

    /// Delivers the events that there are. Ready when there are no more.
    fn poll_deliver(&mut self, me: &Process<Control<M::In>>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        loop {
            if let Some(held) = &mut self.held {
                // The end of the channel says that the owner before is done; nothing is ever sent.
                let _ = ready!(Pin::new(held).poll(cx));
                self.held = None;
            }
            if self.successor.is_some() && !self.is_parting() && !self.outlet.is_busy() {
                // The owner has its last event, or is to have it now.
                if let Some(released) = self.marker.take() {
                    self.held = Some(released);
                    self.succeed(me);
                    continue;
                }
                let (last, released) = HandOver::new();
                self.events.push_front(Event::HandedOver(last));
                self.marker = Some(released);
            }
            if self.events.is_empty() && !self.outlet.is_busy() {
                return Poll::Ready(Ok(()));
            }
            let most = if self.is_parting() { 1 } else { BATCH };
            match ready!(self.outlet.poll_deliver(&mut self.events, most, cx)) {
                Ok(()) => {}
                // The owner before ends as it hands the port over: the next one has the rest.
                Err(Gone) if self.successor.is_some() => self.succeed(me),
                Err(Gone) => return Poll::Ready(Err(Gone)),
            }
        }
    }
}

impl<M: Medium> Drop for Engine<M> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.writes.stop_recv(&mut self.wait_key);
        }
    }
}

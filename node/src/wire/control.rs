//! [`Control`]: what one process does to another, as it stands in front of a frame.

use super::atom::Atom;
use super::decode::{Decoder, Kind};
use super::encode::Encoder;
use super::error::{DecodeError, EncodeError, Why};
use super::term::{Pid, Reference, Term};
use super::{FromTerm, ToTerm};

/// A process, by its pid or by the name that it has on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The process of this pid.
    Pid(Pid),
    /// Whoever has the name.
    Name(Atom),
    /// The process that has made this alias.
    Alias(Reference),
}

impl ToTerm for Target {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        match self {
            Target::Pid(pid) => out.pid(pid),
            Target::Name(name) => out.atom(name),
            Target::Alias(alias) => out.reference(alias),
        }
        Ok(())
    }
}

impl<'a> FromTerm<'a> for Target {
    fn from_term(input: &mut Decoder<'a>) -> Result<Target, DecodeError> {
        match input.kind()? {
            Kind::Atom => input.owned_atom().map(Target::Name),
            Kind::Reference => input.reference().map(Target::Alias),
            _ => input.pid().map(Target::Pid),
        }
    }
}

/// The way in which a process ends another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitBy {
    /// It has ended itself, and they were linked.
    Link,
    /// It asks, as by `exit/2`.
    Request,
}

/// A control message. Tokens of traces are dropped.
///
/// Those that are followed by a message or a reason say so by [`has_payload`](Control::has_payload).
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// A process links itself to another one.
    Link {
        /// The process that links.
        from: Pid,
        /// The process that is linked to.
        to: Pid,
    },
    /// A message follows, for a process or an alias.
    Send {
        /// The sender, if the peer tells it.
        from: Option<Pid>,
        /// The process or alias that receives it.
        to: Target,
        /// Says that the message is to overtake usual ones.
        urgent: bool,
    },
    /// A process ends another one.
    Exit {
        /// The process that has ended or that asks.
        from: Pid,
        /// The process that is to be told.
        to: Pid,
        /// The way in which it comes about.
        by: ExitBy,
        /// The reason; without one, it follows.
        reason: Option<Term>,
    },
    /// A link is taken back, as before OTP 24, or with a number, which is confirmed.
    Unlink {
        /// The number, which is not 0; nothing before OTP 24.
        id: Option<u64>,
        /// The process that takes the link back.
        from: Pid,
        /// The process that was linked to.
        to: Pid,
    },
    /// Confirms that a link has been taken back.
    UnlinkAck {
        /// The number that is confirmed.
        id: u64,
        /// The process that was linked to.
        from: Pid,
        /// The process that has taken the link back.
        to: Pid,
    },
    /// A process takes another group leader.
    GroupLeader {
        /// The group leader that it takes.
        from: Pid,
        /// The process that takes it.
        to: Pid,
    },
    /// A process monitors another one.
    Monitor {
        /// The process that monitors.
        from: Pid,
        /// The process that is monitored.
        to: Target,
        /// The number of the monitor.
        reference: Reference,
    },
    /// A monitor is taken back.
    Demonitor {
        /// The process that monitors.
        from: Pid,
        /// The process that is monitored.
        to: Target,
        /// The number of the monitor.
        reference: Reference,
    },
    /// A process that was monitored has ended.
    Down {
        /// The process, as the monitor named it.
        from: Target,
        /// The process that monitors.
        to: Pid,
        /// The number of the monitor.
        reference: Reference,
        /// The reason; without one, it follows.
        reason: Option<Term>,
    },
    /// A process is to be started; the list of its arguments follows.
    SpawnRequest(Box<SpawnRequest>),
    /// The answer to a request to start a process.
    SpawnReply {
        /// The number of the request.
        reference: Reference,
        /// The process that has asked.
        to: Pid,
        /// Says that the new process is linked to it.
        linked: bool,
        /// Says that the new process is monitored by it.
        monitored: bool,
        /// The pid of the new process, or an atom that says why there is none.
        result: Result<Pid, Atom>,
    },
}

/// A request to start a process.
#[derive(Clone, Debug, PartialEq)]
pub struct SpawnRequest {
    /// The number of the request, and of the monitor if there is to be one.
    pub reference: Reference,
    /// The process that asks.
    pub from: Pid,
    /// The group leader of the new process.
    pub group_leader: Pid,
    /// The module, the function and the number of its arguments.
    pub function: (Atom, Atom, u8),
    /// The list of options.
    pub options: Term,
}

mod op {
    pub(super) const LINK: u8 = 1;
    pub(super) const SEND: u8 = 2;
    pub(super) const EXIT: u8 = 3;
    pub(super) const UNLINK: u8 = 4;
    pub(super) const REG_SEND: u8 = 6;
    pub(super) const GROUP_LEADER: u8 = 7;
    pub(super) const EXIT2: u8 = 8;
    pub(super) const SEND_TT: u8 = 12;
    pub(super) const EXIT_TT: u8 = 13;
    pub(super) const REG_SEND_TT: u8 = 16;
    pub(super) const EXIT2_TT: u8 = 18;
    pub(super) const MONITOR_P: u8 = 19;
    pub(super) const DEMONITOR_P: u8 = 20;
    pub(super) const MONITOR_P_EXIT: u8 = 21;
    pub(super) const SEND_SENDER: u8 = 22;
    pub(super) const SEND_SENDER_TT: u8 = 23;
    pub(super) const PAYLOAD_EXIT: u8 = 24;
    pub(super) const PAYLOAD_EXIT_TT: u8 = 25;
    pub(super) const PAYLOAD_EXIT2: u8 = 26;
    pub(super) const PAYLOAD_EXIT2_TT: u8 = 27;
    pub(super) const PAYLOAD_MONITOR_P_EXIT: u8 = 28;
    pub(super) const SPAWN_REQUEST: u8 = 29;
    pub(super) const SPAWN_REQUEST_TT: u8 = 30;
    pub(super) const SPAWN_REPLY: u8 = 31;
    pub(super) const SPAWN_REPLY_TT: u8 = 32;
    pub(super) const ALIAS_SEND: u8 = 33;
    pub(super) const ALIAS_SEND_TT: u8 = 34;
    pub(super) const UNLINK_ID: u8 = 35;
    pub(super) const UNLINK_ID_ACK: u8 = 36;
    pub(super) const ALTACT_SIG_SEND: u8 = 37;
}

/// The flags of the form of sends that is to take over.
mod altact {
    pub(super) const URGENT: i64 = 1;
    pub(super) const TOKEN: i64 = 1 << 1;
    /// The receiver is an exit signal's; no node sends one that has not been asked for it.
    pub(super) const EXIT: i64 = 1 << 4;
}

/// The flags of an answer to a request to start a process.
const LINKED: i64 = 1;
const MONITORED: i64 = 1 << 1;

impl Control {
    /// Returns true if a message, a reason or a list of arguments follows.
    pub fn has_payload(&self) -> bool {
        match self {
            Control::Send { .. } | Control::SpawnRequest(_) => true,
            Control::Exit { reason, .. } | Control::Down { reason, .. } => reason.is_none(),
            _ => false,
        }
    }

    /// Reads a control message.
    ///
    /// # Errors
    /// When it is none of the protocol.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::{Control, Decoder};
    ///
    /// let error = Control::read(&mut Decoder::new(&[104, 1, 97, 99])).unwrap_err();
    /// assert_eq!(error.to_string(), "there is no control message 99");
    /// ```
    pub fn read(input: &mut Decoder<'_>) -> Result<Control, DecodeError> {
        let arity = input.tuple()?;
        if arity == 0 {
            return Err(Why::Arity { wanted: 1, found: 0 }.into());
        }
        input.nested(|input| {
            let number = input.i64()?;
            let number = u8::try_from(number).map_err(|_| unknown(number))?;
            let (control, wanted) = read(number, input)?;
            if wanted == arity { Ok(control) } else { Err(Why::Arity { wanted, found: arity }.into()) }
        })
    }

    /// Writes the control message in the form of today.
    ///
    /// # Errors
    /// When a reason or the options of a request cannot be written.
    pub fn write(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        match self {
            Control::Link { from, to } => parts(out, op::LINK, &[from, to]),
            Control::Send { from, to, urgent: false } => match (from, to) {
                (Some(from), Target::Pid(to)) => parts(out, op::SEND_SENDER, &[from, to]),
                (None, Target::Pid(to)) => parts(out, op::SEND, &[&Unused, to]),
                (Some(from), Target::Alias(to)) => parts(out, op::ALIAS_SEND, &[from, to]),
                (Some(from), Target::Name(to)) => parts(out, op::REG_SEND, &[from, &Unused, to]),
                (None, Target::Name(_) | Target::Alias(_)) => Err(EncodeError::NoNode),
            },
            Control::Send { from: Some(from), to, urgent: true } => {
                let kind = match to {
                    Target::Pid(_) => 0,
                    Target::Alias(_) => 1 << 2,
                    Target::Name(_) => 1 << 3,
                };
                parts(out, op::ALTACT_SIG_SEND, &[&(altact::URGENT | kind), from, to])
            }
            Control::Send { from: None, urgent: true, .. } => Err(EncodeError::NoNode),
            Control::Exit { from, to, by, reason } => match (by, reason) {
                (ExitBy::Link, None) => parts(out, op::PAYLOAD_EXIT, &[from, to]),
                (ExitBy::Request, None) => parts(out, op::PAYLOAD_EXIT2, &[from, to]),
                (ExitBy::Link, Some(reason)) => parts(out, op::EXIT, &[from, to, reason]),
                (ExitBy::Request, Some(reason)) => parts(out, op::EXIT2, &[from, to, reason]),
            },
            Control::Unlink { id: Some(id), from, to } => parts(out, op::UNLINK_ID, &[id, from, to]),
            Control::Unlink { id: None, from, to } => parts(out, op::UNLINK, &[from, to]),
            Control::UnlinkAck { id, from, to } => parts(out, op::UNLINK_ID_ACK, &[id, from, to]),
            Control::GroupLeader { from, to } => parts(out, op::GROUP_LEADER, &[from, to]),
            Control::Monitor { from, to, reference } => parts(out, op::MONITOR_P, &[from, to, reference]),
            Control::Demonitor { from, to, reference } => parts(out, op::DEMONITOR_P, &[from, to, reference]),
            Control::Down { from, to, reference, reason: Some(reason) } => {
                parts(out, op::MONITOR_P_EXIT, &[from, to, reference, reason])
            }
            Control::Down { from, to, reference, reason: None } => {
                parts(out, op::PAYLOAD_MONITOR_P_EXIT, &[from, to, reference])
            }
            Control::SpawnRequest(request) => {
                let SpawnRequest { reference, from, group_leader, function, options } = &**request;
                parts(out, op::SPAWN_REQUEST, &[reference, from, group_leader, function, options])
            }
            Control::SpawnReply { reference, to, linked, monitored, result } => {
                let flags = i64::from(*linked) * LINKED + i64::from(*monitored) * MONITORED;
                let result: &dyn ToTerm = match result {
                    Ok(pid) => pid,
                    Err(why) => why,
                };
                parts(out, op::SPAWN_REPLY, &[reference, to, &flags, result])
            }
        }
    }
}

/// Stands where older nodes have had a cookie.
struct Unused;

impl ToTerm for Unused {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.name("")
    }
}

/// Writes a control message of these parts.
fn parts(out: &mut Encoder<'_>, number: u8, parts: &[&dyn ToTerm]) -> Result<(), EncodeError> {
    out.tuple(parts.len() + 1)?;
    out.integer(i64::from(number));
    parts.iter().try_for_each(|part| part.to_term(out))
}

fn unknown(number: i64) -> DecodeError {
    DecodeError::refused(format!("there is no control message {number}"))
}

/// Reads the parts of the control message `number`, and returns how many elements the tuple has by that.
fn read(number: u8, input: &mut Decoder<'_>) -> Result<(Control, usize), DecodeError> {
    // The elements are read in their order, so a message that is too short fails at its end.
    Ok(match number {
        op::LINK => (Control::Link { from: input.pid()?, to: input.pid()? }, 3),
        op::SEND | op::SEND_TT => {
            input.skip()?;
            let to = Target::Pid(input.pid()?);
            let traced = number == op::SEND_TT;
            sent(None, to, traced, 3, input)?
        }
        op::SEND_SENDER | op::SEND_SENDER_TT => {
            let (from, to) = (input.pid()?, Target::Pid(input.pid()?));
            sent(Some(from), to, number == op::SEND_SENDER_TT, 3, input)?
        }
        op::ALIAS_SEND | op::ALIAS_SEND_TT => {
            let (from, to) = (input.pid()?, Target::Alias(input.reference()?));
            sent(Some(from), to, number == op::ALIAS_SEND_TT, 3, input)?
        }
        op::REG_SEND | op::REG_SEND_TT => {
            let from = input.pid()?;
            input.skip()?;
            let to = Target::Name(input.owned_atom()?);
            sent(Some(from), to, number == op::REG_SEND_TT, 4, input)?
        }
        op::ALTACT_SIG_SEND => {
            let flags = input.i64()?;
            if flags & altact::EXIT != 0 {
                return Err(DecodeError::refused("an exit signal that has not been agreed on"));
            }
            let (from, to) = (input.pid()?, Target::from_term(input)?);
            let (send, elements) = sent(Some(from), to, flags & altact::TOKEN != 0, 4, input)?;
            match send {
                Control::Send { from, to, .. } => {
                    (Control::Send { from, to, urgent: flags & altact::URGENT != 0 }, elements)
                }
                other => (other, elements),
            }
        }
        op::EXIT | op::EXIT2 => exit(number == op::EXIT, false, true, input)?,
        op::EXIT_TT | op::EXIT2_TT => exit(number == op::EXIT_TT, true, true, input)?,
        op::PAYLOAD_EXIT | op::PAYLOAD_EXIT2 => exit(number == op::PAYLOAD_EXIT, false, false, input)?,
        op::PAYLOAD_EXIT_TT | op::PAYLOAD_EXIT2_TT => {
            exit(number == op::PAYLOAD_EXIT_TT, true, false, input)?
        }
        op::UNLINK => (Control::Unlink { id: None, from: input.pid()?, to: input.pid()? }, 3),
        op::UNLINK_ID => {
            let id = unlink_id(input)?;
            (Control::Unlink { id: Some(id), from: input.pid()?, to: input.pid()? }, 4)
        }
        op::UNLINK_ID_ACK => {
            let id = unlink_id(input)?;
            (Control::UnlinkAck { id, from: input.pid()?, to: input.pid()? }, 4)
        }
        op::GROUP_LEADER => (Control::GroupLeader { from: input.pid()?, to: input.pid()? }, 3),
        op::MONITOR_P => {
            let (from, to) = (input.pid()?, Target::from_term(input)?);
            (Control::Monitor { from, to, reference: input.reference()? }, 4)
        }
        op::DEMONITOR_P => {
            let (from, to) = (input.pid()?, Target::from_term(input)?);
            (Control::Demonitor { from, to, reference: input.reference()? }, 4)
        }
        op::MONITOR_P_EXIT | op::PAYLOAD_MONITOR_P_EXIT => {
            let (from, to) = (Target::from_term(input)?, input.pid()?);
            let reference = input.reference()?;
            let here = number == op::MONITOR_P_EXIT;
            let reason = if here { Some(input.build()?) } else { None };
            (Control::Down { from, to, reference, reason }, if here { 5 } else { 4 })
        }
        op::SPAWN_REQUEST | op::SPAWN_REQUEST_TT => {
            let request = SpawnRequest {
                reference: input.reference()?,
                from: input.pid()?,
                group_leader: input.pid()?,
                function: FromTerm::from_term(input)?,
                options: input.build()?,
            };
            let traced = number == op::SPAWN_REQUEST_TT;
            (Control::SpawnRequest(Box::new(request)), 6 + traces(traced, input)?)
        }
        op::SPAWN_REPLY | op::SPAWN_REPLY_TT => {
            let (reference, to, flags) = (input.reference()?, input.pid()?, input.i64()?);
            let result = match input.kind()? {
                Kind::Atom => Err(input.owned_atom()?),
                _ => Ok(input.pid()?),
            };
            let (linked, monitored) = (flags & LINKED != 0, flags & MONITORED != 0);
            let reply = Control::SpawnReply { reference, to, linked, monitored, result };
            (reply, 5 + traces(number == op::SPAWN_REPLY_TT, input)?)
        }
        other => return Err(unknown(i64::from(other))),
    })
}

/// Passes over the token of a trace where there is one, and returns how many elements that is.
fn traces(traced: bool, input: &mut Decoder<'_>) -> Result<usize, DecodeError> {
    if traced {
        input.skip()?;
    }
    Ok(usize::from(traced))
}

fn sent(
    from: Option<Pid>,
    to: Target,
    traced: bool,
    elements: usize,
    input: &mut Decoder<'_>,
) -> Result<(Control, usize), DecodeError> {
    let elements = elements + traces(traced, input)?;
    Ok((Control::Send { from, to, urgent: false }, elements))
}

fn exit(
    link: bool,
    traced: bool,
    here: bool,
    input: &mut Decoder<'_>,
) -> Result<(Control, usize), DecodeError> {
    let (from, to) = (input.pid()?, input.pid()?);
    let elements = 3 + traces(traced, input)? + usize::from(here);
    let reason = if here { Some(input.build()?) } else { None };
    let by = if link { ExitBy::Link } else { ExitBy::Request };
    Ok((Control::Exit { from, to, by, reason }, elements))
}

/// Reads the number of an unlink, of which 0 is none.
fn unlink_id(input: &mut Decoder<'_>) -> Result<u64, DecodeError> {
    match u64::from_term(input)? {
        0 => Err(Why::OutOfRange("the number of an unlink").into()),
        id => Ok(id),
    }
}

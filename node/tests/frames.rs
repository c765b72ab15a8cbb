//! Packets, frames with their atom cache and fragments, and control messages.

#[path = "support/random.rs"]
mod random;

use std::time::{Duration, Instant};

use twoply_node::wire::{
    Control, DecodeError, Encoder, ExitBy, Flags, FrameError, Inbound, Limits, Message, Packets,
    SpawnRequest, Target, Term, ToTerm, to_bytes, write_frame,
};

const LIMITS: Limits =
    Limits { frame: 1 << 16, message: 1 << 16, sequences: 8, pending: 1 << 17, waiting: 1 << 17 };

fn inbound() -> Inbound {
    Inbound::new(Flags::OFFERED, LIMITS)
}

/// The bytes of a term, without its version.
fn bare(term: &dyn ToTerm) -> Vec<u8> {
    let mut bytes = Vec::new();
    term.to_term(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

/// A send to a pid, whose node is atom 0 of the header, in front of a payload.
const SEND: &[u8] = &[104, 3, 97, 2, 119, 0, 88, 82, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];

fn payload(message: &Message) -> Result<Term, DecodeError> {
    let mut payload = message.payload();
    let term = payload.term()?.to_term()?;
    payload.finish().map(|()| term)
}

/// Every control message, each in its forms.
fn controls(random: &mut fastrand::Rng) -> Vec<Control> {
    let (from, to) = (random::pid(random), random::pid(random));
    let (name, reference) = (random::atom(random), random::reference(random));
    let targets = [Target::Pid(to.clone()), Target::Name(name.clone()), Target::Alias(reference.clone())];
    let mut all = vec![
        Control::Link { from: from.clone(), to: to.clone() },
        Control::Send { from: None, to: Target::Pid(to.clone()), urgent: false },
        Control::Unlink { id: Some(u64::MAX), from: from.clone(), to: to.clone() },
        Control::Unlink { id: None, from: from.clone(), to: to.clone() },
        Control::UnlinkAck { id: 7, from: from.clone(), to: to.clone() },
        Control::GroupLeader { from: from.clone(), to: to.clone() },
    ];
    for urgent in [false, true] {
        let send = |to: &Target| Control::Send { from: Some(from.clone()), to: to.clone(), urgent };
        all.extend(targets.iter().map(send));
    }
    for reason in [None, Some(random::term(random, 2))] {
        for by in [ExitBy::Link, ExitBy::Request] {
            all.push(Control::Exit { from: from.clone(), to: to.clone(), by, reason: reason.clone() });
        }
        for target in &targets[..2] {
            let reference = reference.clone();
            all.push(Control::Down {
                from: target.clone(),
                to: to.clone(),
                reference,
                reason: reason.clone(),
            });
        }
    }
    for target in &targets[..2] {
        let (from, to, reference) = (from.clone(), target.clone(), reference.clone());
        all.push(Control::Monitor { from: from.clone(), to: to.clone(), reference: reference.clone() });
        all.push(Control::Demonitor { from, to, reference });
    }
    all.push(Control::SpawnRequest(Box::new(SpawnRequest {
        reference: reference.clone(),
        from: from.clone(),
        group_leader: from.clone(),
        function: (name.clone(), name.clone(), 3),
        options: Term::List(vec![Term::atom("monitor")]),
    })));
    for result in [Ok(from), Err(name)] {
        let (linked, monitored) = (result.is_ok(), result.is_err());
        all.push(Control::SpawnReply {
            reference: reference.clone(),
            to: to.clone(),
            linked,
            monitored,
            result,
        });
    }
    all
}

#[test]
fn every_control_message_is_the_same_after_a_round_trip() {
    let mut random = fastrand::Rng::with_seed(5);
    for agreed in [Flags::OFFERED, Flags::OFFERED - Flags::DIST_HDR_ATOM_CACHE] {
        let mut inbound = Inbound::new(agreed, Limits::default());
        for _ in 0..50 {
            for control in controls(&mut random) {
                let (term, mut bytes) = (random::term(&mut random, 3), vec![1, 2, 3]);
                write_frame(agreed, &control, &mut bytes, |out| out.value(&term)).unwrap();
                let mut packets = Packets::frames(1 << 20);
                let frame = packets.next(&mut &bytes[3..]).unwrap().unwrap();
                let message = inbound.frame(frame).unwrap().unwrap();
                assert_eq!(message.control(), &control);
                assert_eq!(payload(&message).ok(), control.has_payload().then_some(term));
            }
        }
    }
}

#[test]
fn traced_and_old_control_messages_are_read() {
    let mut random = fastrand::Rng::with_seed(6);
    let (from, to, reference) =
        (random::pid(&mut random), random::pid(&mut random), random::reference(&mut random));
    let (reason, token) = (Term::atom("why"), Term::Tuple(vec![1.into(), 2.into()]));
    let read = |parts: &[&dyn ToTerm]| {
        let mut bytes = vec![131, 68, 0, 104, parts.len() as u8];
        parts.iter().for_each(|part| bytes.extend(bare(part)));
        bytes.extend([106]);
        inbound().frame(bytes.clone()).or_else(|_| {
            bytes.pop();
            inbound().frame(bytes)
        })
    };
    let control = |parts: &[&dyn ToTerm]| read(parts).unwrap().unwrap().into_control();
    let send = Control::Send { from: Some(from.clone()), to: Target::Pid(to.clone()), urgent: false };
    assert_eq!(control(&[&23, &from, &to, &token]), send);
    let named = |by| Control::Exit { from: from.clone(), to: to.clone(), by, reason: Some(reason.clone()) };
    assert_eq!(control(&[&13, &from, &to, &token, &reason]), named(ExitBy::Link));
    assert_eq!(control(&[&18, &from, &to, &token, &reason]), named(ExitBy::Request));
    let paid = |by| Control::Exit { from: from.clone(), to: to.clone(), by, reason: None };
    assert_eq!(control(&[&25, &from, &to, &token]), paid(ExitBy::Link));
    assert_eq!(control(&[&27, &from, &to, &token]), paid(ExitBy::Request));
    let alias =
        Control::Send { from: Some(from.clone()), to: Target::Alias(reference.clone()), urgent: false };
    assert_eq!(control(&[&34, &from, &reference, &token]), alias);
    let urgent =
        Control::Send { from: Some(from.clone()), to: Target::Alias(reference.clone()), urgent: true };
    assert_eq!(control(&[&37, &7, &from, &reference, &token]), urgent);
    assert!(matches!(
        control(&[&16, &from, &Term::atom(""), &Term::atom("name"), &token]),
        Control::Send { .. }
    ));
    // What is none.
    for parts in [
        [&99u8 as &dyn ToTerm, &from, &to].as_slice(),
        &[&1, &from],
        &[&1, &from, &to, &to],
        &[&1, &from, &reference],
        &[&35, &0, &from, &to],
        &[&-1, &from, &to],
        &[&37, &16, &from, &to],
    ] {
        assert!(matches!(read(parts), Err(FrameError::Control(_))), "{}", bare(parts[0]).len());
    }
    assert!(matches!(inbound().frame(vec![131, 68, 0, 104, 0]), Err(FrameError::Control(_))));
}

#[test]
fn atoms_are_cached_and_referred_to() {
    let mut inbound = inbound();
    // Three atoms, new: flags 8 | segment; entries 1, 255, 0; and then {ok, long} as a payload.
    let new = [&[131, 68, 3, 0x88, 0x0f, 1, 3], b"a@b".as_slice(), &[255, 2], b"ok", &[0, 1], b"x"].concat();
    let message = [new.as_slice(), SEND, &[104, 2, 82, 1, 82, 2]].concat();
    let first = inbound.frame(message.clone()).unwrap().unwrap();
    assert_eq!(payload(&first).unwrap().to_string(), "{ok,x}");
    assert!(first.payload_len() == 6 && matches!(first.control(), Control::Send { .. }));
    // Referred to: atom 0 is entry 1 of segment 0, atom 1 entry 0 of segment 7.
    let again = [&[131, 68, 2, 0x70, 0, 1, 0], SEND, &[82, 1]].concat();
    assert_eq!(payload(&inbound.frame(again).unwrap().unwrap()).unwrap().to_string(), "x");
    // An entry may be replaced, and one of another segment is another.
    let other = [&[131, 68, 1, 0x09, 1, 3], b"c@d".as_slice(), SEND, &[82, 0]].concat();
    assert_eq!(payload(&inbound.frame(other).unwrap().unwrap()).unwrap().to_string(), "c@d");
    let unknown = [&[131, 68, 1, 0, 2], SEND, &[106]].concat();
    assert_eq!(inbound.frame(unknown).unwrap_err(), FrameError::NotCached(2));
    // The payload is not looked at; what refers beyond the header fails when it is.
    let beyond = [&[131, 68, 1, 0, 1], SEND, &[82, 1]].concat();
    assert!(payload(&inbound.frame(beyond).unwrap().unwrap()).is_err());
    for end in 2..new.len() {
        assert!(self::inbound().frame(message[..end].to_vec()).is_err());
    }
}

#[test]
fn a_message_has_the_atoms_of_its_own_header_alone() {
    let mut random = fastrand::Rng::with_seed(7);
    // Each peer tells its own atoms, in the same entries.
    let mut peers = [(); 2].map(|()| (inbound(), vec![String::new(); 50]));
    let mut kept = Vec::new();
    for round in 0..3_000 {
        let (inbound, known) = &mut peers[random.usize(..2)];
        let most = if random.bool() { 5 } else { 50 };
        let (count, new) = match known[0].is_empty() {
            true => (50, 50),
            // Some are new, or none is.
            false => (random.usize(1..most), random.usize(..6).saturating_sub(3)),
        };
        let mut header = vec![count as u8];
        // The half behind the flags of the last one says that lengths have a byte.
        let flags: Vec<_> = (0..=count).map(|index| if index < new.min(count) { 8 } else { 0 }).collect();
        header.extend(flags.chunks(2).map(|two| two[0] | two.get(1).unwrap_or(&0) << 4));
        for (entry, text) in known.iter_mut().enumerate().take(count) {
            header.push(entry as u8);
            if entry < new {
                *text = format!("{round}{}", "x".repeat(entry));
                header.push(text.len() as u8);
                header.extend(text.as_bytes());
            }
        }
        // Which one the payload refers to: now and then one that only earlier messages have.
        let number = random.usize(0..count + 5);
        let body = [SEND, &[82, number as u8]].concat();
        let frame = match random.u8(..4) {
            0 => fragment(true, round, 1, &[header, body].concat()),
            _ => [&[131, 68], header.as_slice(), &body].concat(),
        };
        let message = inbound.frame(frame).unwrap().unwrap();
        match known[..count].get(number) {
            Some(text) => assert!(payload(&message).unwrap().is_atom(text), "round {round}"),
            None => assert!(payload(&message).is_err(), "atom {number} of {count}"),
        }
        // Whoever keeps a message keeps its atoms; it may be given back late, or to somebody else.
        kept.push(message);
        if random.u8(..4) > 0 {
            let message = kept.swap_remove(random.usize(kept.len().saturating_sub(3)..kept.len()));
            peers[random.usize(..10) / 9].0.give_back(message);
        }
    }
}

#[test]
fn a_message_that_another_peer_has_sent_brings_no_atoms() {
    let say = |inbound: &mut Inbound, header: &[u8]| {
        inbound.frame([&[131, 68], header, SEND, &[82, 0]].concat()).unwrap().unwrap()
    };
    let [mut one, mut two] = [(); 2].map(|()| inbound());
    // Each tells one atom, and refers to it.
    for (inbound, text) in [(&mut one, b"a"), (&mut two, b"b")] {
        say(inbound, &[1, 0x08, 0, 1, text[0]]);
    }
    let message = say(&mut one, &[1, 0, 0]);
    assert!(payload(&message).unwrap().is_atom("a"));
    two.give_back(message);
    assert!(payload(&say(&mut two, &[1, 0, 0])).unwrap().is_atom("b"));
}

#[test]
fn a_cache_holds_2048_long_atoms() {
    let mut inbound = inbound();
    let text = |entry: usize| format!("{entry:04}{}", "𝄞".repeat(251));
    for entry in 0..2048usize {
        let text = text(entry);
        // Long atoms: the half behind the flags of the last atom.
        let flags = 0x10 | 8 | (entry / 256) as u8;
        let head =
            [&[131, 68, 1, flags, entry as u8], &(text.len() as u16).to_be_bytes()[..], text.as_bytes()];
        let frame = [&head.concat(), SEND, &[82, 0]].concat();
        assert!(inbound.frame(frame).unwrap().is_some());
    }
    for entry in [0, 255, 256, 2047usize] {
        let frame = [&[131, 68, 1, (entry / 256) as u8, entry as u8], SEND, &[82, 0]].concat();
        let message = inbound.frame(frame).unwrap().unwrap();
        assert!(payload(&message).unwrap().is_atom(&text(entry)));
    }
    let too_long = ["x".repeat(256)].concat();
    let frame = [&[131, 68, 1, 0x18, 0, 1, 0], too_long.as_bytes(), SEND, &[106]].concat();
    assert_eq!(inbound.frame(frame).unwrap_err(), FrameError::Header);
}

fn fragment(first: bool, sequence: u64, left: u64, bytes: &[u8]) -> Vec<u8> {
    let head = if first { 69 } else { 70 };
    [&[131, head], &sequence.to_be_bytes()[..], &left.to_be_bytes(), bytes].concat()
}

#[test]
fn fragments_of_many_messages_come_by_turns() {
    let mut random = fastrand::Rng::with_seed(8);
    for _ in 0..100 {
        let mut inbound = inbound();
        let mut waiting: Vec<Vec<Vec<u8>>> = Vec::new();
        let mut texts = Vec::new();
        for sequence in 0..8u64 {
            // Each tells its own node and atom, under the same numbers: those of its first fragment count.
            let text = format!("atom{sequence}");
            let header = [
                &[2, 0x98, 0x00, 0, 3],
                b"a@b".as_slice(),
                &[sequence as u8, text.len() as u8],
                text.as_bytes(),
            ];
            let body = [SEND, &[104, 2, 82, 1], &bare(&"x".repeat(random.usize(..500)))].concat();
            let count = random.usize(1..6);
            let mut parts: Vec<Vec<u8>> = Vec::new();
            for (index, part) in body.chunks(body.len().div_ceil(count)).enumerate() {
                let total = body.chunks(body.len().div_ceil(count)).len();
                let part = if index == 0 { [header.concat(), part.to_vec()].concat() } else { part.to_vec() };
                parts.push(fragment(index == 0, sequence, (total - index) as u64, &part));
            }
            parts.reverse();
            waiting.push(parts);
            texts.push(text);
        }
        let mut seen = Vec::new();
        while waiting.iter().any(|parts| !parts.is_empty()) {
            let Some(frame) = waiting[random.usize(..8)].pop() else { continue };
            if let Some(message) = inbound.frame(frame).unwrap() {
                let term = payload(&message).unwrap();
                seen.push(term.as_tuple().unwrap()[0].to_string());
            }
        }
        seen.sort();
        assert_eq!((seen, inbound.begun()), (texts, 0));
    }
}

#[test]
fn fragments_out_of_order_or_too_many_are_refused() {
    let start = |sequence, left| fragment(true, sequence, left, &[&[0], SEND].concat());
    let mut one = inbound();
    assert_eq!(one.frame(start(1, 0)).unwrap_err(), FrameError::OutOfOrder);
    assert_eq!(one.frame(fragment(false, 1, 1, &[])).unwrap_err(), FrameError::OutOfOrder, "not begun");
    assert!(one.frame(start(1, 3)).unwrap().is_none());
    assert_eq!(one.frame(start(1, 1)).unwrap_err(), FrameError::OutOfOrder, "begun already");
    let mut one = inbound();
    assert!(one.frame(start(1, 3)).unwrap().is_none());
    assert_eq!(one.frame(fragment(false, 1, 1, &[])).unwrap_err(), FrameError::OutOfOrder, "one is left out");
    let mut many = inbound();
    for sequence in 0..8 {
        assert!(many.frame(start(sequence, u64::MAX)).unwrap().is_none());
    }
    assert_eq!(many.frame(start(9, 2)).unwrap_err(), FrameError::TooManyFragments);
    let mut long = inbound();
    assert!(long.frame(start(1, 9)).unwrap().is_none());
    assert!(long.frame(fragment(false, 1, 8, &[0; 60_000])).unwrap().is_none());
    let error = long.frame(fragment(false, 1, 7, &[0; 6_000])).unwrap_err();
    assert_eq!(error, FrameError::MessageTooLong { limit: 1 << 16 });
    let mut pending = inbound();
    for sequence in 0..2 {
        assert!(pending.frame(start(sequence, 9)).unwrap().is_none());
        assert!(pending.frame(fragment(false, sequence, 8, &[0; 65_000])).unwrap().is_none());
    }
    assert!(pending.frame(start(2, 9)).unwrap().is_none());
    let error = pending.frame(fragment(false, 2, 8, &[0; 2_000])).unwrap_err();
    assert_eq!(error, FrameError::TooManyFragments);
}

#[test]
fn frames_of_the_other_kind_are_refused() {
    let plain = [&[112], &to_bytes(&(5u8,)).unwrap()[..]].concat();
    assert_eq!(inbound().frame(plain).unwrap_err(), FrameError::Kind(112));
    let mut old = Inbound::new(Flags::MANDATORY, LIMITS);
    assert_eq!(old.frame(vec![131, 68, 0]).unwrap_err(), FrameError::Kind(131));
    let with_agreed = Flags::OFFERED.agreed(Flags::OFFERED - Flags::DIST_HDR_ATOM_CACHE);
    assert!(!with_agreed.contains(Flags::FRAGMENTS), "no fragments without headers");
    // A payload that is missing, and one that nobody expects.
    let pid = random::pid(&mut fastrand::Rng::with_seed(1));
    let link = [&[131, 68, 0, 104, 3, 97, 1][..], &bare(&pid), &bare(&pid)].concat();
    assert!(inbound().frame(link.clone()).is_ok());
    assert!(inbound().frame([link, vec![106]].concat()).is_err());
    assert!(inbound().frame([&[131, 68, 0], SEND].concat()).is_err());
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let pid = random::pid(&mut fastrand::Rng::with_seed(1));
    let mut out = b"before".to_vec();
    let send = Control::Send { from: None, to: Target::Pid(pid), urgent: false };
    write_frame(Flags::OFFERED, &send, &mut out, |out| out.value(&(1, f64::NAN))).unwrap_err();
    assert_eq!(out, b"before");
}

#[test]
fn packets_are_cut_wherever_the_stream_is() {
    let mut stream = Vec::new();
    let sent: Vec<Vec<u8>> = [0usize, 1, 3, 0, 70_000, 2].iter().map(|len| vec![7; *len]).collect();
    for packet in &sent {
        stream.extend((packet.len() as u32).to_be_bytes());
        stream.extend(packet);
    }
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..50 {
        let (mut packets, mut rest, mut seen) = (Packets::frames(70_000), stream.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (mut piece, left) = rest.split_at(random.usize(1..=rest.len().min(20_000)));
            rest = left;
            while let Some(packet) = packets.next(&mut piece).unwrap() {
                seen.push(packet);
            }
            assert!(piece.is_empty());
        }
        assert_eq!((&seen, packets.is_inside()), (&sent, false));
    }
    let long = Packets::frames(10).next(&mut [0, 0, 0, 11].as_slice());
    assert_eq!(long, Err(FrameError::TooLong { limit: 10 }));
    assert!(Packets::handshake(false).next(&mut [4, 1].as_slice()).is_err(), "1 KiB at most");
    assert_eq!(Packets::handshake(true).next(&mut [0, 0, 0, 1, 9].as_slice()), Ok(Some(vec![9])));
}

/// How long mutations are tried.
const WHILE: Duration = Duration::from_secs(10);

#[test]
fn mutated_frames_never_panic() {
    let seed = fastrand::u64(..);
    // It is shown when this fails.
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut inbound = inbound();
    let begun = Instant::now();
    for round in (0..).take_while(|_| begun.elapsed() < WHILE) {
        for control in controls(&mut random) {
            let mut bytes = Vec::new();
            write_frame(Flags::OFFERED, &control, &mut bytes, |out| out.value(&random::term(&mut random, 3)))
                .unwrap();
            let mut frame = bytes.split_off(4);
            if round % 4 == 0 {
                frame[1] = 69;
                frame.splice(2..2, (0..16).map(|_| random.u8(..3)));
            }
            for _ in 0..random.usize(..4) {
                let at = random.usize(..frame.len());
                frame[at] = random.u8(..);
            }
            frame.truncate(random.usize(1..=frame.len()));
            match inbound.frame(frame) {
                Ok(Some(message)) => drop(payload(&message)),
                Ok(None) => {}
                Err(_) => inbound = self::inbound(),
            }
        }
    }
}

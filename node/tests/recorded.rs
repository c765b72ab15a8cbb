//! Traffic of real nodes, played to the protocol of this crate. `fixtures/README.md` says what was recorded,
//! and how it is recorded again.

#[path = "support/recorder.rs"]
mod recorder;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, process};

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use twoply_node::wire::{
    Acceptor, Asked, Connector, Flags, FrameError, Inbound, Limits, Message, Own, Packets, Peer, Progress,
    Status, Term,
};

use self::recorder::{CALLED, Recorder, Said};

const COOKIE: &str = "biscuit";
const RECORDINGS: [&str; 2] = ["otp", "c_node"];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// Reads what was recorded.
fn said(name: &str) -> Said {
    let mut bytes = Vec::new();
    let file = fs::File::open(here(&format!("fixtures/{name}.bin"))).unwrap();
    ZlibDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let (len, rest) = bytes.split_first_chunk().unwrap();
    let (calling, called) = rest.split_at(u32::from_be_bytes(*len) as usize);
    (calling.to_vec(), called.to_vec())
}

/// What one of two nodes has said: the messages of the handshake, and the frames after them.
struct Side {
    handshake: Vec<Vec<u8>>,
    frames: Vec<Vec<u8>>,
}

impl Side {
    fn new(bytes: &[u8], messages: usize) -> Side {
        let (mut packets, inside) = cut(bytes, messages);
        assert!(!inside, "it ends with a whole frame");
        let mut frames = packets.split_off(messages);
        // An empty one is a tick.
        frames.retain(|frame| !frame.is_empty());
        Side { handshake: packets, frames }
    }
}

/// Cuts what was said into that many messages of a handshake and the frames after them. Returns true with
/// them if one has begun and is not whole.
fn cut(mut bytes: &[u8], messages: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut handshake, mut frames) = (Packets::handshake(false), Packets::frames(1 << 20));
    let mut all = Vec::new();
    loop {
        let packets = if all.len() < messages { &mut handshake } else { &mut frames };
        match packets.next(&mut bytes).unwrap() {
            Some(packet) => all.push(packet),
            None => return (all, packets.is_inside()),
        }
    }
}

/// Returns both sides: two messages of the handshake are the caller's, three the other node's.
fn sides(name: &str) -> (Side, Side) {
    let (calling, called) = said(name);
    (Side::new(&calling, 2), Side::new(&called, 3))
}

/// Reads a node as it presents itself in its message `N`, and the challenge that stands behind the flags of
/// the one that is called.
fn own(message: &[u8], called: bool) -> (Own, u32) {
    let number = |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().unwrap());
    assert_eq!(message[0], b'N');
    let flags = Flags::from_bits(u64::from(number(1)) << 32 | u64::from(number(5)));
    let at = if called { 13 } else { 9 };
    let name = String::from_utf8(message[at + 6..].to_vec()).unwrap();
    (Own { name, creation: number(at), flags, cookie: COOKIE.to_owned() }, number(9))
}

/// Plays each side of a handshake to ours in place of the other one. Ours says the same, byte for byte.
/// Returns what the two have agreed on.
fn meet(calling: &Side, called: &Side) -> Flags {
    let (caller, _) = own(&calling.handshake[0], false);
    let (other, challenge) = own(&called.handshake[1], true);
    assert_eq!(other.name, CALLED);
    let their_challenge = u32::from_be_bytes(calling.handshake[1][1..5].try_into().unwrap());
    let (mut connector, hello) = Connector::new(caller.clone(), CALLED, their_challenge);
    assert_eq!(hello, calling.handshake[0]);
    assert_eq!(connector.message(&called.handshake[0]).unwrap(), Progress::Wait);
    assert_eq!(
        connector.message(&called.handshake[1]).unwrap(),
        Progress::Send(calling.handshake[1].clone())
    );
    let agreed = caller.flags.agreed(other.flags);
    let peer = Peer { name: other.name.clone(), creation: other.creation, agreed };
    assert_eq!(connector.message(&called.handshake[2]).unwrap(), Progress::Done(peer));
    let mut acceptor = Acceptor::new(other, challenge);
    let asked = acceptor.message(&calling.handshake[0]).unwrap();
    assert_eq!(asked, Asked::Status { name: caller.name.clone() });
    assert_eq!(acceptor.answer(Status::Ok), called.handshake[..2]);
    let peer = Peer { name: caller.name, creation: caller.creation, agreed };
    let last = called.handshake[2].clone();
    assert_eq!(acceptor.message(&calling.handshake[1]).unwrap(), Asked::Done { last, peer });
    agreed
}

fn payload(message: &Message) -> Option<Term> {
    let mut payload = message.payload();
    let term = payload.term().ok()?.to_term().ok()?;
    payload.finish().ok().map(|()| term)
}

/// Returns a line for each message: what it does, and its payload.
fn shown(agreed: Flags, side: &Side) -> Vec<String> {
    let mut inbound = Inbound::new(agreed, Limits::default());
    let mut lines = Vec::new();
    for frame in &side.frames {
        if let Some(message) = inbound.frame(frame.clone()).unwrap() {
            let mut line = format!("{:?}", message.control());
            if message.control().has_payload() {
                let payload = payload(&message).unwrap().to_string();
                line += &format!(" {}", payload.chars().take(300).collect::<String>());
            }
            lines.push(line);
        }
    }
    assert_eq!(inbound.begun(), 0, "nothing is left that is not whole");
    lines
}

fn transcript(name: &str) -> String {
    let (calling, called) = sides(name);
    let agreed = meet(&calling, &called);
    let lines = [vec![format!("{agreed}")], shown(agreed, &calling), shown(agreed, &called)];
    lines.map(|lines| lines.join("\n")).join("\n\n") + "\n"
}

#[test]
fn what_nodes_have_said_is_understood() {
    if env::var_os("TWOPLY_RECORD").is_some() {
        record();
    }
    for name in RECORDINGS {
        let expected = fs::read_to_string(here(&format!("fixtures/{name}.txt"))).unwrap();
        assert_eq!(transcript(name), expected, "{name}");
    }
}

#[test]
fn what_was_recorded_has_all_that_it_is_for() {
    let (calling, called) = sides("otp");
    let agreed = meet(&calling, &called);
    assert!(agreed.contains(Flags::DIST_HDR_ATOM_CACHE | Flags::FRAGMENTS | Flags::EXIT_PAYLOAD));
    let kind = |kind: u8| calling.frames.iter().filter(move |frame| frame[1] == kind).count();
    assert!(kind(69) == 1 && kind(70) > 0, "a message in fragments");
    // Atoms that are told, and atoms that were told before: the flags of the first say which.
    let with_atoms = || calling.frames.iter().filter(|frame| frame[1] == 68 && frame[2] > 0);
    assert!(with_atoms().any(|frame| frame[3] & 8 != 0) && with_atoms().any(|frame| frame[3] & 8 == 0));
    let (calling, called) = sides("c_node");
    assert!(!meet(&calling, &called).contains(Flags::DIST_HDR_ATOM_CACHE), "a C node has no cache");
    assert!(calling.frames.iter().all(|frame| frame[0] == 112));
}

/// Returns lengths at which bytes are cut: all that are below `len`, or some of many.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(len / 400 + 1)
}

#[test]
fn a_truncated_frame_is_an_error_or_no_message() {
    for name in RECORDINGS {
        let (calling, called) = sides(name);
        let agreed = meet(&calling, &called);
        for side in [calling, called] {
            for (index, frame) in side.frames.iter().enumerate() {
                for len in cuts(frame.len()) {
                    let mut inbound = Inbound::new(agreed, Limits::default());
                    for before in &side.frames[..index] {
                        inbound.frame(before.clone()).unwrap();
                    }
                    let cut = inbound.frame(frame[..len].to_vec());
                    let whole = match &cut {
                        // Its payload has not been looked at yet.
                        Ok(Some(message)) => !message.control().has_payload() || payload(message).is_some(),
                        Ok(None) => false,
                        Err(FrameError::TooLong { .. } | FrameError::MessageTooLong { .. }) => true,
                        Err(_) => false,
                    };
                    assert!(!whole, "{name}, frame {index}, {len} of {}: {cut:?}", frame.len());
                }
            }
        }
    }
}

#[test]
fn a_truncated_stream_is_waited_for() {
    for name in RECORDINGS {
        let (calling, called) = said(name);
        for (bytes, messages) in [(calling, 2), (called, 3)] {
            let (whole, _) = cut(&bytes, messages);
            for len in cuts(bytes.len()) {
                let (packets, inside) = cut(&bytes[..len], messages);
                assert!(whole.starts_with(&packets) && packets.len() < whole.len());
                let heads = 2 * packets.len().min(messages) + 4 * packets.len().saturating_sub(messages);
                let there = heads + packets.iter().map(Vec::len).sum::<usize>();
                assert_eq!(inside, there < len, "{name} up to {len}");
            }
        }
    }
}

#[test]
fn a_truncated_handshake_is_an_error() {
    for name in RECORDINGS {
        let (calling, called) = sides(name);
        let ((caller, _), (other, challenge)) =
            (own(&calling.handshake[0], false), own(&called.handshake[1], true));
        for (index, message) in called.handshake.iter().enumerate() {
            for len in 0..message.len() {
                let mut connector = Connector::new(caller.clone(), CALLED, 1).0;
                for before in &called.handshake[..index] {
                    connector.message(before).unwrap();
                }
                connector.message(&message[..len]).unwrap_err();
            }
        }
        for (index, message) in calling.handshake.iter().enumerate() {
            for len in 0..message.len() {
                let mut acceptor = Acceptor::new(other.clone(), challenge);
                if index == 1 {
                    acceptor.message(&calling.handshake[0]).unwrap();
                    acceptor.answer(Status::Ok);
                }
                acceptor.message(&message[..len]).unwrap_err();
            }
        }
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Records again what there is.
fn record() {
    let folder = env::temp_dir().join(format!("twoply-node-record-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    run(Command::new("erlc").arg("-o").arg(&folder).arg(here("record/otp.erl")));
    let c_node = folder.join("c_node");
    let source = here("record/c_node.c");
    let libraries = ["-I/usr/lib/erlang/usr/include", "-L/usr/lib/erlang/usr/lib", "-lei", "-lpthread"];
    run(Command::new("cc").arg("-o").arg(&c_node).arg(source).args(libraries));
    for name in RECORDINGS {
        let recorder = Recorder::start(COOKIE);
        match name {
            "otp" => recorder.run_erlang(&folder, name, COOKIE),
            _ => recorder.run(&c_node, COOKIE),
        }
        let (calling, called) = recorder.end();
        let mut zlib = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(&(calling.len() as u32).to_be_bytes()).unwrap();
        zlib.write_all(&calling).unwrap();
        zlib.write_all(&called).unwrap();
        fs::write(here(&format!("fixtures/{name}.bin")), zlib.finish().unwrap()).unwrap();
        fs::write(here(&format!("fixtures/{name}.txt")), transcript(name)).unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
}

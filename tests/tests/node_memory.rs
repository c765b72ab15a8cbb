//! The memory that a peer can make us take: at most 32 bytes for each byte that it sends, and 1 MiB.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::iter;
use std::time::{Duration, Instant};

use twoply_node::wire::{
    Atom, Charlist, Decoder, Flags, FromTerm, Inbound, Limits, Packets, Term, from_bytes,
};
use twoply_tests::Heap;

use self::bombs::bombs;

#[path = "node_memory/bombs.rs"]
mod bombs;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// A type that is much larger than the terms that make one.
type Wide = Option<(String, [Option<Charlist>; 3], Vec<f64>, Result<String, String>)>;

fn bounded(bytes: &[u8], what: &str) {
    let check = |read: &mut dyn FnMut(), how: &str| {
        let ((), most) = HEAP.most_during(read);
        let allowed = 32 * bytes.len() + (1 << 20);
        assert!(most <= allowed, "{what} as {how}: {most} bytes for {}", bytes.len());
    };
    check(&mut || drop(black_box(from_bytes::<Term>(bytes))), "a term");
    check(&mut || drop(black_box(from_bytes::<Vec<Wide>>(bytes))), "wide values");
    check(&mut || drop(black_box(from_bytes::<Vec<Vec<u64>>>(bytes))), "lists of lists");
    check(&mut || drop(black_box(from_bytes::<BTreeMap<Atom, Wide>>(bytes))), "an ordered map");
    check(&mut || drop(black_box(from_bytes::<HashMap<u64, Vec<Atom>>>(bytes))), "a map");
    check(&mut || drop(black_box(from_bytes::<(Charlist, VecDeque<String>)>(bytes))), "texts");
    check(&mut || drop(black_box(Decoder::new(&bytes[1..]).skip())), "nothing");
    check(&mut || drop(black_box(frames(bytes))), "frames");
}

/// Reads the bytes as a stream of frames after a first one.
fn frames(bytes: &[u8]) -> Option<Term> {
    let (mut packets, mut inbound) =
        (Packets::frames(1 << 20), Inbound::new(Flags::OFFERED, Limits::default()));
    let mut stream = bytes;
    let mut last = None;
    while let Ok(Some(frame)) = packets.next(&mut stream) {
        if let Ok(Some(message)) = inbound.frame(frame) {
            last = Term::from_term(&mut message.payload()).ok();
        }
    }
    last
}

/// What takes more than its bytes when it is no longer compressed, or promises to.
fn compressed() -> [(&'static str, Vec<u8>); 2] {
    let head = |size: u32, rest: &[u8]| [&[131, 80], &size.to_be_bytes()[..], rest].concat();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(&vec![106; 50 << 20]).unwrap();
    let zeros = zlib.finish().unwrap();
    [("a compressed bomb", head(50 << 20, &zeros)), ("a compressed lie", head(60 << 20, &[0; 100]))]
}

/// One test, since others would count as well.
#[test]
fn a_peer_makes_us_take_no_more_than_32_bytes_for_each_of_its_own() {
    for (what, bytes) in bombs().into_iter().chain(compressed()) {
        // What is compressed may grow by its ratio; its size is limited instead.
        if what == "a compressed bomb" {
            let (term, most) = HEAP.most_during(|| from_bytes::<Term>(&bytes));
            assert!(term.is_err() && most < 2 * (64 << 20), "{most}");
            continue;
        }
        bounded(&bytes, what);
    }
    let mut random = fastrand::Rng::with_seed(13);
    let bombs = bombs();
    for _ in 0..300 {
        let (what, bytes) = &bombs[random.usize(..bombs.len() - 2)];
        let mut bytes = bytes[..bytes.len().min(random.usize(6..4_000))].to_vec();
        for _ in 0..random.usize(..4) {
            let at = random.usize(1..bytes.len());
            bytes[at] = random.u8(..);
        }
        bounded(&bytes, what);
    }
    mutated_traffic(&recorded());
}

/// How long recorded traffic is changed.
const WHILE: Duration = Duration::from_secs(10);

/// Returns the frames of each side of real nodes, as they were recorded.
fn recorded() -> Vec<Vec<Vec<u8>>> {
    let mut sides = Vec::new();
    for name in ["otp", "c_node"] {
        let file = format!("{}/../node/tests/fixtures/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(File::open(file).unwrap()).read_to_end(&mut bytes).unwrap();
        let (len, rest) = bytes.split_first_chunk().unwrap();
        let (calling, called) = rest.split_at(u32::from_be_bytes(*len) as usize);
        for (mut stream, messages) in [(calling, 2), (called, 3)] {
            let mut handshake = Packets::handshake(false);
            (0..messages).for_each(|_| drop(handshake.next(&mut stream).unwrap().unwrap()));
            let mut packets = Packets::frames(1 << 20);
            sides.push(iter::from_fn(|| packets.next(&mut stream).unwrap()).collect());
        }
    }
    sides
}

/// Reads recorded frames of which some bytes are others, and some frames missing, twice there or cut.
fn mutated_traffic(sides: &[Vec<Vec<u8>>]) {
    let seed = fastrand::u64(..);
    // It is shown when this fails.
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    while begun.elapsed() < WHILE {
        let side = &sides[random.usize(..sides.len())];
        let first = random.usize(..side.len());
        let mut stream = Vec::new();
        for frame in side[first..].iter().take(random.usize(1..20)) {
            let mut frame = frame.clone();
            for _ in 0..random.usize(..3) {
                if frame.is_empty() {
                    continue;
                }
                let at = random.usize(..frame.len());
                match random.u8(..8) {
                    0 => frame.truncate(at),
                    1 => frame.insert(at, random.u8(..)),
                    _ => frame[at] = random.u8(..),
                }
            }
            for _ in 0..random.choice([0, 1, 1, 1, 1, 1, 1, 2]).unwrap_or(1) {
                stream.extend((frame.len() as u32).to_be_bytes());
                stream.extend(&frame);
            }
        }
        let (_, most) = HEAP.most_during(|| black_box(frames(&stream)));
        assert!(most <= 32 * stream.len() + (1 << 20), "{most} bytes for {}", stream.len());
    }
}

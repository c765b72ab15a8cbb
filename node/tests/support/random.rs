//! Random terms, and the forms in which a peer may write them.

use twoply_node::wire::{Atom, BigInt, BitString, Map, Pid, Reference, Term};

/// Makes a term that is nested at most `depth` deep.
pub(crate) fn term(random: &mut fastrand::Rng, depth: usize) -> Term {
    let kinds = if depth == 0 { 9 } else { 13 };
    match random.usize(..kinds) {
        0 => Term::Integer(border(random)),
        1 => big(random),
        2 => Term::Float(float(random)),
        3 => Term::Atom(atom(random)),
        4 => Term::Binary(bytes(random, 100).into()),
        5 => match BitString::new(bytes(random, 5), random.u8(1..8)) {
            Some(bits) => Term::Bits(bits),
            None => Term::List(Vec::new()),
        },
        6 => Term::from(pid(random)),
        7 => Term::from(reference(random)),
        8 => Term::List(bytes(random, 5).into_iter().map(|byte| Term::Integer(byte.into())).collect()),
        9 => Term::List(terms(random, depth)),
        10 => Term::Tuple(terms(random, depth)),
        11 => {
            let items = terms(random, depth);
            let tail = term(random, 0);
            Term::list_with_tail(items, tail)
        }
        _ => {
            let keys = terms(random, depth);
            let pairs = keys.into_iter().map(|key| (key, term(random, depth - 1))).collect();
            Map::new(pairs).map_or(Term::Integer(0), Term::Map)
        }
    }
}

fn terms(random: &mut fastrand::Rng, depth: usize) -> Vec<Term> {
    (0..random.usize(..5)).map(|_| term(random, depth - 1)).collect()
}

fn bytes(random: &mut fastrand::Rng, most: usize) -> Vec<u8> {
    (0..random.usize(..most)).map(|_| random.u8(..)).collect()
}

/// Makes a number that is near a border of some form of integers.
pub(crate) fn border(random: &mut fastrand::Rng) -> i64 {
    let base = 1i64.checked_shl(random.u32(..64)).unwrap_or(0);
    let near = base.wrapping_add(random.i64(-2..3));
    if random.bool() { near } else { near.wrapping_neg() }
}

fn big(random: &mut fastrand::Rng) -> Term {
    let mut magnitude = vec![1; random.usize(9..300)];
    random.fill(&mut magnitude[..8]);
    Term::Big(BigInt::new(random.bool(), &magnitude))
}

fn float(random: &mut fastrand::Rng) -> f64 {
    let number = f64::from_bits(random.u64(..));
    // OTP 25 takes 0.0 and -0.0 for the same.
    if number.is_finite() && number != 0.0 { number } else { 0.5 }
}

/// Makes an atom of one of the lengths and alphabets that matter.
pub(crate) fn atom(random: &mut fastrand::Rng) -> Atom {
    let c = random.choice(["a", "ö", "ł", "𝄞", " ", "'"]).unwrap_or("a");
    let len = random.choice([0, 1, 2, 63, 64, 255]).unwrap_or(1);
    Atom::new(c.repeat(len)).expect("at most 255 characters")
}

pub(crate) fn pid(random: &mut fastrand::Rng) -> Pid {
    Pid { node: node(), id: random.u32(..), serial: random.u32(..), creation: random.u32(1..) }
}

pub(crate) fn reference(random: &mut fastrand::Rng) -> Reference {
    let words: Vec<u32> = (0..random.usize(1..=5)).map(|_| random.u32(..)).collect();
    // The first word of three has 18 bits.
    let words: Vec<u32> = words.iter().map(|word| word & 0x3ffff).collect();
    Reference::new(node(), random.u32(1..), &words).expect("one to five words")
}

fn node() -> Atom {
    Atom::new("elsewhere@host").expect("short")
}

//! Terms, against those of an Erlang that is installed. Without one the test says that it is left out.

#[path = "support/erlang.rs"]
mod erlang;
#[path = "support/random.rs"]
mod random;

use std::fs;
use std::path::Path;

use twoply_node::wire::{Flags, Term, from_bytes, to_bytes};

use self::erlang::Erlang;

/// The ways of `term_to_binary` that `terms.erl` knows.
const OPTIONS: u8 = 7;

#[test]
fn terms_are_those_of_otp() {
    let Some(mut erlang) = Erlang::start() else { return };
    ours_come_back(&mut erlang);
    theirs_go_back(&mut erlang);
}

/// Random terms of ours are the same after Erlang has read and written them, in whatever way.
fn ours_come_back(erlang: &mut Erlang) {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let term = random::term(&mut random, 4);
        let bytes = to_bytes(&term).unwrap();
        for option in 0..OPTIONS {
            let again = erlang.ask(&[b"again", &[option], &bytes]);
            assert!(!again.is_empty(), "OTP does not read {term}");
            assert_eq!(from_bytes::<Term>(&again).unwrap(), term, "with options {option}");
        }
    }
    for shift in 0..64 {
        let number = Term::Integer((1i64 << shift).wrapping_sub(1));
        let again = erlang.ask(&[b"again", &[0], &to_bytes(&number).unwrap()]);
        assert_eq!(again, to_bytes(&number).unwrap(), "the same form of {number}");
    }
}

/// Terms of Erlang's, functions among them, are the same after a way through ours.
fn theirs_go_back(erlang: &mut Erlang) {
    let size = erlang.ask(&[b"size"]);
    let size = u32::from_be_bytes(size.try_into().unwrap());
    assert!(size > 50);
    for index in 0..size {
        let index = index.to_be_bytes();
        for option in 0..OPTIONS {
            let bytes = erlang.ask(&[b"term", &[option], &index]);
            let term: Term = from_bytes(&bytes).unwrap();
            let again = to_bytes(&term).unwrap();
            let same = erlang.ask(&[b"same", &index, &again]);
            assert_eq!(same, b"yes", "{term} with options {option}");
            assert_eq!(from_bytes::<Term>(&again).unwrap(), term);
        }
    }
}

#[test]
fn flags_are_those_of_the_header_that_is_installed() {
    let Some(header) = dist_header() else {
        return twoply_tests::skip("there is no dist.hrl to compare with");
    };
    let mut known = 0;
    for line in header.lines().filter_map(|line| line.strip_prefix("-define(DFLAG_")) {
        let (name, value) = line.split_once(',').unwrap();
        let Some((_, flag)) = Flags::ALL.iter().find(|(ours, _)| *ours == name) else {
            assert_eq!(name, "RESERVED", "a flag that is not known here");
            continue;
        };
        assert_eq!(flag.bits(), number(value), "{name}");
        known += 1;
    }
    // The form of sends of OTP 28 is in no header of before.
    assert!(known + 1 >= Flags::ALL.len(), "{known} of {}", Flags::ALL.len());
    let digest = header.split("-define(MANDATORY_DFLAGS_25,").nth(1).unwrap().split(").").next().unwrap();
    let named = Flags::ALL.iter().filter(|(name, _)| {
        digest
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|word| word.strip_prefix("DFLAG_") == Some(*name))
    });
    let named = named.fold(Flags::NONE, |all, (_, flag)| all | *flag);
    assert_eq!(named, Flags::DIGEST_25);
}

/// Reads `16#01).`, or `(16#01 bsl 32)).`.
fn number(text: &str) -> u64 {
    let text = text.split(").").next().unwrap().trim().trim_start_matches('(').trim_end_matches(')');
    let (digits, shift) = text.split_once(" bsl ").unwrap_or((text, "0"));
    let digits = digits.strip_prefix("16#").unwrap();
    u64::from_str_radix(digits, 16).unwrap() << shift.parse::<u32>().unwrap()
}

fn dist_header() -> Option<String> {
    let root = ["/usr/lib/erlang/lib", "/usr/local/lib/erlang/lib"]
        .into_iter()
        .find(|root| Path::new(root).is_dir())?;
    let kernel = fs::read_dir(root)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with("kernel-"))?;
    ["include/dist.hrl", "src/dist.hrl"]
        .iter()
        .find_map(|file| fs::read_to_string(kernel.path().join(file)).ok())
}

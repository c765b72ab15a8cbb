//! Properties of the codec: each term, in each form that a peer may choose, beside OTP's codec and those of
//! other crates. A case that fails is made small by proptest before it is shown.

#[path = "support/erlang.rs"]
mod erlang;
#[path = "support/forms.rs"]
mod forms;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestCaseResult, TestRng, TestRunner};
use twoply_node::wire::{Decoder, Term, from_bytes, to_bytes};

use self::erlang::Erlang;
use self::forms::{ATOM, FLOAT, NEW_PORT, SMALL_ATOM, form, terms};

/// Tests a property of that many terms, with numbers that choose their forms. They are the same in each run.
fn check(cases: u32, property: impl Fn(Term, Vec<u8>) -> TestCaseResult) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let with_choices = (terms(), vec(any::<u8>(), 0..64));
    let result = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::default()))
        .run(&with_choices, |(term, choices)| property(term, choices));
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn read(bytes: &[u8]) -> Result<Term, TestCaseError> {
    from_bytes(bytes).map_err(|error| TestCaseError::fail(format!("{error}: {bytes:?}")))
}

#[test]
fn each_form_of_a_term_is_that_term() {
    check(1_000, |term, choices| {
        let bytes = form(&term, &choices, &[]);
        prop_assert_eq!(&read(&bytes)?, &term);
        let mut decoder = Decoder::new(&bytes[1..]);
        let skipped = decoder.term().map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((decoder.remaining(), skipped.to_term()), (0, Ok(term.clone())));
        prop_assert_eq!(&read(&to_bytes(&term).unwrap())?, &term);
        // A term that lacks bytes is none; all lengths of a large one would take long.
        for end in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
            prop_assert!(from_bytes::<Term>(&bytes[..end]).is_err(), "up to {} of {:?}", end, bytes);
        }
        Ok(())
    });
}

#[test]
fn otp_reads_each_form_as_that_term() {
    let Some(erlang) = Erlang::start() else { return };
    let erlang = std::cell::RefCell::new(erlang);
    check(500, |term, choices| {
        for bytes in [form(&term, &choices, &[]), to_bytes(&term).unwrap()] {
            let again = erlang.borrow_mut().ask(&[b"again", &[0], &bytes]);
            prop_assert_eq!(&read(&again)?, &term, "{:?}", bytes);
        }
        Ok(())
    });
}

/// Returns true if `is` holds for `term` or for one inside of it.
fn any_inside(term: &Term, is: &dyn Fn(&Term) -> bool) -> bool {
    let among = |terms: &[Term]| terms.iter().any(|term| any_inside(term, is));
    is(term)
        || match term {
            Term::List(terms) | Term::Tuple(terms) => among(terms),
            Term::Improper(list) => among(list.items()) || any_inside(list.tail(), is),
            Term::Map(map) => map.pairs().as_flattened().iter().any(|term| any_inside(term, is)),
            _ => false,
        }
}

/// Returns true for a list that eetf writes as a text though it is none: it takes negative numbers for bytes.
fn is_no_text(term: &Term) -> bool {
    let below_256 =
        |item: &Term| matches!(item, Term::Integer(number) if i32::try_from(*number).is_ok_and(|n| n < 256));
    let negative = |item: &Term| matches!(item, Term::Integer(..0));
    // A part of a list may stand as its tail, and is written as a list of its own then.
    matches!(term, Term::List(items) if items.iter().rev().take_while(|item| below_256(item)).any(negative))
}

fn by_eetf(bytes: &[u8]) -> Vec<u8> {
    let mut again = Vec::new();
    eetf::Term::decode(bytes).unwrap().encode(&mut again).unwrap();
    again
}

#[test]
fn eetf_reads_and_writes_the_same_terms() {
    // It reads floats of old as `f32`, and Latin-1 as UTF-8.
    let not_rightly = [FLOAT, ATOM, SMALL_ATOM];
    check(1_000, |term, choices| {
        prop_assume!(!any_inside(&term, &is_no_text));
        prop_assert_eq!(read(&by_eetf(&form(&term, &choices, &not_rightly)))?, term);
        Ok(())
    });
    let minus_one = to_bytes(&vec![-1]).unwrap();
    assert_eq!(from_bytes::<Term>(&minus_one).unwrap().to_string(), "[-1]");
    assert_eq!(
        from_bytes::<Term>(&by_eetf(&minus_one)).unwrap().to_string(),
        "[255]",
        "eetf has been mended"
    );
}

#[test]
fn erltf_reads_and_writes_the_same_terms() {
    // It knows no ports of before OTP 24, and reads Latin-1 as UTF-8.
    let not_rightly = [NEW_PORT, ATOM, SMALL_ATOM];
    // The order by which it keeps the keys of a map takes some that differ for the same.
    let several = |term: &Term| matches!(term, Term::Map(map) if map.pairs().len() > 1);
    check(1_000, |term, choices| {
        prop_assume!(!any_inside(&term, &several));
        let bytes = erltf::encode(&erltf::decode(&form(&term, &choices, &not_rightly)).unwrap()).unwrap();
        prop_assert_eq!(read(&bytes)?, term);
        Ok(())
    });
}

//! Terms: each form of each, round trips, and what a peer may invent.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use twoply_node::wire::{
    Atom, BigInt, Binary, BitString, Charlist, Decoder, EncodeError, FromTerm, Kind, MAX_DEPTH, Map, Nilable,
    Term, ToTerm, Why, from_bytes, to_bytes,
};

fn read(bytes: &[u8]) -> Result<Term, Why> {
    from_bytes::<Term>(bytes).map_err(|error| error.why().clone())
}

/// Reads a term that stands behind the version.
fn shown(tail: &[u8]) -> String {
    read(&[&[131], tail].concat()).unwrap().to_string()
}

#[test]
fn random_terms_are_the_same_after_a_round_trip() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..3_000 {
        let term = random::term(&mut random, 4);
        let bytes = to_bytes(&term).unwrap();
        assert_eq!(from_bytes::<Term>(&bytes).unwrap(), term, "{bytes:?}");
        let mut decoder = Decoder::new(&bytes[1..]);
        let (kind, skipped) = (decoder.kind().unwrap(), decoder.term().unwrap());
        assert_eq!((skipped.kind(), decoder.remaining()), (kind, 0));
        assert_eq!(skipped.to_term().unwrap(), term);
    }
}

#[test]
fn a_term_is_written_as_its_parts_are_wherever_they_stand() {
    let mut random = fastrand::Rng::with_seed(2);
    let list = |items: &[Term]| [&[108], &(items.len() as u32).to_be_bytes()[..]].concat();
    for before in 0..600 {
        let mut items = vec![Term::from(1_000_000); before];
        items.extend((0..12).map(|_| random::term(&mut random, 3)));
        let parts = items.iter().flat_map(|item| to_bytes(item).unwrap().split_off(1));
        let proper = [&[131][..], &list(&items), &parts.clone().collect::<Vec<_>>(), &[106]].concat();
        let improper = [&proper[..proper.len() - 1], &[119, 2, b'o', b'k']].concat();
        assert_eq!(to_bytes(&Term::List(items.clone())).unwrap(), proper);
        let term = Term::list_with_tail(items, Term::atom("ok"));
        assert_eq!(to_bytes(&term).unwrap(), improper);
        // Deep inside the same stands there.
        let deep = (0..20).fold(term, |inside, _| Term::list_with_tail(vec![inside, 1.into()], 2.into()));
        let written = to_bytes(&deep).unwrap();
        let around = [&list(&[1.into(), 1.into()])[..]; 20].concat();
        assert_eq!(written, [&[131], &around[..], &improper[1..], &[97, 1, 97, 2].repeat(20)].concat());
    }
}

#[test]
fn every_old_form_is_read() {
    assert_eq!(shown(&[100, 0, 2, b'o', b'k']), "ok");
    assert_eq!(shown(&[115, 1, 0xf6]), "'ö'", "Latin-1");
    assert_eq!(shown(&[118, 0, 2, 0xc3, 0xb6]), "'ö'");
    assert_eq!(shown(&[107, 0, 2, 1, 255]), "[1,255]");
    assert_eq!(shown(&[108, 0, 0, 0, 1, 98, 255, 255, 255, 255, 106]), "[-1]");
    assert_eq!(shown(&[108, 0, 0, 0, 1, 97, 1, 97, 2]), "[1|2]");
    let mut float = b"c1.50000000000000000000e+00".to_vec();
    float.resize(32, 0);
    assert_eq!(shown(&float), "1.5");
    let node = [115, 3, b'a', b'@', b'b'];
    let with_node = |tag: &[u8], rest: &[u8]| shown(&[tag, &node, rest].concat());
    assert_eq!(with_node(&[103], &[0, 0, 0, 1, 0, 0, 0, 2, 3]), "<a@b#3.1.2>");
    assert_eq!(with_node(&[88], &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 1, 0]), "<a@b#256.1.2>");
    assert_eq!(with_node(&[102], &[0, 0, 0, 1, 3]), "#Port<a@b#3.1>");
    assert_eq!(with_node(&[89], &[0, 0, 0, 1, 0, 0, 0, 3]), "#Port<a@b#3.1>");
    assert_eq!(with_node(&[120], &[1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3]), "#Port<a@b#3.72057594037927937>");
    assert_eq!(with_node(&[101], &[0, 0, 0, 1, 3]), "#Ref<a@b#3.1>");
    assert_eq!(with_node(&[114, 0, 2], &[3, 0, 0, 0, 1, 0, 0, 0, 2]), "#Ref<a@b#3.1.2>");
    let words = [[0, 0, 0, 3].as_slice(), &[0, 0, 0, 9].repeat(5)].concat();
    assert_eq!(with_node(&[90, 0, 5], &words), "#Ref<a@b#3.9.9.9.9.9>");
    assert_eq!(shown(&[113, 119, 1, b'm', 119, 1, b'f', 97, 2]), "fun m:f/2");
    assert_eq!(shown(&[77, 0, 0, 0, 1, 3, 0xbf]), "<<5:3>>");
    assert_eq!(shown(&[77, 0, 0, 0, 1, 8, 65]), "<<\"A\">>");
    let pid = [[103].as_slice(), &node, &[0, 0, 0, 1, 0, 0, 0, 2, 3]].concat();
    let fun = [&[117, 0, 0, 0, 1], pid.as_slice(), &[119, 1, b'm', 97, 1, 97, 2, 97, 7]].concat();
    assert_eq!(shown(&fun), "#Fun<m.1:7>");
    let new =
        [[112, 0, 0, 0, 0, 1].as_slice(), &[5; 16], &[0, 0, 0, 4, 0, 0, 0, 1, 119, 1, b'm', 97, 1, 97, 2]];
    let new = [new.concat(), pid, vec![97, 7]].concat();
    assert_eq!(shown(&new), "#Fun<m.1:7>");
    for fun in [fun, new] {
        let term = read(&[&[131], fun.as_slice()].concat()).unwrap();
        assert_eq!(read(&to_bytes(&term).unwrap()).unwrap(), term);
    }
}

#[test]
fn integers_are_exact_at_each_border() {
    for shift in 0..127 {
        for number in [(1i128 << shift) - 1, 1 << shift, -(1 << shift), -(1 << shift) - 1] {
            let bytes = to_bytes(&number).unwrap();
            assert_eq!(from_bytes::<i128>(&bytes).unwrap(), number);
            assert_eq!(from_bytes::<i64>(&bytes).ok(), i64::try_from(number).ok(), "{number}");
            assert_eq!(from_bytes::<u8>(&bytes).ok(), u8::try_from(number).ok());
            assert_eq!(from_bytes::<u64>(&bytes).ok(), u64::try_from(number).ok());
            assert_eq!(from_bytes::<BigInt>(&bytes).unwrap(), BigInt::from(number));
            let term: Term = from_bytes(&bytes).unwrap();
            assert_eq!(matches!(term, Term::Integer(_)), i64::try_from(number).is_ok());
        }
    }
    assert_eq!(from_bytes::<u128>(&to_bytes(&u128::MAX).unwrap()).unwrap(), u128::MAX);
    assert_eq!(read(&[131, 110, 0, 1]).unwrap(), Term::Integer(0), "minus nothing");
    assert_eq!(read(&[131, 111, 0, 0, 0, 1, 0, 9]).unwrap(), Term::Integer(9));
}

#[test]
fn types_are_the_terms_that_the_table_says() {
    fn is<T: ToTerm + for<'a> FromTerm<'a> + PartialEq + std::fmt::Debug>(value: T, text: &str) {
        let bytes = to_bytes(&value).unwrap();
        assert_eq!(from_bytes::<Term>(&bytes).unwrap().to_string(), text);
        assert_eq!(from_bytes::<T>(&bytes).unwrap(), value);
    }
    is(true, "true");
    is(-7i8, "-7");
    is(1.5f64, "1.5");
    is("ż".to_owned(), "<<\"ż\">>");
    is(Charlist("ab".to_owned()), "[97,98]");
    is(Charlist("ż".to_owned()), "[380]");
    is((), "ok");
    is(vec![1u8, 2], "[1,2]");
    is(Vec::<String>::new(), "[]");
    is(vec![Some(1), None], "[1,undefined]");
    is(Nilable::<u8>(None), "nil");
    is((1, "x".to_owned(), false), "{1,<<\"x\">>,false}");
    is([1, 2, 3], "{1,2,3}");
    is(BTreeMap::from([(1, true), (2, false)]), "#{1=>true,2=>false}");
    is(Ok::<(), String>(()), "ok");
    is(Ok::<u8, String>(1), "{ok,1}");
    is(Err::<(), _>("no".to_owned()), "{error,<<\"no\">>}");
    is(Atom::new("x").unwrap(), "x");
    is(Binary::from(vec![0, 1]), "<<0,1>>");
    is(BitString::new(vec![0xff, 0xff], 3).unwrap(), "<<255,7:3>>");
    is('ł', "<<\"ł\">>");
    assert_eq!(from_bytes::<Option<u8>>(&to_bytes(&Nilable::<u8>(None)).unwrap()).unwrap(), None);
    let (long, wide) = (vec![Term::from(1); 256], Term::Tuple(vec![Term::from(1); 256]));
    is(Term::Tuple(long.clone()), &wide.to_string());
    is(Term::List(long), &format!("[{}]", ["1"; 256].join(",")));
}

#[test]
fn what_is_no_such_type_is_an_error_that_says_where() {
    fn error<T: for<'a> FromTerm<'a> + std::fmt::Debug>(value: &dyn ToTerm) -> String {
        from_bytes::<T>(&to_bytes(value).unwrap()).unwrap_err().to_string()
    }
    assert_eq!(error::<u8>(&"text"), "there is a binary instead of an integer");
    assert_eq!(error::<f64>(&1), "there is an integer instead of a float");
    assert_eq!(error::<String>(&Charlist("abc".into())), "there is a list instead of a binary");
    assert_eq!(error::<(u8, Vec<u8>)>(&(1, vec![1, 256])), "[1][1]: the number does not fit into u8");
    assert_eq!(error::<(u8, u8)>(&(1, 2, 3)), "there are 3 elements instead of 2");
    assert_eq!(
        error::<Vec<u8>>(&Term::list_with_tail(vec![1.into()], 2.into())),
        "there is an integer instead of the end of a list"
    );
    assert_eq!(error::<bool>(&Term::atom("yes")), "there is another atom instead of true or false");
    assert_eq!(error::<String>(&Binary::from(vec![0xff])), "the text is no UTF-8");
    assert_eq!(to_bytes(&f64::INFINITY), Err(EncodeError::Float));
}

/// Texts of up to 22 bytes lie in the term itself, and are read from where they stand if enough bytes follow.
#[test]
fn short_texts_are_as_long_ones() {
    for (size, letter) in [(1, "x"), (2, "ż"), (4, "🂡")] {
        for len in 0..40 / size {
            let text = letter.repeat(len);
            let (atom, binary) = (Atom::new(text.as_str()).unwrap(), Binary::from(text.clone().into_bytes()));
            assert_eq!((atom.as_str(), &*binary), (text.as_str(), text.as_bytes()));
            assert_eq!(
                (atom == *text.as_str(), atom.cmp(&Atom::new("xx").unwrap())),
                (true, text.as_str().cmp("xx"))
            );
            for behind in [0, 1, 21, 22, 23, 40] {
                let last = Term::Binary(vec![b'x'; behind].into());
                let term = Term::Tuple(vec![Term::Atom(atom.clone()), Term::Binary(binary.clone()), last]);
                let bytes = to_bytes(&term).unwrap();
                assert_eq!(bytes.len(), 1 + 2 + 2 + size * len + 5 + size * len + 5 + behind);
                assert_eq!(bytes[5..][..size * len], *text.as_bytes());
                assert_eq!(from_bytes::<Term>(&bytes).unwrap(), term);
                let parts: (Atom, Binary, Binary) = from_bytes(&bytes).unwrap();
                assert_eq!((&parts.0, &parts.1), (&atom, &binary));
            }
        }
    }
    for behind in [0, 1, 22, 40] {
        let cut =
            [&[131, 104, 2, 119, 3, b'a', b'b', 0xc5, 109, 0, 0, 0, behind][..], &vec![0xbc; behind.into()]];
        assert_eq!(read(&cut.concat()), Err(Why::Atom), "a character does not end behind its atom");
    }
}

#[test]
fn malformed_terms_are_refused() {
    assert_eq!(read(&[]), Err(Why::Truncated));
    assert_eq!(read(&[130, 97, 1]), Err(Why::Version(130)));
    assert_eq!(read(&[131, 97, 1, 0]), Err(Why::Trailing(1)));
    assert_eq!(read(&[131, 121, 0, 0]), Err(Why::UnknownTag(121)));
    assert_eq!(read(&[131, 82, 0]), Err(Why::AtomReference(0)));
    assert_eq!(read(&[131, 108, 255, 255, 255, 255]), Err(Why::Truncated), "240 GB in six bytes");
    assert_eq!(read(&[131, 105, 255, 255, 255, 255, 106]), Err(Why::Truncated));
    assert_eq!(read(&[131, 116, 255, 255, 255, 255, 106]), Err(Why::Truncated));
    assert_eq!(read(&[131, 116, 0, 0, 0, 2, 97, 1, 97, 1, 98, 0, 0, 0, 1, 97, 2]), Err(Why::DuplicateKey));
    assert_eq!(read(&[131, 70, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]), Err(Why::Float));
    assert_eq!(read(&[131, 119, 1, 0xff]), Err(Why::Atom));
    assert_eq!(read(&[&[131, 118, 1, 0], [b'x'; 256].as_slice()].concat()), Err(Why::Atom));
    assert_eq!(read(&[131, 77, 0, 0, 0, 1, 9, 0]), Err(Why::Malformed("bit string")));
    assert_eq!(read(&[131, 77, 0, 0, 0, 0, 3]), Err(Why::Malformed("bit string")));
    assert_eq!(read(&[131, 90, 0, 6, 119, 1, b'n', 0, 0, 0, 1]), Err(Why::Malformed("reference")));
    assert_eq!(read(&[131, 90, 0, 0, 119, 1, b'n', 0, 0, 0, 1]), Err(Why::Malformed("reference")));
    let widest = Atom::new("𝄞".repeat(255)).unwrap();
    assert_eq!(from_bytes::<Atom>(&to_bytes(&widest).unwrap()).unwrap(), widest);
}

#[test]
fn compressed_terms_are_read_up_to_what_they_promise() {
    use std::io::Write;
    let compressed = |size: u32, plain: &[u8]| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(plain).unwrap();
        [[131, 80].as_slice(), &size.to_be_bytes(), &zlib.finish().unwrap()].concat()
    };
    let plain = to_bytes(&"x".repeat(10_000)).unwrap();
    let (plain, len) = (&plain[1..], plain.len() as u32 - 1);
    assert_eq!(from_bytes::<String>(&compressed(len, plain)).unwrap(), "x".repeat(10_000));
    assert_eq!(read(&compressed(len - 1, plain)), Err(Why::Compressed));
    assert_eq!(read(&compressed(len + 1, plain)), Err(Why::Compressed));
    assert_eq!(read(&compressed(u32::MAX, plain)), Err(Why::Budget));
    assert_eq!(read(&compressed(60 << 20, plain)), Err(Why::Compressed), "no such ratio");
    assert_eq!(read(&[131, 80, 0, 0, 0, 9, 1, 2, 3]), Err(Why::Compressed));
    let mut trailing = compressed(len, plain);
    trailing.push(0);
    assert_eq!(read(&trailing), Err(Why::Trailing(1)));
    // Inside of a term it is no tag.
    assert_eq!(read(&[&[131, 104, 1], &compressed(len, plain)[1..]].concat()), Err(Why::UnknownTag(80)));
}

/// A list in a list, and so on.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![131];
    bytes.extend([108, 0, 0, 0, 1].repeat(depth));
    bytes.extend([106].repeat(depth + 1));
    bytes
}

#[test]
fn nesting_costs_no_stack_and_ends_somewhere() {
    // The stack of a fiber, in a build that does not care for the size of frames.
    let small = thread::Builder::new().stack_size(256 << 10).spawn(|| {
        let term: Term = from_bytes(&nested(MAX_DEPTH)).unwrap();
        let other = term.clone();
        assert_eq!(term, other);
        assert_eq!(to_bytes(&term).unwrap(), nested(MAX_DEPTH));
        assert_eq!(term.to_string().len(), 2 * MAX_DEPTH + 2);
        assert_eq!(read(&nested(MAX_DEPTH + 1)), Err(Why::Depth { limit: MAX_DEPTH }));
        assert_eq!(read(&nested(10_000_000)), Err(Why::Depth { limit: MAX_DEPTH }));
        assert!(Decoder::new(&nested(10_000_000)[1..]).skip().is_err());
        assert_eq!(Decoder::new(&nested(MAX_DEPTH - 1)[1..]).skip(), Ok(()));
        let map = Map::new(vec![(term, 1.into()), (other, 2.into())]);
        assert!(map.is_none(), "the keys are the same");
    });
    small.unwrap().join().unwrap();
    // What holds nothing is no level.
    for nothing in [Term::Tuple(Vec::new()), Term::Map(Map::default())] {
        let full = (0..MAX_DEPTH).fold(nothing, |inside, _| Term::Tuple(vec![inside]));
        assert_eq!(read(&to_bytes(&full).unwrap()), Ok(full));
    }
    let deep = (0..=MAX_DEPTH).fold(Term::List(Vec::new()), |inside, _| Term::List(vec![inside]));
    assert_eq!(to_bytes(&deep), Err(EncodeError::Depth { limit: MAX_DEPTH }));
}

/// A type that calls itself for each level.
#[derive(Debug)]
struct Tree(#[expect(dead_code, reason = "it is built and dropped")] Vec<Tree>);

impl<'a> FromTerm<'a> for Tree {
    fn from_term(input: &mut Decoder<'a>) -> Result<Tree, twoply_node::wire::DecodeError> {
        FromTerm::from_term(input).map(Tree)
    }
}

#[test]
fn a_type_that_nests_itself_is_bounded_too() {
    // The stack of a fiber.
    let bounded = thread::Builder::new().stack_size(256 << 10).spawn(|| {
        assert!(from_bytes::<Tree>(&nested(30)).is_ok());
        for depth in [MAX_DEPTH - 1, 1_000_000] {
            let Err(error) = from_bytes::<Tree>(&nested(depth)) else { continue };
            let Why::Depth { limit } = *error.why() else { panic!("{error}") };
            assert!(from_bytes::<Tree>(&nested(limit - 2)).is_ok(), "{limit} is the limit");
        }
    });
    bounded.unwrap().join().unwrap();
}

#[test]
fn a_list_as_the_tail_of_lists_is_one_list_and_not_for_ever() {
    assert_eq!(shown(&[108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 1, 97, 2, 106]), "[1,2]");
    assert_eq!(shown(&[108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 1, 97, 2, 97, 3]), "[1,2|3]");
    assert_eq!(shown(&[108, 0, 0, 0, 0, 97, 1]), "1");
    let mut bytes = vec![131];
    for _ in 0..MAX_DEPTH - 1 {
        bytes.extend([108, 0, 0, 0, 1, 106]);
    }
    let long = 1_000_000u32;
    bytes.push(108);
    bytes.extend(long.to_be_bytes());
    bytes.extend(vec![106; long as usize + 1]);
    assert_eq!(read(&bytes), Err(Why::Budget), "each tail would move a million terms");
}

/// How long mutations are tried.
const WHILE: Duration = Duration::from_secs(10);

#[test]
fn mutations_and_truncations_never_panic() {
    let seed = fastrand::u64(..);
    // It is shown when this fails.
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    while begun.elapsed() < WHILE {
        let bytes = to_bytes(&random::term(&mut random, 4)).unwrap();
        let end = random.usize(..bytes.len());
        assert!(from_bytes::<Term>(&bytes[..end]).is_err(), "{bytes:?} up to {end}");
        let mut mutated = bytes;
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..mutated.len());
            mutated[at] = if random.bool() { random.u8(..) } else { mutated[at] ^ 1 << random.u8(..8) };
        }
        if let Ok(term) = from_bytes::<Term>(&mutated) {
            let again = to_bytes(&term).unwrap();
            assert_eq!(from_bytes::<Term>(&again).unwrap(), term, "{mutated:?}");
        }
        let mut decoder = Decoder::new(&mutated[1..]);
        let _ = decoder.skip().map(|()| decoder.kind().map(|kind| kind == Kind::Tuple));
        let _ = from_bytes::<Vec<(String, Option<f64>)>>(&mutated);
        let _ = from_bytes::<BTreeMap<Atom, Result<u64, Charlist>>>(&mutated);
    }
}

#[test]
fn a_term_is_written_as_its_type_is() {
    let deep = |text: &str| (((((text.to_owned(), 300),),),),);
    let one = |term| Term::Tuple(vec![term]);
    for count in [0, 1, 3, 90, 300] {
        for len in [0, 22, 23, 64, 255, 256, 257, 3_000, 4_000, 4_090, 5_000] {
            let texts: Vec<_> = (0..count).map(|n| "x".repeat(len + n % 7)).collect();
            let typed: Vec<_> = texts.iter().map(|text| deep(text)).collect();
            let terms = texts.iter().map(|text| {
                one(one(one(one(Term::Tuple(vec![Term::text(text.as_str()), Term::from(300)])))))
            });
            let term = Term::Tuple(vec![Term::List(terms.collect()), Term::atom("end")]);
            let bytes = to_bytes(&term).unwrap();
            assert!(bytes == to_bytes(&(typed, Atom::new("end").unwrap())).unwrap(), "{count} of {len}");
            // The same behind something else.
            assert!(to_bytes(&(7, &term)).unwrap()[5..] == bytes[1..], "{count} of {len}");
        }
    }
}

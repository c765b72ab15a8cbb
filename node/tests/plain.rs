//! Plain data by serde: the terms are those that the derives of this crate make, OTP writes them again, and
//! what is no plain data is told as such.

#[path = "support/erlang.rs"]
mod erlang;

use std::collections::BTreeMap;
use std::fmt;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use twoply_node::wire::{
    Atom, BigInt, BitString, EncodeError, FromTerm, Map, Pid, Plain, Term, ToTerm, Why, from_bytes, to_bytes,
};

use self::erlang::Erlang;

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, FromTerm, ToTerm)]
#[term(crate = twoply_node)]
struct Order {
    number: u64,
    wide: i128,
    weight: f64,
    paid: bool,
    sign: char,
    note: Option<String>,
    bytes: Vec<u8>,
    pair: (i8, String),
    items: Vec<Item>,
    prices: BTreeMap<String, i64>,
    nothing: (),
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, FromTerm, ToTerm)]
#[serde(rename_all = "snake_case")]
#[term(crate = twoply_node)]
enum Item {
    Tea,
    LooseLeaf(u16),
    Box(u16, String),
    Set { size: i32, of: Vec<u64> },
}

fn items() -> impl Strategy<Value = Item> {
    prop_oneof![
        Just(Item::Tea),
        any::<u16>().prop_map(Item::LooseLeaf),
        (any::<u16>(), ".{0,8}").prop_map(|(count, of)| Item::Box(count, of)),
        (any::<i32>(), vec(any::<u64>(), 0..4)).prop_map(|(size, of)| Item::Set { size, of }),
    ]
}

fn orders() -> impl Strategy<Value = Order> {
    let numbers = (any::<u64>(), any::<i128>(), -1e300..1e300f64, any::<bool>(), any::<char>());
    let texts = (proptest::option::of(".{0,8}"), vec(any::<u8>(), 0..80), (any::<i8>(), ".{0,30}"));
    let several = (vec(items(), 0..5), btree_map(".{0,4}", any::<i64>(), 0..5));
    (numbers, texts, several).prop_map(|(numbers, (note, bytes, pair), (items, prices))| {
        let (number, wide, weight, paid, sign) = numbers;
        Order { number, wide, weight, paid, sign, note, bytes, pair, items, prices, nothing: () }
    })
}

#[test]
fn each_value_is_the_term_that_the_derives_make_and_comes_back_from_otp() {
    let erlang = std::cell::RefCell::new(Erlang::start());
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::default());
    let result = TestRunner::new_with_rng(config, rng).run(&orders(), |order| {
        let bytes = to_bytes(&Plain(&order)).unwrap();
        let term: Term = from_bytes(&bytes).unwrap();
        prop_assert_eq!(&term, &from_bytes::<Term>(&to_bytes(&order).unwrap()).unwrap());
        let mut forms = vec![bytes];
        if let Some(erlang) = &mut *erlang.borrow_mut() {
            forms.push(erlang.ask(&[b"again", &[0], &forms[0]]));
        }
        for bytes in &forms {
            prop_assert_eq!(&from_bytes::<Plain<Order>>(bytes).unwrap().0, &order);
            // One that lacks bytes is none.
            for end in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
                prop_assert!(from_bytes::<Plain<Order>>(&bytes[..end]).is_err());
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Whatever is there: the reader tells what it is.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Any {
    Nothing(Option<()>),
    Yes(bool),
    Number(i64),
    Float(f64),
    Text(String),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
}

fn read<T: for<'a> Deserialize<'a>>(term: &Term) -> Result<T, String> {
    let read = from_bytes::<Plain<T>>(&to_bytes(term).unwrap());
    read.map(|plain| plain.0).map_err(|error| error.to_string())
}

#[test]
fn a_type_that_takes_anything_is_told_what_is_there() {
    let list = Term::List(vec![Term::from(1), Term::Float(1.0), Term::text("a"), Term::atom("b")]);
    let text = |text: &str| Any::Text(text.to_owned());
    let all = Any::List(vec![Any::Number(1), Any::Float(1.0), text("a"), text("b")]);
    assert_eq!(read::<Any>(&list), Ok(all));
    assert_eq!(read::<Any>(&Term::atom("true")), Ok(Any::Yes(true)));
    assert_eq!(read::<Any>(&Term::atom("nil")), Ok(Any::Nothing(None)));
    assert_eq!(read::<Any>(&Term::Tuple(vec![])), Ok(Any::List(vec![])));
    assert_eq!(read::<String>(&Term::atom("an atom")), Ok("an atom".to_owned()));
}

#[test]
fn what_is_no_plain_data_is_told_as_such() {
    let pid = Pid { node: Atom::new("a@b").unwrap(), id: 1, serial: 0, creation: 1 };
    assert_eq!(read::<Any>(&Term::from(pid)), Err("a pid is no plain data".to_owned()));
    let bits = Term::Bits(BitString::new(vec![128], 1).unwrap());
    assert_eq!(read::<Any>(&bits), Err("a bit string is no plain data".to_owned()));
    let improper = Term::list_with_tail(vec![Term::from(300)], Term::from(1));
    assert_eq!(
        read::<Vec<u16>>(&improper),
        Err("there is an integer instead of the end of a list".to_owned())
    );
    let large = Term::Big(BigInt::new(false, &[1; 17]));
    assert!(read::<i128>(&large).unwrap_err().contains("does not fit"));
    assert!(read::<u8>(&Term::from(256)).unwrap_err().contains("256"));
    assert!(read::<u8>(&Term::Float(1.0)).is_err() && read::<f64>(&Term::from(1)).is_err());
    let three = Term::Tuple(vec![Term::from(1), Term::from(2), Term::from(3)]);
    assert!(read::<(u8, u8)>(&three).is_err() && read::<Item>(&three).is_err());
    let twice = Term::Tuple(vec![Term::atom("loose_leaf"), Term::from(1), Term::from(2)]);
    let arity = |found| Why::Arity { wanted: 1, found }.to_string();
    assert_eq!(read::<Item>(&twice), Err(arity(2)));
    assert_eq!(read::<Item>(&Term::atom("loose_leaf")), Err(arity(0)));
    assert_eq!(read::<First>(&Term::List(vec![Term::from(300); 2])), Err(arity(2)));
    assert_eq!(to_bytes(&Plain(f64::NAN)), Err(EncodeError::Float));
}

#[test]
fn a_hostile_term_takes_neither_stack_nor_memory() {
    let deep = |levels: usize| (1..levels).fold(Term::List(vec![]), |inside, _| Term::List(vec![inside]));
    assert!(read::<Any>(&deep(32)).is_ok());
    let error = from_bytes::<Plain<Any>>(&to_bytes(&deep(200)).unwrap()).unwrap_err();
    // Where calls take much of the stack, as in a build for debugging, the limit of that comes first.
    assert!(matches!(error.why(), Why::Depth { limit: 32..=128 }), "{error}");
    // Six bytes that promise four thousand million numbers.
    let error = from_bytes::<Plain<Vec<u64>>>(&[131, 108, 255, 255, 255, 255]).unwrap_err();
    assert_eq!(error.why(), &Why::Truncated);
    // Five bytes each, of which much would be made.
    let many = Term::List(vec![Term::Map(Map::default()); 1 << 17]);
    assert_eq!(read::<Vec<Small>>(&many).map(|many| many.len()), Ok(1 << 17));
    let error = from_bytes::<Plain<Vec<Large>>>(&to_bytes(&many).unwrap()).unwrap_err();
    assert_eq!(error.why(), &Why::Budget);
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Small {
    number: u8,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Large {
    numbers: [u64; 32],
}

/// A type that reads no more than it needs, which is not all that there is.
#[derive(Debug, PartialEq)]
struct First(u64);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<First, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = First;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First, A::Error> {
                Ok(First(list.next_element()?.unwrap_or_default()))
            }
        }
        input.deserialize_seq(Visit)
    }
}

/// Erlang sends a list of small numbers as their bytes, which the type of the elements need not know.
#[test]
fn small_numbers_in_a_list_are_any_numbers() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Id(u32);
    let bytes = [131, 107, 0, 3, 0, 7, 255];
    let read = |bytes: &[u8]| from_bytes::<Plain<Vec<Id>>>(bytes).map(|Plain(ids)| ids);
    assert_eq!(read(&bytes).unwrap(), [Id(0), Id(7), Id(255)]);
    let Plain(some) = from_bytes::<Plain<Vec<Option<i64>>>>(&bytes).unwrap();
    assert_eq!(some, [Some(0), Some(7), Some(255)]);
    assert!(from_bytes::<Plain<Vec<i8>>>(&bytes).is_err(), "255 is out of its range");
    // As in a list of other numbers.
    for numbers in [&[131, 107, 0, 1, 1][..], &[131, 108, 0, 0, 0, 1, 98, 0, 0, 1, 1, 106]] {
        assert!(from_bytes::<Plain<Vec<f64>>>(numbers).is_err());
        assert!(from_bytes::<Plain<Vec<String>>>(numbers).is_err());
    }
    assert!(from_bytes::<Plain<(u8, u8)>>(&bytes).is_err(), "it is no tuple");
}

//! The derives: each form of structs and enums, and what is none.

use std::borrow::Cow;
use std::fmt::Debug;

use twoply_node::wire::{FromTerm, Term, ToTerm, from_bytes, to_bytes};

fn is<T: ToTerm + for<'a> FromTerm<'a> + PartialEq + Debug>(value: T, text: &str) {
    let bytes = to_bytes(&value).unwrap();
    assert_eq!(from_bytes::<Term>(&bytes).unwrap().to_string(), text);
    assert_eq!(from_bytes::<T>(&bytes).unwrap(), value);
}

fn error<T: for<'a> FromTerm<'a> + Debug>(value: &dyn ToTerm) -> String {
    from_bytes::<T>(&to_bytes(value).unwrap()).unwrap_err().to_string()
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Item {
    name: String,
    #[term(rename = "how many")]
    count: u32,
    r#type: Option<bool>,
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node, record = "item")]
struct Record {
    name: String,
    count: u32,
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node, elixir = "Shop.Item")]
struct ElixirItem {
    count: u32,
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node, tuple)]
struct Pair<A, B> {
    left: A,
    right: B,
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Inner(u64);

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Both(u8, String);

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct ColdTea;

/// A struct whose term holds nothing, and makes no warning.
#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Empty {}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
enum Sum {
    Number(u32),
    Of(Box<Sum>, Box<Sum>),
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Maybe {
    text: Box<Option<String>>,
    done: Result<Box<()>, u8>,
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
enum Order {
    Cancel,
    Add(u32),
    #[term(rename = "Add")]
    AddAll {
        items: Vec<Item>,
        at: Inner,
    },
    #[term(cast)]
    Pour(String),
    #[term(cast)]
    StopAll,
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Borrowed<'a> {
    text: &'a str,
    other: Cow<'a, str>,
}

#[test]
fn structs_are_maps_tuples_records_and_elixir_structs() {
    let item = || Item { name: "tea".to_owned(), count: 2, r#type: None };
    is(item(), "#{'how many'=>2,name=><<\"tea\">>,type=>undefined}");
    is(Record { name: "tea".to_owned(), count: 2 }, "{item,<<\"tea\">>,2}");
    is(ElixirItem { count: 2 }, "#{'__struct__'=>'Elixir.Shop.Item',count=>2}");
    is(Pair { left: 1u8, right: false }, "{1,false}");
    is(Inner(7), "7");
    is(Both(1, "b".to_owned()), "{1,<<\"b\">>}");
    is(ColdTea, "cold_tea");
    is(Empty {}, "#{}");
}

#[test]
fn a_box_is_what_is_in_it() {
    let number = |number| Box::new(Sum::Number(number));
    is(
        Sum::Of(number(1), Box::new(Sum::Of(number(2), number(3)))),
        "{'of',{number,1},{'of',{number,2},{number,3}}}",
    );
    is(Maybe { text: Box::new(None), done: Ok(Box::new(())) }, "#{done=>ok,text=>undefined}");
    let missing =
        Term::Map(twoply_node::wire::Map::new(vec![(Term::atom("done"), Term::atom("ok"))]).unwrap());
    assert!(
        from_bytes::<Maybe>(&to_bytes(&missing).unwrap()).is_ok(),
        "a field may be missing in a box, too"
    );
    assert_eq!(to_bytes(&Ok::<_, u8>(&())), to_bytes(&Ok::<_, u8>(())));
}

#[test]
fn enums_are_atoms_tuples_and_casts() {
    is(Order::Cancel, "cancel");
    is(Order::Add(1), "{add,1}");
    is(Order::AddAll { items: Vec::new(), at: Inner(3) }, "{'Add',[],3}");
    is(Order::Pour("tea".to_owned()), "{'$gen_cast',{pour,<<\"tea\">>}}");
    is(Order::StopAll, "{'$gen_cast',stop_all}");
}

#[test]
fn what_is_missing_strange_or_there_twice_is_told_by_name() {
    let map = |pairs: Vec<(&str, Term)>| {
        let pairs = pairs.into_iter().map(|(key, value)| (Term::atom(key), value)).collect();
        Term::Map(twoply_node::wire::Map::new(pairs).unwrap())
    };
    let (name, count) = (("name", Term::text("tea")), ("how many", Term::from(1)));
    let extra = ("more", Term::list_with_tail(vec![1.into()], 2.into()));
    let item: Item = from_bytes(&to_bytes(&map(vec![extra, name.clone(), count.clone()])).unwrap()).unwrap();
    assert_eq!(item, Item { name: "tea".to_owned(), count: 1, r#type: None });
    assert_eq!(error::<Item>(&map(vec![name.clone()])), "how many: the field is missing");
    let wrong = ("how many", Term::atom("two"));
    assert_eq!(error::<Item>(&map(vec![name, wrong])), "how many: there is an atom instead of an integer");
    let twice = [
        131, 116, 0, 0, 0, 2, 119, 4, b'n', b'a', b'm', b'e', 109, 0, 0, 0, 0, 119, 4, b'n', b'a', b'm', b'e',
    ];
    let twice = [&twice[..], &[109, 0, 0, 0, 0]].concat();
    let told = from_bytes::<Item>(&twice).unwrap_err().to_string();
    assert_eq!(told, "name: a key stands in the map twice");
    assert_eq!(error::<ElixirItem>(&map(vec![("count", 1.into())])), "__struct__: the field is missing");
    let other = map(vec![("__struct__", Term::atom("Elixir.Other")), ("count", 1.into())]);
    assert_eq!(error::<ElixirItem>(&other), "no variant is Elixir.Other with 0 fields");
    assert_eq!(error::<Order>(&Term::atom("add")), "no variant is add with 0 fields");
    assert_eq!(error::<Order>(&Term::atom("pour")), "no variant is pour with 0 fields");
    assert_eq!(error::<Order>(&Term::Tuple(vec![])), "there are 0 elements instead of 1");
    let deep =
        Term::Tuple(vec![Term::atom("Add"), Term::List(vec![map(vec![("name", 1.into())])]), 1.into()]);
    assert_eq!(error::<Order>(&deep), "items[0].name: there is an integer instead of a binary");
    assert_eq!(error::<Pair<u8, u8>>(&(1, 2, 3)), "there are 3 elements instead of 2");
}

#[test]
fn a_type_that_borrows_reads_from_the_bytes() {
    let borrowed = Borrowed { text: "tea", other: "pot".into() };
    let bytes = to_bytes(&borrowed).unwrap();
    let mut decoder = twoply_node::wire::Decoder::new(&bytes[1..]);
    let read = Borrowed::from_term(&mut decoder).unwrap();
    assert_eq!(read, borrowed);
    assert!(bytes.as_ptr_range().contains(&read.text.as_ptr()));
}

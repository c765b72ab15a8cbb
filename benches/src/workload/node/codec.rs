//! Ten typical terms as bytes, and bytes as terms. An operation is all ten of them.
//!
//! Each codec has its own type of terms, which is made of the same bytes, and gives bytes of its own; a
//! decoder reads those of ours. `twoply-terms`, `eetf` and `erltf` are that: owned terms of any shape.
//! `twoply-types` reads the same bytes as tuples, structs and vectors, and writes these. What a program may
//! read later, or never, is looked over once: `twoply-refs`, beside the borrowed terms of `erltf-borrowed`.

use std::hint::black_box;

use anyhow::Result;
use twoply::node::wire::{
    Atom, Binary, Charlist, Decoder, FromTerm, Map, Pid, Reference, Term, ToTerm, from_bytes, to_bytes,
};

use crate::workload::{Case, Context, Sample, timed};

pub(crate) const CASES: &[Case] = &[
    timed(
        "node-encode",
        &[],
        &[
            ("eetf", encode_eetf),
            ("erltf", encode_erltf),
            ("twoply-terms", encode),
            ("twoply-types", encode_types),
        ],
    ),
    timed(
        "node-decode",
        &[],
        &[
            ("eetf", decode_eetf),
            ("erltf", decode_erltf),
            ("erltf-borrowed", borrow_erltf),
            ("twoply-terms", decode),
            ("twoply-types", decode_types),
            ("twoply-refs", refer),
        ],
    ),
];

/// Makes the terms: what is sent to a process, asked, answered and told of.
fn terms() -> Vec<Term> {
    let node = Atom::new("shop@example.com").expect("short");
    let pid = || Term::from(Pid { node: node.clone(), id: 117, serial: 2, creation: 1_700_000_000 });
    let words = [189_000, 1_426_915_330, 1_515_825_380];
    let reference = || Term::from(Reference::new(node.clone(), 1_700_000_000, &words).expect("three words"));
    let tuple = Term::Tuple;
    let keys = ["id", "name", "price", "tags", "stock"];
    let article = |n: i64| {
        let values = [
            Term::from(n),
            Term::text("a thing that is sold"),
            Term::Float(19.5),
            Term::List(vec![Term::atom("new"), Term::atom("red")]),
            Term::from(-1),
        ];
        let pairs = keys.into_iter().map(Term::atom).zip(values).collect();
        Term::Map(Map::new(pairs).expect("no key stands there twice"))
    };
    let from = || tuple(vec![pid(), Term::List(vec![Term::atom("alias"), reference()])]);
    vec![
        Term::atom("ok"),
        tuple(vec![Term::from(1_000_000), pid()]),
        tuple(vec![
            Term::atom("$gen_call"),
            tuple(vec![pid(), reference()]),
            tuple(vec![Term::atom("next"), Term::from(7)]),
        ]),
        tuple(vec![Term::atom("$gen_call"), from(), Term::atom("which_children")]),
        tuple(vec![reference(), tuple(vec![Term::atom("ok"), article(1)])]),
        tuple(vec![Term::atom("DOWN"), reference(), Term::atom("process"), pid(), Term::atom("normal")]),
        Term::List((0..100).map(|n| Term::from(n * 1_000)).collect()),
        Term::List((0..10).map(article).collect()),
        Term::Binary(vec![b'x'; 1_000].into()),
        Term::List(
            b"an error in a string of Erlang's".iter().map(|byte| Term::from(i64::from(*byte))).collect(),
        ),
    ]
}

fn bytes() -> Result<Vec<Vec<u8>>> {
    Ok(terms().iter().map(to_bytes).collect::<Result<_, _>>()?)
}

#[derive(ToTerm, FromTerm)]
struct Article {
    id: i64,
    name: String,
    price: f64,
    tags: Vec<Atom>,
    stock: i64,
}

/// What is done with the bytes of one of the terms, each of which is a type of its own.
type Each<T> = [fn(&[u8]) -> Result<T>; 10];

/// The types of the terms: `what` with each of them.
macro_rules! types {
    ($what:ident) => {
        [
            $what::<Atom>,
            $what::<(i64, Pid)>,
            $what::<(Atom, (Pid, Reference), (Atom, i64))>,
            $what::<(Atom, (Pid, Vec<Term>), Atom)>,
            $what::<(Reference, (Atom, Article))>,
            $what::<(Atom, Reference, Atom, Pid, Atom)>,
            $what::<Vec<i64>>,
            $what::<Vec<Article>>,
            $what::<Binary>,
            $what::<Charlist>,
        ]
    };
}

fn read<T: for<'a> FromTerm<'a>>(bytes: &[u8]) -> Result<()> {
    black_box(from_bytes::<T>(bytes)?);
    Ok(())
}

fn value<T: ToTerm + for<'a> FromTerm<'a> + 'static>(bytes: &[u8]) -> Result<Box<dyn ToTerm>> {
    Ok(Box::new(from_bytes::<T>(bytes)?))
}

/// Measures `code` for each of what there is.
fn each<T, U>(ctx: &Context, of: &[T], code: impl Fn(&T) -> Result<U>) -> Result<Sample> {
    ctx.time(10, |ops| {
        for _ in 0..ops {
            for one in of {
                black_box(code(black_box(one))?);
            }
        }
        Ok(())
    })
}

fn encode(ctx: &Context) -> Result<Sample> {
    each(ctx, &terms(), |term| Ok(to_bytes(term)?))
}

fn decode(ctx: &Context) -> Result<Sample> {
    each(ctx, &bytes()?, |bytes| Ok(from_bytes::<Term>(bytes)?))
}

fn encode_types(ctx: &Context) -> Result<Sample> {
    let makers: Each<Box<dyn ToTerm>> = types!(value);
    let values = makers.iter().zip(bytes()?).map(|(make, bytes)| make(&bytes)).collect::<Result<Vec<_>>>()?;
    each(ctx, &values, |value| Ok(to_bytes(&**value)?))
}

fn decode_types(ctx: &Context) -> Result<Sample> {
    let readers: Each<()> = types!(read);
    let pairs: Vec<_> = readers.into_iter().zip(bytes()?).collect();
    each(ctx, &pairs, |(read, bytes)| read(bytes))
}

fn refer(ctx: &Context) -> Result<Sample> {
    each(ctx, &bytes()?, |bytes| Ok(Decoder::new(&bytes[1..]).term()?.kind()))
}

fn borrow_erltf(ctx: &Context) -> Result<Sample> {
    each(ctx, &bytes()?, |bytes| {
        black_box(erltf::decode_borrowed(bytes)?);
        Ok(())
    })
}

fn encode_eetf(ctx: &Context) -> Result<Sample> {
    let terms =
        bytes()?.iter().map(|bytes| eetf::Term::decode(bytes.as_slice())).collect::<Result<Vec<_>, _>>()?;
    each(ctx, &terms, |term| {
        let mut bytes = Vec::new();
        term.encode(&mut bytes)?;
        Ok(bytes)
    })
}

fn decode_eetf(ctx: &Context) -> Result<Sample> {
    each(ctx, &bytes()?, |bytes| Ok(eetf::Term::decode(bytes.as_slice())?))
}

fn encode_erltf(ctx: &Context) -> Result<Sample> {
    let terms = bytes()?.iter().map(|bytes| erltf::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
    each(ctx, &terms, |term| Ok(erltf::encode(term)?))
}

fn decode_erltf(ctx: &Context) -> Result<Sample> {
    each(ctx, &bytes()?, |bytes| Ok(erltf::decode(bytes)?))
}

//! Copies of terms, made without a call for each level: the copies of elements wait on a stack of their own.

use super::{Event, Fun, FunKind, Improper, Map, Term, is_container, walk};

impl Clone for Term {
    fn clone(&self) -> Term {
        // The copies of the elements of each term that has begun.
        let mut open: Vec<Vec<Term>> = Vec::new();
        for event in walk(self) {
            let copy = match event {
                Event::Enter(term, _) if is_container(term) => {
                    open.push(Vec::with_capacity(len(term)));
                    continue;
                }
                Event::Enter(term, _) => leaf(term),
                Event::Leave(term) => over(term, open.pop().unwrap_or_default()),
            };
            match open.last_mut() {
                Some(items) => items.push(copy),
                None => return copy,
            }
        }
        unreachable!("a walk ends with the whole term")
    }
}

/// Returns the number of elements.
fn len(term: &Term) -> usize {
    match term {
        Term::List(items) | Term::Tuple(items) => items.len(),
        Term::Map(map) => map.terms.len(),
        Term::Improper(list) => list.items.len() + 1,
        _ => 0,
    }
}

/// Copies a term without elements.
fn leaf(term: &Term) -> Term {
    match term {
        Term::Integer(number) => Term::Integer(*number),
        Term::Big(number) => Term::Big(number.clone()),
        Term::Float(number) => Term::Float(*number),
        Term::Atom(atom) => Term::Atom(atom.clone()),
        Term::Binary(bytes) => Term::Binary(bytes.clone()),
        Term::Bits(bits) => Term::Bits(bits.clone()),
        Term::Pid(pid) => Term::Pid(pid.clone()),
        Term::Reference(reference) => Term::Reference(reference.clone()),
        Term::Port(port) => Term::Port(port.clone()),
        other => over(other, Vec::new()),
    }
}

/// Returns a term as `term`, whose elements are these copies.
fn over(term: &Term, mut copies: Vec<Term>) -> Term {
    match term {
        Term::Tuple(_) => Term::Tuple(copies),
        Term::Improper(_) => {
            let tail = copies.pop().unwrap_or(Term::List(Vec::new()));
            Term::Improper(Box::new(Improper { items: copies, tail }))
        }
        Term::Map(_) => Term::Map(Map { terms: copies }),
        Term::Fun(fun) => Term::Fun(Box::new(Fun(match &fun.0 {
            FunKind::Export { module, function, arity } => {
                FunKind::Export { module: module.clone(), function: function.clone(), arity: *arity }
            }
            FunKind::Closure { header, .. } => FunKind::Closure { header: header.clone(), free: copies },
        }))),
        _ => Term::List(copies),
    }
}

//! The order of terms: total, exact, and of no meaning. First comes the kind, then the size, then the parts.

use std::cmp::Ordering;

use super::{Event, FunKind, Term, is_container, walk};

impl PartialEq for Term {
    fn eq(&self, other: &Term) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Term {}

impl PartialOrd for Term {
    fn partial_cmp(&self, other: &Term) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Term {
    fn cmp(&self, other: &Term) -> Ordering {
        if !is_container(self) || !is_container(other) {
            return shallow(self, other);
        }
        let mut others = walk(other);
        for event in walk(self) {
            let order = match (event, others.next()) {
                (Event::Enter(a, _), Some(Event::Enter(b, _))) => shallow(a, b),
                // Two terms that have been equal so far have the same shape.
                _ => Ordering::Equal,
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// Compares all of two terms but their elements.
fn shallow(a: &Term, b: &Term) -> Ordering {
    match (a, b) {
        (Term::Integer(a), Term::Integer(b)) => a.cmp(b),
        (Term::Big(a), Term::Big(b)) => {
            (a.negative, a.magnitude.len(), &a.magnitude).cmp(&(b.negative, b.magnitude.len(), &b.magnitude))
        }
        (Term::Float(a), Term::Float(b)) => a.total_cmp(b),
        (Term::Atom(a), Term::Atom(b)) => a.cmp(b),
        (Term::Binary(a), Term::Binary(b)) => (**a).cmp(&**b),
        (Term::Bits(a), Term::Bits(b)) => (a.bytes(), a.last).cmp(&(b.bytes(), b.last)),
        (Term::List(a), Term::List(b)) | (Term::Tuple(a), Term::Tuple(b)) => a.len().cmp(&b.len()),
        (Term::Improper(a), Term::Improper(b)) => a.items.len().cmp(&b.items.len()),
        (Term::Map(a), Term::Map(b)) => a.terms.len().cmp(&b.terms.len()),
        (Term::Pid(a), Term::Pid(b)) => a.cmp(b),
        (Term::Reference(a), Term::Reference(b)) => a.cmp(b),
        (Term::Port(a), Term::Port(b)) => a.cmp(b),
        (Term::Fun(a), Term::Fun(b)) => functions(&a.0, &b.0),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn functions(a: &FunKind, b: &FunKind) -> Ordering {
    use FunKind::{Closure, Export};
    match (a, b) {
        (Export { module, function, arity }, Export { module: m, function: f, arity: n }) => {
            (module, function, arity).cmp(&(m, f, n))
        }
        (Closure { header: a, free }, Closure { header: b, free: others }) => {
            let parts = (&a.module, a.old_index, a.old_uniq, &a.pid, a.new, free.len());
            parts.cmp(&(&b.module, b.old_index, b.old_uniq, &b.pid, b.new, others.len()))
        }
        (Export { .. }, Closure { .. }) => Ordering::Less,
        (Closure { .. }, Export { .. }) => Ordering::Greater,
    }
}

/// Returns the place of a kind of terms among the others.
fn rank(term: &Term) -> u8 {
    match term {
        Term::Integer(_) => 0,
        Term::Big(_) => 1,
        Term::Float(_) => 2,
        Term::Atom(_) => 3,
        Term::Reference(_) => 4,
        Term::Fun(_) => 5,
        Term::Port(_) => 6,
        Term::Pid(_) => 7,
        Term::Tuple(_) => 8,
        Term::Map(_) => 9,
        Term::List(_) => 10,
        Term::Improper(_) => 11,
        Term::Binary(_) => 12,
        Term::Bits(_) => 13,
    }
}

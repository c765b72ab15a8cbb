//! A walk through a term that calls itself for nothing, so that no nesting overflows a stack.

use crate::wire::term::{FunKind, Term};

/// A step of a [`walk`].
pub(super) enum Event<'a> {
    /// A term begins: the element `index` of another one, or the whole.
    Enter(&'a Term, Option<(&'a Term, usize)>),
    /// All elements of a term have been visited, of one that has any, or of a closure.
    Leave(&'a Term),
}

/// Returns the steps through `term` and all that it has, in the order in which the format writes them.
pub(super) fn walk(term: &Term) -> Walk<'_> {
    Walk { first: Some(term), open: Vec::new() }
}

/// The iterator of [`walk`].
pub(super) struct Walk<'a> {
    first: Option<&'a Term>,
    /// The terms that have begun, each with the number of its elements that have been visited.
    open: Vec<(&'a Term, usize)>,
}

impl<'a> Iterator for Walk<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let (term, place) = match self.first.take() {
            Some(term) => (term, None),
            None => {
                let (parent, index) = self.open.last_mut()?;
                let Some(term) = child(parent, *index) else {
                    let (parent, _) = self.open.pop()?;
                    return Some(Event::Leave(parent));
                };
                let place = Some((*parent, *index));
                *index += 1;
                (term, place)
            }
        };
        if is_container(term) {
            self.open.push((term, 0));
        }
        Some(Event::Enter(term, place))
    }
}

/// Returns true if a term has elements, or is a closure.
#[inline]
pub(in crate::wire) fn is_container(term: &Term) -> bool {
    match term {
        Term::List(items) | Term::Tuple(items) => !items.is_empty(),
        Term::Map(map) => !map.terms().is_empty(),
        Term::Improper(_) => true,
        Term::Fun(fun) => matches!(fun.0, FunKind::Closure { .. }),
        _ => false,
    }
}

/// Returns the element `index` of a term; keys and values of a map take turns.
fn child(term: &Term, index: usize) -> Option<&Term> {
    match term {
        Term::List(items) | Term::Tuple(items) => items.get(index),
        Term::Improper(list) if index == list.items().len() => Some(list.tail()),
        Term::Improper(list) => list.items().get(index),
        Term::Map(map) => map.terms().get(index),
        Term::Fun(fun) => match &fun.0 {
            FunKind::Closure { free, .. } => free.get(index),
            FunKind::Export { .. } => None,
        },
        _ => None,
    }
}

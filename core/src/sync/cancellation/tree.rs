//! A forest of values: every change of it takes the same few steps, however many there are.
//!
//! The children of a node are in a ring with the node as its head, so nobody has to know its parent: to
//! leave, a node links its neighbours, and its children take its place by the same means. Places are used
//! again. This module never runs code of its values.

/// The place of a value, until the value is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// The place of what is in no tree.
    pub(super) const NOWHERE: Place = Place(u32::MAX);

    /// Returns the index of the link of the place among its siblings.
    fn sibling(self) -> usize {
        2 * self.0 as usize
    }

    /// Returns the index of the link at which the ring of its children begins and ends.
    fn children(self) -> usize {
        self.sibling() + 1
    }
}

/// The neighbours in a ring.
#[derive(Clone, Copy)]
struct Link {
    prev: usize,
    next: usize,
}

/// A forest; see the [module](self).
pub(super) struct Tree<V> {
    /// The links, two for each place: at even indices those among siblings, at odd ones the heads of
    /// children.
    links: Vec<Link>,
    /// The values, by place; `None` where it is free.
    values: Vec<Option<V>>,
    free: Vec<Place>,
}

impl<V> Tree<V> {
    pub(super) fn new() -> Tree<V> {
        Tree { links: Vec::new(), values: Vec::new(), free: Vec::new() }
    }

    /// Adds a value that is below nobody.
    pub(super) fn add(&mut self, value: V) -> Place {
        let place = self.free.pop().unwrap_or_else(|| {
            // 2^32 places of 40 bytes do not fit in memory.
            let place = Place(self.values.len() as u32);
            self.values.push(None);
            self.links.extend([place.sibling(), place.children()].map(|at| Link { prev: at, next: at }));
            place
        });
        self.values[place.0 as usize] = Some(value);
        place
    }

    /// Adds a value as the last child of `parent`.
    pub(super) fn add_below(&mut self, parent: Place, value: V) -> Place {
        let place = self.add(value);
        self.move_before(parent.children(), place.sibling(), place.sibling());
        place
    }

    pub(super) fn value(&self, place: Place) -> Option<&V> {
        self.values[place.0 as usize].as_ref()
    }

    /// Returns the first child of `place`.
    pub(super) fn first_below(&self, place: Place) -> Option<Place> {
        let first = self.links[place.children()].next;
        (first != place.children()).then_some(Place(first as u32 / 2))
    }

    /// Takes `place`, with all that is below it, out from below its parent.
    pub(super) fn leave(&mut self, place: Place) {
        self.unlink(place.sibling(), place.sibling());
    }

    /// Moves the children of `place` behind those of `to`.
    pub(super) fn move_children(&mut self, place: Place, to: Place) {
        let Link { prev: last, next: first } = self.links[place.children()];
        if first != place.children() {
            self.unlink(first, last);
            self.move_before(to.children(), first, last);
        }
    }

    /// Removes a value, whose children take its place.
    pub(super) fn remove(&mut self, place: Place) -> Option<V> {
        let Link { prev: last, next: first } = self.links[place.children()];
        if first != place.children() {
            self.unlink(first, last);
            self.move_before(place.sibling(), first, last);
        }
        self.leave(place);
        self.free.push(place);
        self.values[place.0 as usize].take()
    }

    /// Takes `first` to `last` out of their ring, and leaves them a ring of their own.
    fn unlink(&mut self, first: usize, last: usize) {
        let (prev, next) = (self.links[first].prev, self.links[last].next);
        self.link(prev, next);
        self.link(last, first);
    }

    /// Puts the ring from `first` to `last` in front of `at`.
    fn move_before(&mut self, at: usize, first: usize, last: usize) {
        let prev = self.links[at].prev;
        self.link(prev, first);
        self.link(last, at);
    }

    fn link(&mut self, prev: usize, next: usize) {
        self.links[prev].next = next;
        self.links[next].prev = prev;
    }
}

#[cfg(all(test, not(loom)))]
impl<V> Tree<V> {
    /// The number of values.
    pub(super) fn in_use(&self) -> usize {
        self.values.iter().flatten().count()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The values below `place`, in order.
    fn below(tree: &Tree<u32>, place: Place) -> Vec<u32> {
        let mut values = Vec::new();
        let mut at = tree.links[place.children()].next;
        while at != place.children() {
            values.push(tree.values[at / 2].expect("it is there"));
            at = tree.links[at].next;
        }
        values
    }

    #[test]
    fn children_take_the_place_of_what_is_removed() {
        let mut tree = Tree::new();
        let root = tree.add(0);
        let [one, two, _three] = [1, 2, 3].map(|n| tree.add_below(root, n));
        let twenty = tree.add_below(two, 20);
        tree.add_below(two, 21);
        tree.add_below(twenty, 200);
        assert_eq!(tree.remove(two), Some(2));
        assert_eq!(below(&tree, root), [1, 20, 21, 3]);
        tree.leave(twenty);
        assert_eq!((below(&tree, root), below(&tree, twenty)), (vec![1, 21, 3], vec![200]));
        tree.move_children(root, twenty);
        assert_eq!((tree.first_below(root), below(&tree, twenty)), (None, vec![200, 1, 21, 3]));
        assert_eq!(tree.remove(one), Some(1));
        assert_eq!(below(&tree, twenty), [200, 21, 3]);
        // The root of a tree goes, and those below it are below nobody.
        assert_eq!(tree.remove(twenty), Some(20));
        assert_eq!(tree.value(twenty), None);
    }

    #[test]
    fn places_are_used_again() {
        let mut tree = Tree::new();
        let root = tree.add(0);
        for n in 0..1000 {
            let child = tree.add_below(root, n);
            let grandchild = tree.add_below(child, n);
            tree.remove(child);
            assert_eq!(tree.first_below(root), Some(grandchild));
            tree.remove(grandchild);
        }
        assert_eq!(tree.values.len(), 3);
    }
}

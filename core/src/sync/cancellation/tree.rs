//! A forest of values: every change of it takes the same few steps, however many there are.
//!
//! The children of a node are in a ring with the node as its head, so nobody has to know its parent: to
//! leave, a node links its neighbours, and its children take its place by the same means. Slots are used
//! again. This module never runs code of its values.

/// The key of a value, until the value is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeKey(u32);

impl NodeKey {
    /// The key of what is in no tree.
    pub(super) const NONE: NodeKey = NodeKey(u32::MAX);

    /// Returns the index of the node's link among its siblings.
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
    /// The links, two for each node: at even indices those among siblings, at odd ones the heads of
    /// children.
    links: Vec<Link>,
    /// The values, by key; `None` where it is free.
    values: Vec<Option<V>>,
    free: Vec<NodeKey>,
}

impl<V> Tree<V> {
    pub(super) fn new() -> Tree<V> {
        Tree { links: Vec::new(), values: Vec::new(), free: Vec::new() }
    }

    /// Adds a value that is below nobody.
    pub(super) fn add(&mut self, value: V) -> NodeKey {
        let key = self.free.pop().unwrap_or_else(|| {
            // 2^32 slots of 40 bytes do not fit in memory.
            let key = NodeKey(self.values.len() as u32);
            self.values.push(None);
            self.links.extend([key.sibling(), key.children()].map(|at| Link { prev: at, next: at }));
            key
        });
        self.values[key.0 as usize] = Some(value);
        key
    }

    /// Adds a value as the last child of `parent`.
    pub(super) fn add_below(&mut self, parent: NodeKey, value: V) -> NodeKey {
        let key = self.add(value);
        self.move_before(parent.children(), key.sibling(), key.sibling());
        key
    }

    pub(super) fn value(&self, key: NodeKey) -> Option<&V> {
        self.values[key.0 as usize].as_ref()
    }

    /// Returns the first child of `key`.
    pub(super) fn first_below(&self, key: NodeKey) -> Option<NodeKey> {
        let first = self.links[key.children()].next;
        (first != key.children()).then_some(NodeKey(first as u32 / 2))
    }

    /// Takes `key`, with all that is below it, out from below its parent.
    pub(super) fn leave(&mut self, key: NodeKey) {
        self.unlink(key.sibling(), key.sibling());
    }

    /// Moves the children of `key` behind those of `to`.
    pub(super) fn move_children(&mut self, key: NodeKey, to: NodeKey) {
        let Link { prev: last, next: first } = self.links[key.children()];
        if first != key.children() {
            self.unlink(first, last);
            self.move_before(to.children(), first, last);
        }
    }

    /// Removes a value, whose children take its place.
    pub(super) fn remove(&mut self, key: NodeKey) -> Option<V> {
        let Link { prev: last, next: first } = self.links[key.children()];
        if first != key.children() {
            self.unlink(first, last);
            self.move_before(key.sibling(), first, last);
        }
        self.leave(key);
        self.free.push(key);
        self.values[key.0 as usize].take()
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
    /// Returns the number of values.
    pub(super) fn in_use(&self) -> usize {
        self.values.iter().flatten().count()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Returns the values below `key`, in order.
    fn below(tree: &Tree<u32>, key: NodeKey) -> Vec<u32> {
        let mut values = Vec::new();
        let mut at = tree.links[key.children()].next;
        while at != key.children() {
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

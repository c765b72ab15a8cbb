//! A map that is usually small and keeps the order of its entries: a list up to some length, a hash table from there.
//!
//! Most processes have no more than a link or two; a supervisor may have a hundred thousand. What is done to each
//! entry is done in the order in which they were entered, however many there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Up to so many entries a list is both smaller and faster.
const FEW: usize = 8;

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) enum SmallMap<K, V> {
    /// Not many, in order.
    List(Vec<(K, V)>),
    /// Many, now or once. Boxed, because most never become one.
    Table(Box<Table<K, V>>),
}

/// Many entries.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V> {
    /// They, each with its place in the order.
    entries: HashMap<K, (u64, V)>,
    /// The next place.
    next: u64,
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> SmallMap<K, V> {
        SmallMap::List(Vec::new())
    }
}

impl<K: Copy + Eq + Hash, V> SmallMap<K, V> {
    /// Enters `value`, behind all others or in place of the value that has the key; that is returned, so that it is not
    /// dropped here.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let SmallMap::List(list) = self {
            if let Some((_, old)) = list.iter_mut().find(|(k, _)| *k == key) {
                return Some(std::mem::replace(old, value));
            }
            if list.len() < FEW {
                // Exactly one at a time: most never have a second.
                list.reserve_exact(1);
                list.push((key, value));
                return None;
            }
            let entries =
                (0..).zip(list.drain(..)).map(|(place, (key, value))| (key, (place, value))).collect();
            *self = SmallMap::Table(Box::new(Table { entries, next: FEW as u64 }));
        }
        match self {
            SmallMap::Table(table) => table.insert(key, value),
            SmallMap::List(_) => unreachable!("a list that is full has become a table"),
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        match self {
            SmallMap::List(list) => {
                let at = list.iter().position(|(k, _)| *k == key)?;
                Some(list.remove(at).1)
            }
            SmallMap::Table(table) => table.entries.remove(&key).map(|(_, value)| value),
        }
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        match self {
            SmallMap::List(list) => list.iter().any(|(k, _)| *k == key),
            SmallMap::Table(table) => table.entries.contains_key(&key),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            SmallMap::List(list) => list.len(),
            SmallMap::Table(table) => table.entries.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values, in order.
    pub(crate) fn values(&self) -> Vec<&V> {
        match self {
            SmallMap::List(list) => list.iter().map(|(_, value)| value).collect(),
            SmallMap::Table(table) => {
                let mut values: Vec<_> = table.entries.values().collect();
                values.sort_unstable_by_key(|(place, _)| *place);
                values.into_iter().map(|(_, value)| value).collect()
            }
        }
    }

    /// The entries, in order.
    pub(crate) fn into_entries(self) -> Vec<(K, V)> {
        match self {
            SmallMap::List(list) => list,
            SmallMap::Table(table) => {
                let mut entries: Vec<_> = table.entries.into_iter().collect();
                entries.sort_unstable_by_key(|(_, (place, _))| *place);
                entries.into_iter().map(|(key, (_, value))| (key, value)).collect()
            }
        }
    }
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// See [`SmallMap::insert`].
    fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.entries.entry(key) {
            Entry::Occupied(mut known) => Some(std::mem::replace(&mut known.get_mut().1, value)),
            Entry::Vacant(free) => {
                free.insert((self.next, value));
                self.next += 1;
                None
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_few_and_many_are_the_same_map() {
        for count in [0, 1, FEW, FEW + 1, 100] {
            let mut map = SmallMap::default();
            for n in 0..count {
                assert_eq!(map.insert(n, n * 2), None);
                assert_eq!(map.insert(n, n * 3), Some(n * 2));
            }
            assert!((0..count).all(|n| map.contains(n)) && !map.contains(count));
            for n in (0..count).step_by(2) {
                assert_eq!(map.remove(n), Some(n * 3));
                assert_eq!(map.remove(n), None);
            }
            assert_eq!((map.len(), map.is_empty()), (count / 2, count < 2));
            assert!(map.into_entries().into_iter().eq((1..count).step_by(2).map(|n| (n, n * 3))));
        }
    }

    #[test]
    fn entries_keep_the_order_in_which_they_were_entered() {
        for count in [3, FEW as u64, FEW as u64 + 1, 1000] {
            // Keys whose own order is another one, all different because the factor is odd.
            let key = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut map = SmallMap::default();
            (0..count).for_each(|n| assert_eq!(map.insert(key(n), n), None));
            assert_eq!(map.remove(key(1)), Some(1));
            assert_eq!(map.insert(key(2), 2), Some(2), "whoever is replaced keeps the place");
            assert_eq!(map.insert(key(1), 1), None, "whoever comes back stands behind the others");
            let expected: Vec<_> = [0].into_iter().chain(2..count).chain([1]).collect();
            assert!(map.values().into_iter().eq(&expected));
            assert!(map.into_entries().into_iter().eq(expected.into_iter().map(|n| (key(n), n))));
        }
    }
}

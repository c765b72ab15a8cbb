//! A map that is usually small and keeps the order of its entries: a list up to some length, a hash table
//! beyond that.
//!
//! Most processes have no more than a link or two; a supervisor may have a hundred thousand. All iteration is
//! in the order in which the entries were inserted, however many there are: nothing follows the order of the
//! hash table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// The longest list. Up to this length a list is both smaller and faster than a table.
const MAX_LIST: usize = 8;

/// A map in insertion order; see the [module](self).
#[derive(Clone, Debug)]
pub(crate) enum SmallMap<K, V> {
    /// Up to [`MAX_LIST`] entries, in order.
    List(Vec<(K, V)>),
    /// More entries, now or at some time before. It is boxed, because most maps never become a table.
    Table(Box<Table<K, V>>),
}

/// The form of a map that has outgrown its list.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V> {
    /// Each value with its position in the order.
    entries: HashMap<K, (u64, V)>,
    /// The position of the next entry.
    next: u64,
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> SmallMap<K, V> {
        SmallMap::List(Vec::new())
    }
}

impl<K: Copy + Eq + Hash, V> SmallMap<K, V> {
    /// Inserts `value` behind all others, or replaces the value that has the key, which keeps its position.
    /// Returns the replaced value, so that it is not dropped here.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let SmallMap::List(list) = self {
            if let Some((_, old)) = list.iter_mut().find(|(k, _)| *k == key) {
                return Some(std::mem::replace(old, value));
            }
            if list.len() < MAX_LIST {
                // One at a time, because most maps never have a second entry.
                list.reserve_exact(1);
                list.push((key, value));
                return None;
            }
            let entries =
                (0..).zip(list.drain(..)).map(|(position, (key, value))| (key, (position, value))).collect();
            *self = SmallMap::Table(Box::new(Table { entries, next: MAX_LIST as u64 }));
        }
        match self {
            SmallMap::Table(table) => table.insert(key, value),
            SmallMap::List(_) => unreachable!("a list that is full has become a table"),
        }
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match self {
            SmallMap::List(list) => list.iter_mut().find(|(k, _)| *k == key).map(|(_, value)| value),
            SmallMap::Table(table) => table.entries.get_mut(&key).map(|(_, value)| value),
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

    /// Returns the values, in order.
    pub(crate) fn values(&self) -> Vec<&V> {
        match self {
            SmallMap::List(list) => list.iter().map(|(_, value)| value).collect(),
            SmallMap::Table(table) => {
                let mut values: Vec<_> = table.entries.values().collect();
                values.sort_unstable_by_key(|(position, _)| *position);
                values.into_iter().map(|(_, value)| value).collect()
            }
        }
    }

    /// Returns the entries, in order.
    pub(crate) fn into_entries(self) -> Vec<(K, V)> {
        match self {
            SmallMap::List(list) => list,
            SmallMap::Table(table) => {
                let mut entries: Vec<_> = table.entries.into_iter().collect();
                entries.sort_unstable_by_key(|(_, (position, _))| *position);
                entries.into_iter().map(|(key, (_, value))| (key, value)).collect()
            }
        }
    }
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// Does the work of [`SmallMap::insert`] for a table.
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
        for count in [0, 1, MAX_LIST, MAX_LIST + 1, 100] {
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
        for count in [3, MAX_LIST as u64, MAX_LIST as u64 + 1, 1000] {
            // Keys whose own order is another one, all different because the factor is odd.
            let key = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut map = SmallMap::default();
            (0..count).for_each(|n| assert_eq!(map.insert(key(n), n), None));
            assert_eq!(map.remove(key(1)), Some(1));
            assert_eq!(map.insert(key(2), 2), Some(2), "a replaced entry keeps its position");
            assert_eq!(map.insert(key(1), 1), None, "an entry that comes back stands behind the others");
            let expected: Vec<_> = [0].into_iter().chain(2..count).chain([1]).collect();
            assert!(map.values().into_iter().eq(&expected));
            assert!(map.into_entries().into_iter().eq(expected.into_iter().map(|n| (key(n), n))));
        }
    }
}

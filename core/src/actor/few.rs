//! A map that is usually small: a list up to some length, a hash table from there.
//!
//! Most processes have no more than a link or two; a supervisor may have a hundred thousand. The entries keep no order.

use std::collections::HashMap;
use std::hash::Hash;

/// Up to so many entries a list is both smaller and faster.
const FEW: usize = 8;

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Few<K, V> {
    /// Not many.
    List(Vec<(K, V)>),
    /// Many, now or once.
    Table(HashMap<K, V>),
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Few<K, V> {
        Few::List(Vec::new())
    }
}

impl<K: Copy + Eq + Hash, V> Few<K, V> {
    /// Enters `value`; the value that was there, or the new one when there was one and it is kept, is not dropped here.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Few::List(list) = self {
            if let Some((_, old)) = list.iter_mut().find(|(k, _)| *k == key) {
                return Some(std::mem::replace(old, value));
            }
            if list.len() < FEW {
                // Exactly one at a time: most never have a second.
                list.reserve_exact(1);
                list.push((key, value));
                return None;
            }
            *self = Few::Table(list.drain(..).collect());
        }
        match self {
            Few::Table(table) => table.insert(key, value),
            Few::List(_) => unreachable!("a list that is full has become a table"),
        }
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        match self {
            Few::List(list) => {
                let at = list.iter().position(|(k, _)| *k == key)?;
                Some(list.swap_remove(at).1)
            }
            Few::Table(table) => table.remove(&key),
        }
    }

    pub(super) fn contains(&self, key: K) -> bool {
        match self {
            Few::List(list) => list.iter().any(|(k, _)| *k == key),
            Few::Table(table) => table.contains_key(&key),
        }
    }

    /// The entries.
    pub(super) fn into_entries(self) -> Vec<(K, V)> {
        match self {
            Few::List(list) => list,
            Few::Table(table) => table.into_iter().collect(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_few_and_many_are_the_same_map() {
        for count in [0, 1, FEW, FEW + 1, 100] {
            let mut map = Few::default();
            for n in 0..count {
                assert_eq!(map.insert(n, n * 2), None);
                assert_eq!(map.insert(n, n * 3), Some(n * 2));
            }
            assert!((0..count).all(|n| map.contains(n)) && !map.contains(count));
            for n in (0..count).step_by(2) {
                assert_eq!(map.remove(n), Some(n * 3));
                assert_eq!(map.remove(n), None);
            }
            let mut left = map.into_entries();
            left.sort_unstable();
            assert!(left.into_iter().eq((1..count).step_by(2).map(|n| (n, n * 3))));
        }
    }
}

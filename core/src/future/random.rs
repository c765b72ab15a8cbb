//! Cheap random numbers, for fairness and for what is not to happen all at once, and nothing else.
//!
//! The state of the generator belongs to the strand, and its seed to the strand's world: so a simulated world
//! decides every choice that is made in it.

use std::hash::{BuildHasher, RandomState};

use crate::kernel::strand::with_state;
use crate::kernel::world;

/// Returns the next number of the generator. Marsaglia's xorshift64, a few instructions.
#[inline]
fn next() -> u64 {
    with_state(|strand| {
        let state = strand.random();
        let mut x = match state.get() {
            0 => seed(),
            x => x,
        };
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        x
    })
}

/// Returns a number below `n`, which must not be 0, and leaves another random number in `random`.
///
/// `random` is a fraction in fixed point: the whole part of its product with `n` is what is returned, and the
/// rest is a fraction again. So no division, and one number of the generator is enough for some twenty
/// choices.
#[inline]
fn below(n: u32, random: &mut u64) -> u32 {
    let product = u128::from(*random) * u128::from(n);
    *random = product as u64;
    (product >> 64) as u32
}

/// Returns a number from 0 to below 1.
pub(crate) fn fraction() -> f64 {
    // As many bits as the number is exact to.
    (next() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Puts `items` in any order, each as likely as any other: the shuffle of Fisher and Yates.
pub(super) fn shuffle<T>(items: &mut [T]) {
    for place in (1..items.len()).rev() {
        // Swaps among more than 2^32 items would leave some where they are.
        let other = below((place + 1).min(u32::MAX as usize) as u32, &mut next());
        items.swap(place, other as usize);
    }
}

/// Returns the indices of the bits of `set`: in order if it is `biased`, else by chance, such that of any
/// that are looked at each is as likely as any other to come first.
///
/// To begin anywhere and go round is not enough: behind an index that is not ready, the next one would have
/// twice the chance.
#[inline]
pub(super) fn order(set: u32, biased: bool) -> Order {
    Order { set, random: (!biased).then(next) }
}

/// The order that [`order`] returns.
pub(super) struct Order {
    /// The bits of the indices that are left.
    set: u32,
    /// The random number, as far as it has not been used; `None` if the order is biased.
    random: Option<u64>,
}

impl Iterator for Order {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.set == 0 {
            return None;
        }
        let before = match &mut self.random {
            Some(random) => below(self.set.count_ones(), random),
            None => 0,
        };
        // The rest is the set without `before` of its lowest bits.
        let rest = (0..before).fold(self.set, |rest, _| rest & (rest - 1));
        let index = rest.trailing_zeros();
        self.set &= !(1 << index);
        Some(index as usize)
    }
}

/// Returns the first state of a generator, which is never 0: the world's, or else another one for each strand
/// and in each run.
#[cold]
fn seed() -> u64 {
    let of_world = world::current().and_then(|world| world.random());
    of_world.unwrap_or_else(|| RandomState::new().hash_one(0)) | 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_each_index_once() {
        for set in [0, 1, 0b1010_0110, u32::MAX, 1 << 31] {
            let bits = (0..32).filter(|bit| set & 1 << bit != 0).collect::<Vec<usize>>();
            assert_eq!(order(set, true).collect::<Vec<_>>(), bits);
            let mut random: Vec<_> = order(set, false).collect();
            random.sort_unstable();
            assert_eq!(random, bits);
        }
    }

    /// Of those that are ready, whoever they are, each comes first as often as any other.
    #[test]
    fn each_of_those_that_matter_comes_first_as_often() {
        const ROUNDS: usize = 24_000;
        for (all, ready) in
            [(2, 0b11), (3, 0b101), (4, 0b1001), (6, 0b11_0010), (32, 0x8001_0011), (32, u32::MAX)]
        {
            let mut first = [0_usize; 32];
            for _ in 0..ROUNDS {
                let mut order = order(u32::MAX >> (32 - all), false);
                let winner = order.find(|index| ready & 1 << index != 0).expect("one is ready");
                first[winner] += 1;
            }
            let share = ROUNDS / ready.count_ones() as usize;
            for (index, wins) in first.into_iter().enumerate().filter(|(index, _)| ready & 1 << index != 0) {
                // More than six standard deviations away from an equal chance, at any number of arms.
                let bound = 6 * (share as f64).sqrt() as usize;
                assert!(wins.abs_diff(share) < bound, "{index} of {ready:b} has won {wins} times");
            }
        }
    }

    #[test]
    fn a_shuffle_leaves_each_item_anywhere_as_often() {
        let mut places = [[0; 5]; 5];
        for _ in 0..10_000 {
            let mut items = [0, 1, 2, 3, 4];
            shuffle(&mut items);
            (0..5).for_each(|place| places[items[place]][place] += 1);
        }
        assert!(places.iter().flatten().all(|times| (1_700..2_300).contains(times)), "{places:?}");
    }
}

//! Passing over a term: as many loops as there are terms in it, and no stack.

use super::{Decoder, MAX_DEPTH};
use crate::wire::error::{DecodeError, Why};
use crate::wire::tag;

impl<'a> Decoder<'a> {
    /// Passes over a term. Counts and tags are checked, and that the nesting is not too deep; texts are not.
    ///
    /// # Errors
    /// Where there is no whole term.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        match self.skip_head()? {
            0 => Ok(()),
            inside => self.skip_inside(inside),
        }
    }

    /// Passes over that many terms, which stand in one that has begun.
    fn skip_inside(&mut self, inside: u64) -> Result<(), DecodeError> {
        // The terms that are still to come at each level that has been entered.
        let mut levels = [0u64; MAX_DEPTH + 1];
        let bottom = self.depth + 1;
        let mut depth = bottom;
        *levels.get_mut(depth).ok_or(Why::Depth { limit: MAX_DEPTH })? = inside;
        loop {
            while levels[depth] == 0 {
                if depth == bottom {
                    return Ok(());
                }
                depth -= 1;
            }
            levels[depth] -= 1;
            let inside = self.skip_head()?;
            if inside > 0 {
                depth += 1;
                *levels.get_mut(depth).ok_or(Why::Depth { limit: MAX_DEPTH })? = inside;
            }
        }
    }

    /// Passes over a term, but for its elements, whose number is returned.
    fn skip_head(&mut self) -> Result<u64, DecodeError> {
        let len = match self.tag()? {
            tag::NIL => 0,
            tag::SMALL_INTEGER | tag::ATOM_CACHE_REF => 1,
            tag::INTEGER => 4,
            tag::NEW_FLOAT => 8,
            tag::FLOAT => 31,
            tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8 => usize::from(self.byte()?),
            tag::ATOM | tag::ATOM_UTF8 | tag::STRING => usize::from(self.u16()?),
            tag::BINARY => self.len()?,
            tag::BIT_BINARY => {
                self.bit_parts()?;
                0
            }
            tag::SMALL_BIG => usize::from(self.byte()?) + 1,
            tag::LARGE_BIG => self.len()?.saturating_add(1),
            tag::PID => return self.skip_named(9),
            tag::NEW_PID => return self.skip_named(12),
            tag::PORT | tag::REFERENCE => return self.skip_named(5),
            tag::NEW_PORT => return self.skip_named(8),
            tag::V4_PORT => return self.skip_named(12),
            tag::NEW_REFERENCE => {
                let words = usize::from(self.u16()?);
                return self.skip_named(1 + 4 * words);
            }
            tag::NEWER_REFERENCE => {
                let words = usize::from(self.u16()?);
                return self.skip_named(4 + 4 * words);
            }
            tag::SMALL_TUPLE => {
                let arity = usize::from(self.byte()?);
                return self.fits(arity).map(|arity| arity as u64);
            }
            tag::LARGE_TUPLE => return self.count(1).map(|arity| arity as u64),
            tag::LIST => return self.count(1).map(|count| count as u64 + 1),
            tag::MAP => return self.count(2).map(|pairs| 2 * pairs as u64),
            // Module, function and arity.
            tag::EXPORT => return Ok(3),
            tag::NEW_FUN => {
                self.take(4 + 1 + 16 + 4)?;
                // Module, index, hash and pid come first.
                return self.count(1).map(|free| free as u64 + 4);
            }
            // Pid, module, index and hash come first.
            tag::FUN => return self.count(1).map(|free| free as u64 + 4),
            tag => return Err(Why::UnknownTag(tag).into()),
        };
        self.take(len)?;
        Ok(0)
    }

    /// Passes over the name of a node and `len` bytes.
    fn skip_named(&mut self, len: usize) -> Result<u64, DecodeError> {
        self.atom()?;
        self.take(len)?;
        Ok(0)
    }
}

//! Addresses: a prefix such as `10.0.0.0/16`, and the pool of what is free in it.
//!
//! The lowest free address is given out. The first four and the last address of a prefix are the network's own
//! (Azure: virtual network FAQ, address ranges).

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Addresses at the beginning of a prefix that are never given out.
const RESERVED_FIRST: u32 = 4;
/// Bits in one word of the pool.
const WORD_BITS: u32 = 64;

/// A network prefix in the notation `address/length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressPrefix {
    first: u32,
    length: u8,
}

impl AddressPrefix {
    /// Bits that all its addresses share.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Addresses in it, the network's own included.
    pub fn size(self) -> u32 {
        1_u32.checked_shl(32 - u32::from(self.length)).unwrap_or(u32::MAX)
    }
}

impl TryFrom<String> for AddressPrefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let problem = || format!("{text} is no prefix such as 10.0.0.0/16");
        let (address, length) = text.split_once('/').ok_or_else(problem)?;
        let address: Ipv4Addr = address.parse().map_err(|_| problem())?;
        let length: u8 = length.parse().map_err(|_| problem())?;
        let prefix = Self { first: address.to_bits(), length };
        if !(1..=32).contains(&length) || !prefix.first.is_multiple_of(prefix.size()) {
            return Err(problem());
        }
        Ok(prefix)
    }
}

impl From<AddressPrefix> for String {
    fn from(prefix: AddressPrefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from_bits(self.first), self.length)
    }
}

/// What is free in a prefix: one bit for each address, set when taken.
#[derive(Clone, Debug)]
pub(crate) struct AddressPool {
    prefix: AddressPrefix,
    words: Vec<u64>,
    used: u32,
}

impl AddressPool {
    pub(crate) fn new(prefix: AddressPrefix) -> Self {
        let words = prefix.size().div_ceil(WORD_BITS) as usize;
        let mut pool = Self { prefix, words: vec![0; words], used: 0 };
        let own = (0..RESERVED_FIRST).chain([prefix.size() - 1]);
        own.for_each(|offset| pool.set(offset));
        pool
    }

    /// Addresses that can be given out in all.
    pub(crate) fn capacity(&self) -> u32 {
        self.prefix.size() - RESERVED_FIRST - 1
    }

    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    pub(crate) fn free(&self) -> u32 {
        self.capacity() - self.used
    }

    pub(crate) fn prefix(&self) -> AddressPrefix {
        self.prefix
    }

    /// Gives out the lowest free address; `None` when there is none.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let index = self.words.iter().position(|word| *word != u64::MAX)?;
        let offset = u32::try_from(index).ok()? * WORD_BITS + self.words[index].trailing_ones();
        if offset >= self.prefix.size() {
            return None;
        }
        self.set(offset);
        self.used += 1;
        Some(Ipv4Addr::from_bits(self.prefix.first + offset))
    }

    /// Marks an address that was given out in an earlier run; false when it is not free here.
    pub(crate) fn claim(&mut self, address: Ipv4Addr) -> bool {
        match self.offset(address) {
            Some(offset) if !self.is_set(offset) => {
                self.set(offset);
                self.used += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes an address back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        if let Some(offset) = self.offset(address).filter(|offset| self.is_set(*offset)) {
            self.words[(offset / WORD_BITS) as usize] &= !(1 << (offset % WORD_BITS));
            self.used -= 1;
        }
    }

    fn offset(&self, address: Ipv4Addr) -> Option<u32> {
        let offset = address.to_bits().checked_sub(self.prefix.first)?;
        (RESERVED_FIRST..self.prefix.size() - 1).contains(&offset).then_some(offset)
    }

    fn is_set(&self, offset: u32) -> bool {
        self.words[(offset / WORD_BITS) as usize] & (1 << (offset % WORD_BITS)) != 0
    }

    fn set(&mut self, offset: u32) {
        self.words[(offset / WORD_BITS) as usize] |= 1 << (offset % WORD_BITS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Result<AddressPrefix, String> {
        AddressPrefix::try_from(text.to_owned())
    }

    #[test]
    fn a_prefix_is_an_address_on_its_own_boundary() {
        assert_eq!(prefix("10.1.0.0/16").unwrap().size(), 65_536);
        for text in ["10.0.0.0", "10.0.0.1/24", "10.0.0.0/33", "10.0.0/24", "ten/8", "10.0.0.0/0"] {
            assert!(prefix(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn the_lowest_free_address_is_given_until_the_subnet_is_full() {
        let mut pool = AddressPool::new(prefix("10.0.0.0/29").unwrap());
        let taken: Vec<String> = std::iter::from_fn(|| pool.take()).map(|address| address.to_string()).collect();
        assert_eq!(taken, ["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!((pool.capacity(), pool.free()), (3, 0));
        pool.release(Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!(pool.take(), Some(Ipv4Addr::new(10, 0, 0, 5)));
    }

    #[test]
    fn only_a_free_address_of_the_prefix_can_be_claimed() {
        let mut pool = AddressPool::new(prefix("10.0.0.0/29").unwrap());
        let claims = [[10, 0, 0, 4], [10, 0, 0, 4], [10, 0, 0, 1], [10, 0, 0, 7], [10, 0, 1, 4]];
        let outcome = claims.map(|octets| pool.claim(Ipv4Addr::from(octets)));
        assert_eq!(outcome, [true, false, false, false, false]);
        assert_eq!(pool.used(), 1);
    }
}

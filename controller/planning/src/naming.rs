//! Ids and names of members.
//!
//! Uniform: Azure's "Understand instance IDs for Virtual Machine Scale Sets": numbers from 0 upwards, never reused here
//! (`docs/decisions`), computer name = prefix and the number in base 36, six characters. Flexible: `{set}-{8 hex}` and
//! prefix and six base-36 characters; Azure draws them at random, here they are derived from the set's uid and the
//! member's number, so that a repeated create meets the name that it made before.

use sha2::{Digest, Sha256};

const BASE_36: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const COMPUTER_NAME_DIGITS: usize = 6;
/// Computer names of Windows have at most 15 characters, six of which are the number.
pub const WINDOWS_PREFIX_MAX: usize = 9;
/// Azure's bound of a prefix.
pub const PREFIX_MAX: usize = 15;

/// Name of a Uniform member's object: `{set}-{number}`.
pub fn uniform_name(set: &str, number: i64) -> String {
    format!("{set}-{number}")
}

/// Name of a Flexible member that the set makes: `{set}-{8 hex}`.
pub fn flexible_name(set: &str, set_uid: &str, number: i64) -> String {
    format!("{set}-{}", &hex_digest(&format!("{set_uid}/{number}"))[..8])
}

/// Computer name of a Uniform member: prefix and the number in base 36, upper case, six characters; the number wraps
/// after `ZZZZZZ`.
pub fn uniform_computer_name(prefix: &str, number: i64) -> String {
    let modulus = 36_i64.pow(6);
    format!("{prefix}{}", base_36(number.rem_euclid(modulus)))
}

/// Computer name of a Flexible member: prefix and six base-36 characters derived from its object's name.
pub fn flexible_computer_name(prefix: &str, member_name: &str) -> String {
    let digest = Sha256::digest(member_name.as_bytes());
    let number = digest.iter().take(6).fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte));
    format!("{prefix}{}", base_36(number.rem_euclid(36_i64.pow(6))))
}

/// The prefix in force: the one in the model, else the set's name cut to `longest` characters.
pub fn computer_name_prefix<'name>(prefix: Option<&'name str>, set: &'name str, longest: usize) -> &'name str {
    prefix.unwrap_or_else(|| set.get(..longest).unwrap_or(set).trim_end_matches('-'))
}

/// SHA-256 of `text` in lower-case hexadecimal.
pub(crate) fn hex_digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        use std::fmt::Write;
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}

fn base_36(number: i64) -> String {
    let mut digits = [b'0'; COMPUTER_NAME_DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        let index = usize::try_from(rest % 36).expect("a remainder of 36 is an index");
        *digit = BASE_36[index];
        rest /= 36;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_computer_names_count_in_base_36() {
        let table = [
            (0, "000000"),
            (10, "00000A"),
            (35, "00000Z"),
            (36, "000010"),
            (85, "00002D"),
            (1146, "0000VU"),
            (2_176_782_335, "ZZZZZZ"),
            (2_176_782_336, "000000"),
        ];
        for (number, digits) in table {
            assert_eq!(uniform_computer_name("web", number), format!("web{digits}"), "number {number}");
        }
    }

    #[test]
    fn flexible_names_are_stable_and_distinct() {
        let names: std::collections::BTreeSet<String> =
            (0..1_000).map(|number| flexible_name("demo", "uid-1", number)).collect();
        assert_eq!(names.len(), 1_000);
        assert_eq!(flexible_name("demo", "uid-1", 7), flexible_name("demo", "uid-1", 7));
        assert_ne!(flexible_name("demo", "uid-1", 7), flexible_name("demo", "uid-2", 7));
        let computer = flexible_computer_name("demo", "demo-3d68ad8f");
        assert_eq!(computer.len(), 10);
        assert!(computer[4..].bytes().all(|digit| BASE_36.contains(&digit)), "{computer}");
    }

    #[test]
    fn the_default_prefix_is_the_set_name_cut_to_length() {
        assert_eq!(computer_name_prefix(Some("own"), "a-long-set-name", 9), "own");
        assert_eq!(computer_name_prefix(None, "web", 15), "web");
        assert_eq!(computer_name_prefix(None, "a-long-set-name-here", 15), "a-long-set-name");
        assert_eq!(computer_name_prefix(None, "a-long-s-name", 9), "a-long-s");
    }
}

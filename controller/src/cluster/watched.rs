//! Where a controller works: in every namespace, or in one and no other.
//!
//! Lists and watches are asked for here, so that a controller of one namespace gets by on the rights of a Role in it.
//! What it does not watch it does not know: an object of another namespace is to it as one that does not exist.

use std::fmt;

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

/// The name of a namespace has at most so many characters.
const NAME_MAX: usize = 63;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WatchedNamespaces {
    /// Every one.
    #[default]
    All,
    /// That one.
    One(String),
}

impl WatchedNamespaces {
    /// The one that is named, or every one.
    pub fn named(namespace: Option<&str>) -> Self {
        namespace.map_or(Self::All, |name| Self::One(name.to_owned()))
    }

    /// Whether objects of that namespace are seen.
    pub fn include(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(name) => name == namespace,
        }
    }

    /// The objects of a kind that are listed and watched.
    pub(crate) fn objects<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::All => Api::all(client),
            Self::One(name) => Api::namespaced(client, name),
        }
    }
}

/// As a choice of kubectl's commands.
impl fmt::Display for WatchedNamespaces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("--all-namespaces"),
            Self::One(name) => write!(formatter, "--namespace {name}"),
        }
    }
}

/// The parser of a flag that names a namespace.
pub(crate) fn namespace_name(text: &str) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let ends = |character: Option<char>| character.is_some_and(|character| character != '-');
    if text.len() <= NAME_MAX && text.chars().all(fits) && ends(text.chars().next()) && ends(text.chars().last()) {
        return Ok(text.to_owned());
    }
    Err(format!("must be the name of one namespace: lower case letters, digits and dashes, at most {NAME_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_is_that_and_no_other() {
        let one = WatchedNamespaces::named(Some("shop"));
        for (watched, namespace, included) in [
            (&one, "shop", true),
            (&one, "shop-2", false),
            (&one, "", false),
            (&WatchedNamespaces::named(None), "shop", true),
        ] {
            assert_eq!(watched.include(namespace), included, "{watched:?} {namespace}");
        }
        assert_eq!(one.to_string(), "--namespace shop");
        assert_eq!(WatchedNamespaces::All.to_string(), "--all-namespaces");
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        for name in ["shop", "shop-2", "2"] {
            assert_eq!(namespace_name(name).as_deref(), Ok(name));
        }
        for name in ["", "a,b", "a/b", "Shop", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(namespace_name(name).is_err(), "{name}");
        }
    }
}

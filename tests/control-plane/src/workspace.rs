//! Which checkout this process works for.
//!
//! Decided while it runs, never when it was compiled: two checkouts that share a target directory share its programs
//! as well, and `make down CLEAN=1` in one must not remove the state of the other.

use std::path::{Path, PathBuf};

/// The file that makes a directory the root of a checkout.
const MARK: &str = "hack/control-plane/go.mod";

/// The root of the checkout: above the package that cargo runs, or above the current directory when it is not cargo
/// that runs us. Where neither lies in a checkout it is the current directory, and what is looked for there is missing.
pub fn workspace_root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let current = std::env::current_dir().unwrap_or_default();
    package.as_deref().and_then(root_above).or_else(|| root_above(&current)).unwrap_or(current)
}

fn root_above(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().find(|ancestor| ancestor.join(MARK).is_file()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{MARK, root_above};

    #[test]
    fn the_root_is_the_nearest_checkout_above() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("clone");
        for root in [outer.path(), &inner] {
            fs::create_dir_all(root.join("hack/control-plane")).unwrap();
            fs::create_dir_all(root.join("hack/xtask/src")).unwrap();
            fs::write(root.join(MARK), "").unwrap();
        }
        assert_eq!(root_above(&inner.join("hack/xtask/src")), Some(inner.clone()));
        assert_eq!(root_above(&outer.path().join("hack/xtask")), Some(outer.path().to_owned()));
        fs::remove_file(outer.path().join(MARK)).unwrap();
        assert_eq!(root_above(&outer.path().join("hack")), None);
    }
}

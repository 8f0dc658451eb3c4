//! cargo, called by programs that cargo itself runs.

use std::process::Command;

use crate::workspace::workspace_root;

/// cargo in this checkout.
///
/// Whoever is run by cargo finds its own package described in variables that build scripts watch. Handed on, they would
/// make every crate above such a script be built again whenever this cargo and one from the shell take turns.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::cargo;

    #[test]
    fn what_cargo_tells_of_our_package_is_not_handed_on() {
        let command = cargo();
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(removed.iter().any(|name| *name == "CARGO_PKG_NAME"), "{removed:?}");
        assert!(removed.iter().any(|name| *name == "CARGO_MANIFEST_DIR"), "{removed:?}");
    }
}

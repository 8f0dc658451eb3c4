//! A text beside the one that is kept; `UPDATE_GOLDENS=1` writes it anew, and the change is then to be read.

use std::fs;
use std::path::Path;

use anyhow::ensure;

/// Compares a text with the one in a file.
pub fn compare(path: &Path, text: &str) -> anyhow::Result<()> {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(path, text)?;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), text.lines().collect());
    let same = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let line = |lines: &[&str]| lines.get(same).map_or_else(|| "(the end)".to_owned(), |line| (*line).to_owned());
    let place = path.display();
    ensure!(expected == text, "{place}, line {}:\n- {}\n+ {}", same + 1, line(&old), line(&new));
    Ok(())
}

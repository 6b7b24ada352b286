//! A folder of files for one test.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// An empty folder in the system's place for temporary files, removed with all it holds when
/// dropped.
///
/// ```
/// let tree = testkit::TempTree::new();
/// let page = tree.file("docs/index.html", b"<p>hello");
/// assert_eq!(std::fs::read(page)?, b"<p>hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TempTree(tempfile::TempDir);

impl TempTree {
    /// Makes it.
    ///
    /// # Panics
    ///
    /// If there is no room for one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder, which no default should")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("ukevent-").tempdir();
        Self(folder.unwrap_or_else(|error| panic!("a temporary folder: {error}")))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and the folders above it, and returns its path.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        let folder = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, content))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Makes a folder, and those above it, and returns its path.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

#[cfg(test)]
mod tests {
    use super::TempTree;

    #[test]
    fn goes_with_all_it_holds() {
        let tree = TempTree::new();
        let root = tree.path().to_owned();
        let file = tree.file("a/b/c", "text");
        assert!(tree.folder("a/d").is_dir());
        assert!(file.starts_with(&root) && file.is_file());
        drop(tree);
        assert!(!root.exists());
    }
}

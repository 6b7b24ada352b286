//! In which directories a change may make a path lead to something else.
//!
//! A file is replaced by a rename, or by a link on its path that is made to lead elsewhere (symlink(7)):
//! certbot's `live/site/key.pem` is a link into `archive/`, Kubernetes' `tls.key` one through `..data`. So
//! each directory that has a link of the path in it counts, and at the end the one that has the file. Where
//! the path leads nowhere, it is the directory that has to get what is missing.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// Links that are followed, as the kernel does (path_resolution(7)).
const LINKS: usize = 40;

/// The directories that matter to a path, each once. Blocks.
pub(crate) fn directories(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut add = |at: &Path| {
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        if !found.iter().any(|it| it == at) {
            found.push(at.to_owned());
        }
    };
    let (mut at, mut links) = (PathBuf::new(), 0);
    let mut rest = parts(path);
    while let Some(part) = rest.pop_front() {
        let next = at.join(&part);
        match fs::symlink_metadata(&next) {
            Err(_) => {
                add(&at);
                break;
            }
            Ok(metadata) if metadata.is_symlink() && links < LINKS => {
                links += 1;
                add(&at);
                let Ok(target) = fs::read_link(&next) else { break };
                // An absolute one replaces where it is, as a join does.
                parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
            }
            Ok(_) => {
                if rest.is_empty() {
                    add(&at);
                }
                at = next;
            }
        }
    }
    found
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::directories;
    use std::{fs, os::unix::fs::symlink, path::Path};

    #[test]
    fn those_of_links_and_of_the_file() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for path in ["live/site", "archive/site", "plain", "data/v1"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["archive/site/key1.pem", "plain/key.pem", "data/v1/key.pem"] {
            fs::write(at(path), "").unwrap();
        }
        symlink("../../archive/site/key1.pem", at("live/site/key.pem")).unwrap();
        symlink("v1", at("data/now")).unwrap();
        symlink("now/key.pem", at("data/key.pem")).unwrap();
        symlink(at("data/key.pem"), at("plain/far.pem")).unwrap();
        symlink("round", at("plain/round")).unwrap();
        for (path, expected) in [
            ("plain/key.pem", &["plain"][..]),
            ("live/site/key.pem", &["live/site", "live/site/../../archive/site"]),
            ("data/key.pem", &["data", "data/v1"]),
            ("plain/far.pem", &["plain", "data", "data/v1"]),
            ("plain/missing.pem", &["plain"]),
            ("none/missing.pem", &[""]),
            ("plain/round", &["plain"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|path| at(path)).collect();
            assert_eq!(directories(&at(path)), expected, "{path}");
        }
        assert_eq!(directories(Path::new("no-such-file.pem")), [Path::new(".")]);
    }
}

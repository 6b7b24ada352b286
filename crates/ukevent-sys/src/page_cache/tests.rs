//! On a disk that can forget, of a kernel that can be asked; else there is nothing to be seen.

use super::*;
use rustix::fs::{Advice, fadvise};
use std::io::Write;
use testkit::TempTree;

#[test]
fn what_is_in_memory_is_counted_in_pages() {
    let tree = TempTree::new();
    let mut file = std::fs::File::create(tree.path().join("file")).unwrap();
    let page = page_bytes();
    file.write_all(&vec![1; 4 * page as usize]).unwrap();
    let Ok(all) = cached_pages(&file, 0, 4 * page) else {
        testkit::skip!("cachestat(2) is of Linux 6.5, and allowed");
    };
    if all.pages == 0 {
        testkit::skip!("the file system keeps its pages elsewhere");
    }
    assert_eq!(all, Cached { pages: 4, of: 4 });
    // A range touches each page that one of its bytes lies in.
    assert_eq!(cached_pages(&file, page - 1, 2), Ok(Cached { pages: 2, of: 2 }));
    assert_eq!(cached_pages(&file, page, 1), Ok(Cached { pages: 1, of: 1 }));
    assert_eq!(cached_pages(&file, 0, 0), Ok(Cached { pages: 0, of: 0 }));
    assert_eq!(cached_pages(&file, 3 * page, 2 * page), Ok(Cached { pages: 1, of: 2 }));
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let none = cached_pages(&file, 0, 4 * page).unwrap();
    if none.pages == 4 {
        testkit::skip!("files here stay in memory");
    }
    assert_eq!(none, Cached { pages: 0, of: 4 });
}

fn page_bytes() -> u64 {
    // SAFETY: asks for a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.try_into().unwrap()
}

#[test]
fn what_has_no_pages_is_an_error_or_nothing() {
    let (reader, _writer) = testkit::pipe_pair();
    assert!(
        cached_pages(&reader, 0, 4096).is_ok_and(|it| it.pages == 0)
            || cached_pages(&reader, 0, 4096).is_err()
    );
}

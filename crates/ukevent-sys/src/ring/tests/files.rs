//! Files.

use super::*;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use testkit::TempTree;

fn c_path(path: &std::path::Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

#[test]
fn a_file_is_made_written_read_and_measured() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let tree = TempTree::new();
    let path = tree.path().join("file");
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    let open = || Operation::Open { directory: None, path: c_path(&path), flags, mode: 0o640 };
    let (result, load) = perform(&mut ring, open());
    assert_eq!(result, 0);
    let file = descriptor(load);
    assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let (result, load) = perform(&mut ring, open());
    assert!(matches!((result, load), (result, Load::None) if result == -libc::EEXIST));

    let fd = file.as_raw_fd();
    // At the position of the file twice, then at a place.
    for (bytes, offset) in [(&b"one "[..], None), (b"two ", None), (b"ONE", Some(0))] {
        let (result, load) =
            perform(&mut ring, Operation::Write { fd, buffer: bytes.to_vec(), offset });
        assert_eq!((result as usize, &buffer(load)[..]), (bytes.len(), bytes));
    }
    for data_only in [true, false] {
        assert_eq!(perform(&mut ring, Operation::Sync { fd, data_only }).0, 0);
    }
    let room = Vec::with_capacity(64);
    let (result, load) = perform(&mut ring, Operation::Read { fd, buffer: room, offset: Some(2) });
    assert_eq!((result, &buffer(load)[..]), (6, &b"E two "[..]));
    // The position is at the end.
    let room = Vec::with_capacity(64);
    let (result, load) = perform(&mut ring, Operation::Read { fd, buffer: room, offset: None });
    assert_eq!((result, buffer(load).len()), (0, 0));
    let room = Vec::with_capacity(64);
    let offset = Some(u64::MAX);
    let (result, _) = perform(&mut ring, Operation::Read { fd, buffer: room, offset });
    assert_eq!(result, -libc::EINVAL);
    drop(file);
    assert_eq!(std::fs::read(&path).unwrap(), b"ONE two ");
}

#[test]
fn a_relative_path_begins_at_a_directory() {
    let mut ring: Ring = ring!();
    let tree = TempTree::new();
    std::fs::write(tree.path().join("file"), b"x").unwrap();
    let folder = std::fs::File::open(tree.path()).unwrap();
    let directory = Some(folder.as_raw_fd());
    let mut open = |name: &str| {
        let path = CString::new(name).unwrap();
        perform(&mut ring, Operation::Open { directory, path, flags: 0, mode: 0 })
    };
    descriptor(open("file").1);
    assert_eq!(open("nothing").0, -libc::ENOENT);
}

#[test]
fn the_status_of_a_file_is_told() {
    use std::os::unix::fs::MetadataExt;
    let mut ring: Ring = ring!();
    let tree = TempTree::new();
    let (path, link) = (tree.path().join("file"), tree.path().join("link"));
    std::fs::write(&path, b"12345").unwrap();
    std::os::unix::fs::symlink("file", &link).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let truth = file.metadata().unwrap();
    let mut stat = |directory, path, follow| {
        let status = Box::default();
        perform(&mut ring, Operation::Stat { directory, path, follow, status })
    };
    let ways = [
        stat(None, Some(c_path(&path)), false),
        stat(None, Some(c_path(&link)), true),
        stat(Some(file.as_raw_fd()), None, false),
    ];
    for (result, load) in ways {
        let (0, Load::Status(status)) = (result, load) else { panic!("{result}") };
        assert_eq!((status.size_bytes(), status.inode()), (5, truth.ino()));
        assert_eq!((status.mode(), status.is_file()), (truth.mode(), true));
        assert_eq!(status.owner(), (truth.uid(), truth.gid()));
        assert_eq!(status.modified().0, truth.mtime());
        assert_eq!(u64::from(status.links()), truth.nlink());
    }
    let (_, load) = stat(None, Some(c_path(&link)), false);
    assert!(matches!(load, Load::Status(status) if !status.is_file() && !status.is_directory()));
    let (_, load) = stat(None, Some(c_path(tree.path())), false);
    assert!(matches!(load, Load::Status(status) if status.is_directory()));
    let (result, load) = stat(None, Some(c"/nowhere".to_owned()), false);
    assert!(matches!((result, load), (result, Load::None) if result == -libc::ENOENT));
}

#[test]
fn a_number_that_names_nothing_is_refused() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let fd = -7;
    let (result, load) = perform(&mut ring, Operation::Write { fd, buffer: vec![1], offset: None });
    assert_eq!((result, buffer(load)), (-libc::EBADF, vec![1]));
    let path = Some(c"file".to_owned());
    let stat = Operation::Stat { directory: Some(fd), path, follow: true, status: Box::default() };
    assert_eq!(perform(&mut ring, stat).0, -libc::EBADF);
    assert_eq!(ring.flights(), 0);
}

#[test]
fn a_path_can_be_kept_beneath_its_directory() {
    let mut ring: Ring = ring!();
    let tree = TempTree::new();
    tree.file("outside", b"x");
    tree.file("folder/inside", b"x");
    let folder = std::fs::File::open(tree.path().join("folder")).unwrap();
    let directory = Some(folder.as_raw_fd());
    let mut open = |name: &str, how: How| {
        let path = CString::new(name).unwrap();
        perform(&mut ring, Operation::OpenHow { directory, path, how: Box::new(how) })
    };
    let (result, load) = open("inside", How::new(0, 0).beneath());
    assert_eq!(result, 0);
    let flags = rustix::io::fcntl_getfd(descriptor(load)).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let (result, load) = open("../outside", How::new(0, 0).beneath());
    assert!(matches!(load, Load::None));
    assert_eq!(result, -libc::EXDEV);
    assert_eq!(open("../outside", How::new(0, 0)).0, 0);
    let made = How::new(libc::O_CREAT | libc::O_WRONLY, 0o600).beneath();
    assert_eq!(open("made", made).0, 0);
    assert!(tree.path().join("folder/made").exists());
}

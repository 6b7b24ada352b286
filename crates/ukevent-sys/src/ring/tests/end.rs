//! The end of a ring with work in flight.

use super::*;
use std::io::{Read, Write};
use testkit::{TempTree, tcp_pair, unix_pair};

fn receive(fd: &impl AsRawFd, buffer: Watched) -> Operation<Watched> {
    Operation::Receive { fd: fd.as_raw_fd(), buffer, flags: NO_FLAGS }
}

fn lend() -> (Watched, &'static Region) {
    let lent = Watched::new(0, 64);
    let region = lent.memory;
    (lent, region)
}

/// Gives the kernel time and reason to write where it must not.
fn provoke(mut peer: impl Write) {
    for _ in 0..10 {
        peer.write_all(b"late").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn memory_is_freed_when_the_kernel_has_done_with_it() {
    let mut ring: Ring<Watched> = ring!();
    let (left, right) = unix_pair();
    let (reader, writer) = testkit::pipe_pair();
    let (received, first) = lend();
    let (read, second) = lend();
    start(&mut ring, receive(&left, received));
    start(&mut ring, Operation::Read { fd: reader.as_raw_fd(), buffer: read, offset: None });
    submit(&mut ring);
    drop(ring);
    assert!(first.is_dropped() && second.is_dropped());
    provoke(&right);
    provoke(&writer);
    assert!(first.is_untouched() && second.is_untouched());
    // Both files were let go of: what was written is there to be read.
    assert_eq!((&left).read(&mut [0; 4]).unwrap(), 4);
    assert_eq!((&reader).read(&mut [0; 4]).unwrap(), 4);
}

#[test]
fn what_completed_and_was_not_taken_is_closed_and_freed() {
    testkit::alone(|| {
        testkit::assert_no_leak(|| {
            let mut ring: Ring<Watched> =
                match Ring::new(RingOptions { submissions: 8, completions: 8 }) {
                    Ok(ring) => ring,
                    Err(error) => return eprintln!("SKIPPED: {error}"),
                };
            ring.enable().unwrap();
            let (listener, address) = testkit::listener();
            let listens = listener.as_raw_fd();
            // More than the ring of completions holds, so that some are on the overflow list.
            start(
                &mut ring,
                Operation::Accept { listener: listens, each: true, nonblocking: false },
            );
            submit(&mut ring);
            let clients: Vec<_> =
                (0..30).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
            let (left, right) = unix_pair();
            let (lent, region) = lend();
            start(&mut ring, receive(&left, lent));
            (&right).write_all(b"early").unwrap();
            submit(&mut ring);
            let (null, path) = (libc::O_RDONLY, c"/dev/null".to_owned());
            start(&mut ring, Operation::Open { directory: None, path, flags: null, mode: 0 });
            submit(&mut ring);
            drop(ring);
            assert!(region.is_dropped());
            drop(clients);
        });
    });
}

#[test]
fn what_was_not_submitted_is_not_done() {
    testkit::alone(|| {
        testkit::assert_no_leak(|| {
            let tree = TempTree::new();
            let path = tree.path().join("file");
            let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
            for enabled in [true, false] {
                let made = Ring::new(RingOptions { submissions: 8, completions: 16 });
                let Ok(mut ring) = made else { return eprintln!("SKIPPED: no io_uring") };
                if enabled {
                    ring.enable().unwrap();
                }
                let (left, mut right) = unix_pair();
                let (lent, region) = lend();
                let flags = libc::O_CREAT | libc::O_WRONLY;
                start(&mut ring, receive(&left, lent));
                if enabled {
                    submit(&mut ring);
                }
                let path = c_path.clone();
                start(&mut ring, Operation::Open { directory: None, path, flags, mode: 0o600 });
                let (sent, other) = lend();
                let fd = left.as_raw_fd();
                start(&mut ring, Operation::Send { fd, buffer: sent, more: false });
                start(&mut ring, Operation::Close { fd: left.into() });
                drop(ring);
                assert!(region.is_dropped() && other.is_dropped());
                // But what was to be closed is.
                assert_eq!(right.read(&mut [0; 1]).unwrap(), 0);
            }
            assert!(!path.exists());
        });
    });
}

#[test]
fn provided_buffers_come_back() {
    let mut ring: Ring<Watched> = ring!();
    ring.add_group(1, 4).unwrap();
    let (lent, taken) = lend();
    assert!(ring.provide(1, lent).is_ok());
    let (lent, left_over) = lend();
    assert!(ring.provide(1, lent).is_ok());
    let (left, right) = unix_pair();
    start(&mut ring, Operation::ReceiveEach { fd: left.as_raw_fd(), group: 1, most_bytes: 0 });
    submit(&mut ring);
    (&right).write_all(b"x").unwrap();
    submit(&mut ring);
    drop(ring);
    assert!(taken.is_dropped() && left_over.is_dropped());
    provoke(&right);
    assert!(taken.is_untouched() && left_over.is_untouched());
}

/// A group that was emptied can be filled again: the kernel takes the new buffers, and none of those that came back.
#[test]
fn a_group_is_emptied_and_filled_again() {
    let mut ring: Ring<Watched> = ring!();
    assert_eq!(ring.empty_group(1).map(drop).unwrap_err().errno(), libc::ENOENT);
    ring.add_group(1, 4).unwrap();
    let (left, right) = unix_pair();
    let each = || Operation::ReceiveEach { fd: left.as_raw_fd(), group: 1, most_bytes: 0 };
    // So often that its places come round.
    for round in 0..9 {
        let (lent, regions): (Vec<_>, Vec<_>) = (0..3).map(|_| lend()).unzip();
        assert!(lent.into_iter().all(|lent| ring.provide(1, lent).is_ok()));
        let is_used = round % 3 != 2;
        if is_used {
            let (_, flight) = start(&mut ring, each());
            (&right).write_all(b"x").unwrap();
            submit(&mut ring);
            assert_eq!(ring.empty_group(1).map(drop).unwrap_err().errno(), libc::EBUSY);
            assert!(ring.cancel_flight(flight));
            submit(&mut ring);
            ring.completions().for_each(drop);
        }
        match ring.empty_group(1) {
            Ok(back) => assert_eq!(back.len(), if is_used { 2 } else { 3 }, "{round}"),
            Err(error) if error.errno() == libc::EINVAL => {
                println!("SKIPPED: this kernel does not tell how far a group is used (Linux 6.8)");
                return;
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(ring.provided(1), 0);
        assert!(regions.iter().all(|region| region.is_dropped()), "{round}");
        // Without a buffer a receive ends, and takes nothing.
        start(&mut ring, each());
        (&right).write_all(b"late").unwrap();
        submit(&mut ring);
        ring.completions().for_each(drop);
        (&left).read_exact(&mut [0; 4]).unwrap();
        assert!(regions.iter().all(|region| region.is_untouched()), "{round}");
    }
}

#[test]
fn elsewhere_memory_in_use_is_leaked() {
    let mut ring: Ring<Watched> = ring!();
    let (left, right) = unix_pair();
    let (lent, region) = lend();
    start(&mut ring, receive(&left, lent));
    submit(&mut ring);
    // This thread lives, so the kernel goes on.
    std::thread::spawn(move || drop(ring)).join().unwrap();
    assert!(!region.is_dropped());
    provoke(&right);
    assert!(!region.is_dropped());
}

#[test]
fn elsewhere_memory_not_in_use_is_freed() {
    let mut ring: Ring<Watched> = ring!();
    ring.add_group(1, 1).unwrap();
    let (provided, in_group) = lend();
    assert!(ring.provide(1, provided).is_ok());
    let (left, right) = unix_pair();
    let (lent, completed) = lend();
    start(&mut ring, receive(&left, lent));
    (&right).write_all(b"x").unwrap();
    submit(&mut ring);
    assert_eq!(ring.waiting(), 1);
    let (lent, unsubmitted) = lend();
    start(&mut ring, receive(&left, lent));
    std::thread::spawn(move || drop(ring)).join().unwrap();
    for region in [in_group, completed, unsubmitted] {
        assert!(region.is_dropped());
    }
    provoke(&right);
    assert!(in_group.is_untouched() && completed.is_untouched() && unsubmitted.is_untouched());
}

#[test]
fn what_will_not_end_is_leaked() {
    let mut ring: Ring<Watched> = ring!();
    let (left, mut right) = tcp_pair();
    // More than both sockets hold: the kernel keeps the pages until the peer takes them.
    let lent = Watched::new(64 << 20, 64 << 20);
    let region = lent.memory;
    let fd = left.as_raw_fd();
    start(&mut ring, Operation::SendZero { fd, buffer: lent, more: false });
    submit(&mut ring);
    // While it waits for that, the end does not begin anything.
    let tree = TempTree::new();
    let path = tree.path().join("file");
    let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let flags = libc::O_CREAT | libc::O_WRONLY;
    start(&mut ring, Operation::Open { directory: None, path: c_path, flags, mode: 0o600 });
    drop(ring);
    assert!(!region.is_dropped() && !path.exists());
    drop(left);
    // What comes is what was sent.
    let mut read = Vec::new();
    right.read_to_end(&mut read).unwrap();
    assert!(read.iter().enumerate().all(|(index, &byte)| byte == (index % 251) as u8));
}

#[test]
fn a_forked_child_frees_nothing() {
    testkit::alone(|| {
        let mut ring: Ring<Watched> = ring!();
        ring.add_group(1, 1).unwrap();
        let (lent, provided) = lend();
        assert!(ring.provide(1, lent).is_ok());
        let (left, mut right) = unix_pair();
        let (lent, region) = lend();
        start(&mut ring, receive(&left, lent));
        submit(&mut ring);
        // SAFETY: the child drops the ring and leaves at once.
        match unsafe { libc::fork() } {
            0 => {
                drop(ring);
                let freed = region.is_dropped() || provided.is_dropped();
                // SAFETY: ends the child and touches nothing of the test's.
                unsafe { libc::_exit(i32::from(freed)) }
            }
            child => {
                let mut status = -1;
                // SAFETY: waits for the child of just now.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(status, 0);
            }
        }
        // Here it goes on.
        right.write_all(b"on").unwrap();
        let completed = next(&mut ring);
        assert_eq!((completed.result, buffer(completed.load).filled), (2, 2));
    });
}

#[test]
fn many_rings_in_a_row_leave_nothing() {
    testkit::alone(|| {
        let (left, _right) = unix_pair();
        let before = testkit::fd_count();
        for _ in 0..100 {
            let mut ring: Ring<Watched> = ring!();
            let (lent, region) = lend();
            start(&mut ring, receive(&left, lent));
            submit(&mut ring);
            drop(ring);
            assert!(region.is_dropped() && region.is_untouched());
        }
        assert_eq!(testkit::fd_count(), before);
    });
}

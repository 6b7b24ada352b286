//! Other processes: one that sees the arena by its memfd, and those that run over its ends.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use ukevent_buf::{Arena, ArenaView, FramePool, NetAllocator};

/// Set in the processes that these tests start.
const PART: &str = "UKEVENT_BUF_PART";

/// This binary again, to play a part of the test of this name.
fn child(test: &str, part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(PART, part);
    command
}

fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// The other process: maps what it was given as standard input, and sums the bytes of each place.
fn read_as_told() {
    let view = ArenaView::open(std::io::stdin()).unwrap();
    for place in std::env::var("PLACES").unwrap().split(' ') {
        let (offset, len) = place.split_once(',').unwrap();
        let (offset, len): (usize, usize) = (offset.parse().unwrap(), len.parse().unwrap());
        let mut bytes = vec![0; len];
        assert!(view.read(offset, &mut bytes));
        // SAFETY: the parent waits, and writes nothing meanwhile.
        assert_eq!(unsafe { view.bytes(offset, len) }.unwrap(), bytes);
        // The test's own name stands at the beginning of the first line.
        println!("\nsum {}", bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
    }
}

#[test]
fn another_process_sees_the_packets() {
    let _count = testkit::count_descriptors();
    if part().is_some() {
        return read_as_told();
    }
    let arena = Arena::builder(4 << 20).memfd("packets").build().unwrap();
    let net = NetAllocator::new(&arena);
    let pool = FramePool::builder(10, 2048).build(&arena).unwrap();
    let mut rng = testkit::Rng::seeded();
    let packets: Vec<_> = (0..20)
        .map(|number| {
            let len = rng.range(1..1800) as usize;
            let from_pool = number % 2 == 0;
            let buffer = if from_pool { pool.allocate() } else { net.allocate(len) };
            let mut buffer = buffer.unwrap();
            buffer.set_len(len).unwrap();
            rng.fill(&mut buffer);
            buffer.freeze()
        })
        .collect();
    let places: Vec<_> = packets
        .iter()
        .map(|packet| format!("{},{}", packet.offset_in_arena().unwrap(), packet.len()))
        .collect();
    let output = child("children::another_process_sees_the_packets", "reader")
        .env("PLACES", places.join(" "))
        .stdin(arena.descriptor().unwrap().unwrap())
        .output()
        .unwrap();
    let sums: Vec<String> = packets
        .iter()
        .map(|packet| packet.iter().map(|byte| u64::from(*byte)).sum::<u64>())
        .map(|sum| format!("sum {sum}"))
        .collect();
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Vec<_> = text.lines().filter(|line| line.starts_with("sum ")).collect();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(found, sums);
}

/// The processes that run over an end must die of it.
fn dies_of_sigsegv(output: &Output) {
    assert_eq!(output.status.signal(), Some(11), "{output:?}");
}

#[test]
fn writing_before_or_behind_an_arena_ends_the_process() {
    let _count = testkit::count_descriptors();
    if let Some(part) = part() {
        let (end, bytes) = part.split_once(' ').unwrap();
        let arena = Arena::new(bytes.parse().unwrap()).unwrap();
        // SAFETY: inside.
        unsafe { arena.as_ptr().add(arena.len_bytes() - 1).write(1) };
        println!("inside is fine");
        std::io::stdout().flush().unwrap();
        let at = if end == "before" { -1 } else { arena.len_bytes() as isize };
        // SAFETY: none; that is what must be found.
        unsafe { arena.as_ptr().offset(at).write(1) };
        return;
    }
    // Above the size of a huge page the arena begins at one.
    for part in ["before 65536", "behind 65536", "before 4194304", "behind 4194304"] {
        let output = child("children::writing_before_or_behind_an_arena_ends_the_process", part)
            // A sanitizer would end it in its own way.
            .env("ASAN_OPTIONS", "handle_segv=0")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("inside is fine"));
        dies_of_sigsegv(&output);
    }
}

/// A frame is lent by its address, filled by read(2), and taken back by its number.
#[test]
fn the_kernel_fills_what_it_is_lent() {
    let _count = testkit::count_descriptors();
    let arena = Arena::new(1 << 20).unwrap();
    let pool = FramePool::builder(4, 2048).headroom_bytes(64).build(&arena).unwrap();
    let (mut reader, mut writer) = testkit::unix_pair();
    for number in 0..100_u8 {
        let packet = vec![number; usize::from(number) + 1];
        writer.write_all(&packet).unwrap();
        let loan = pool.lend().unwrap();
        // SAFETY: lent until it is taken back, of initialised bytes, and nobody else writes there.
        let lent = unsafe { std::slice::from_raw_parts_mut(loan.as_mut_ptr(), loan.len_bytes()) };
        let count = reader.read(lent).unwrap();
        let buffer = pool.take_back(loan.index(), count).unwrap();
        assert_eq!((&buffer[..], buffer.headroom()), (&packet[..], 64));
        writer.write_all(&buffer).unwrap();
        reader.read_exact(&mut vec![0; packet.len()]).unwrap();
    }
    let statistics = pool.statistics().unwrap();
    assert_eq!((statistics.free, statistics.at_kernel), (4, 0));
}

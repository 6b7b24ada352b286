//! Pipes, terminals, devices.

use crate::bench::{Bench, dropped_while_it_waits, settle};
use std::io::{ErrorKind, Write};
use ukevent_buf::Buffer;
use ukevent_task::pipe::{PipeReader, PipeWriter, pipe};
use ukevent_task::spawn;

cases! {
    everywhere: [
        what_comes_after_a_read_was_dropped_is_not_lost,
        what_is_dropped_while_it_is_written_goes_on,
        the_end_is_told,
        who_writes_to_nobody_is_told,
        big_transfers_through_a_pipe,
        a_terminal_is_read_and_written,
        devices_are_read,
        a_file_is_refused_with_advice,
    ],
}

fn what_comes_after_a_read_was_dropped_is_not_lost(bench: &Bench) {
    bench.run(async {
        let (reader, mut writer) = testkit::pipe_pair();
        let mut reader = PipeReader::from_fd(reader).unwrap();
        for round in 0..50_u8 {
            dropped_while_it_waits(reader.read()).await;
            writer.write_all(&[round; 3]).unwrap();
            if round % 2 == 0 {
                // It comes while nobody waits, too.
                settle().await;
            }
            assert_eq!(&reader.read().await.unwrap()[..], [round; 3]);
        }
    });
}

fn what_is_dropped_while_it_is_written_goes_on(bench: &Bench) {
    bench.run(async {
        let (mut reader, mut writer) = pipe().unwrap();
        // More than a pipe has room for.
        dropped_while_it_waits(writer.write(vec![1; 1 << 20])).await;
        let reads = spawn(async move { reader.read_to_end().await.unwrap() });
        writer.write(vec![2; 3]).await.unwrap();
        drop(writer);
        let all = reads.await.unwrap();
        assert_eq!(all.len(), (1 << 20) + 3);
        assert!(all[..1 << 20].iter().all(|&it| it == 1) && all.ends_with(&[2; 3]));
    });
}

fn the_end_is_told(bench: &Bench) {
    bench.run(async {
        let (mut reader, mut writer) = pipe().unwrap();
        writer.write(b"last".to_vec()).await.unwrap();
        drop(writer);
        assert_eq!(&reader.read().await.unwrap()[..], b"last");
        for _ in 0..3 {
            assert!(reader.read().await.unwrap().is_empty());
        }
    });
}

fn who_writes_to_nobody_is_told(bench: &Bench) {
    bench.run(async {
        let (reader, mut writer) = pipe().unwrap();
        let (written, buffer) = writer.write_buffer(Buffer::from(b"one".to_vec())).await;
        written.unwrap();
        drop(reader);
        settle().await;
        let (written, buffer) = writer.write_buffer(buffer).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(&buffer[..], b"one");
        let (reader, mut writer) = pipe().unwrap();
        let writes = spawn(async move { writer.write(vec![0; 1 << 20]).await });
        settle().await;
        drop(reader);
        assert_eq!(writes.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

fn big_transfers_through_a_pipe(bench: &Bench) {
    bench.run(async {
        let (mut reader, mut writer) = pipe().unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 5) as u8).collect();
        let sent = bytes.clone();
        let writes = spawn(async move {
            for piece in sent.chunks(70_001) {
                writer.write(piece.to_vec()).await.unwrap();
            }
        });
        assert!(reader.read_to_end().await.unwrap() == bytes);
        writes.await.unwrap();
    });
}

fn a_terminal_is_read_and_written(bench: &Bench) {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    bench.run(async {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let theirs = ioctl_tiocgptpeer(&ours, flags).unwrap();
        let mut keyboard = PipeWriter::from_fd(ours.try_clone().unwrap()).unwrap();
        let mut program = PipeReader::from_fd(theirs).unwrap();
        dropped_while_it_waits(program.read()).await;
        keyboard.write(b"a line\n".to_vec()).await.unwrap();
        assert_eq!(&program.read().await.unwrap()[..], b"a line\n");
        let mut screen = PipeReader::from_fd(ours).unwrap();
        assert!(screen.read().await.unwrap().starts_with(b"a line"), "it echoes");
    });
}

fn devices_are_read(bench: &Bench) {
    bench.run(async {
        let zero = std::fs::File::open("/dev/zero").unwrap();
        let mut zero = PipeReader::from_fd(zero).unwrap();
        assert!(zero.read().await.unwrap().iter().all(|&it| it == 0));
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let mut sink = PipeWriter::from_fd(null.try_clone().unwrap()).unwrap();
        sink.write(vec![1; 100_000]).await.unwrap();
        assert!(PipeReader::from_fd(null).unwrap().read().await.unwrap().is_empty());
    });
}

fn a_file_is_refused_with_advice(bench: &Bench) {
    let tree = testkit::TempTree::new();
    let path = tree.file("file", b"text");
    bench.run(async {
        let file = std::fs::File::open(&path).unwrap();
        let refused = PipeReader::from_fd(file).unwrap().read().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    });
}

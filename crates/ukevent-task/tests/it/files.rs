//! Files.

use crate::bench::{Bench, once, settle};
use std::io::ErrorKind;
use std::pin::pin;
use testkit::TempTree;
use ukevent_buf::Buffer;
use ukevent_queue::Open;
use ukevent_task::fs::{self, File};

cases! {
    everywhere: [
        what_is_written_is_read,
        places_are_read_and_written,
        a_buffer_comes_back_also_after_an_error,
        appending_is_at_the_end,
        whole_files_of_any_size,
        metadata_is_told,
        what_is_not_there_is_told,
        an_open_that_is_dropped_leaves_nothing_open,
        a_write_that_is_dropped_goes_on,
        a_read_that_is_dropped_is_given_up,
    ],
}

fn what_is_written_is_read(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.path().join("file");
    bench.run(async {
        fs::write(&path, b"a long text".to_vec()).await.unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"a long text");
        fs::write(&path, b"short".to_vec()).await.unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"short");
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    });
}

fn places_are_read_and_written(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.file("file", b"0123456789");
    bench.run(async {
        let file = File::open(&path, Open::read_write()).await.unwrap();
        let (count, buffer) = file.write_at(b"abc".to_vec(), 4).await;
        assert_eq!((count.unwrap(), &buffer[..]), (3, &b"abc"[..]));
        file.sync_data().await.unwrap();
        file.sync().await.unwrap();
        let mut buffer = Buffer::with_capacity(6);
        buffer.append(b">").unwrap();
        let (count, buffer) = file.read_at(buffer, 3).await;
        assert_eq!((count.unwrap(), &buffer[..]), (5, &b">3abc7"[..]));
        let (count, _) = file.read_at(Buffer::with_capacity(6), 8).await;
        assert_eq!(count.unwrap(), 2);
        let (count, _) = file.read_at(Buffer::with_capacity(6), 10).await;
        assert_eq!(count.unwrap(), 0, "the end");
    });
}

fn a_buffer_comes_back_also_after_an_error(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.file("file", b"text");
    bench.run(async {
        let file = File::open(&path, Open::read()).await.unwrap();
        let (result, buffer) = file.write_at(b"abc".to_vec(), 0).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(9), "EBADF");
        assert_eq!(&buffer[..], b"abc");
        let (result, buffer) = file.append(buffer).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(&buffer[..], b"abc");
        // There is no room in it, which is refused before it begins.
        let full = Buffer::from(b"abc".to_vec().into_boxed_slice().into_vec());
        let (result, full) = file.read_at(full, 0).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(&full[..], b"abc");
    });
}

fn appending_is_at_the_end(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.path().join("log");
    bench.run(async {
        let one = File::open(&path, Open::write().create(0o600).append()).await.unwrap();
        let other = File::open(&path, Open::write().append()).await.unwrap();
        for number in 0..20 {
            let log = if number % 2 == 0 { &one } else { &other };
            let (count, _) = log.append(format!("{number},").into_bytes()).await;
            count.unwrap();
        }
        let expected: String = (0..20).map(|number| format!("{number},")).collect();
        assert_eq!(fs::read(&path).await.unwrap(), expected.as_bytes());
    });
}

fn whole_files_of_any_size(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.path().join("file");
    bench.run(async {
        for size in [0, 1, 8191, 8192, 8193, 300_000, 5_000_000] {
            let bytes: Vec<u8> = (0..size as u32).map(|at| (at / 3) as u8).collect();
            fs::write(&path, bytes.clone()).await.unwrap();
            assert!(fs::read(&path).await.unwrap() == bytes, "{size}");
        }
        // Its size is said to be 0.
        let own = fs::read("/proc/self/stat").await.unwrap();
        assert!(own.starts_with(std::process::id().to_string().as_bytes()));
    });
}

fn metadata_is_told(bench: &Bench) {
    use std::os::unix::fs::MetadataExt;
    let tree = TempTree::new();
    let path = tree.file("file", b"text");
    bench.run(async {
        let known = std::fs::metadata(&path).unwrap();
        let told = fs::metadata(&path).await.unwrap();
        assert_eq!((told.size, told.inode, told.mode), (4, known.ino(), known.mode()));
        let file = File::open(&path, Open::read()).await.unwrap();
        assert_eq!(file.metadata().await.unwrap(), told);
        let file = File::from_file(std::fs::File::open(tree.path()).unwrap()).unwrap();
        assert_eq!(file.metadata().await.unwrap().mode & 0o170_000, 0o040_000, "a directory");
    });
}

fn what_is_not_there_is_told(bench: &Bench) {
    let tree = TempTree::new();
    bench.run(async {
        let missing = tree.path().join("missing");
        let kinds = [
            File::open(&missing, Open::read()).await.map(drop).unwrap_err().kind(),
            fs::read(&missing).await.map(drop).unwrap_err().kind(),
            fs::metadata(&missing).await.map(drop).unwrap_err().kind(),
            fs::write(missing.join("file"), b"text".to_vec()).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::NotFound; 4]);
        assert!(fs::read("with a \0 in it").await.is_err());
    });
}

fn an_open_that_is_dropped_leaves_nothing_open(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.file("file", b"text");
    bench.run(async {
        for looks in 0..8 {
            let mut opens = pin!(File::open(&path, Open::read()));
            assert!(once(&mut opens).await.is_pending());
            for _ in 0..looks % 3 {
                settle().await;
            }
        }
        settle().await;
    });
    // The descriptors are counted.
}

fn a_write_that_is_dropped_goes_on(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.path().join("file");
    bench.run(async {
        let file = File::open(&path, Open::write().create(0o600)).await.unwrap();
        {
            let mut writes = pin!(file.write_at(b"whole".to_vec(), 0));
            assert!(once(&mut writes).await.is_pending());
        }
        // Whatever is done with the file after it.
        while file.metadata().await.unwrap().size == 0 {}
        assert_eq!(fs::read(&path).await.unwrap(), b"whole");
    });
}

fn a_read_that_is_dropped_is_given_up(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.file("file", b"text");
    bench.run(async {
        let file = File::open(&path, Open::read()).await.unwrap();
        for _ in 0..10 {
            let mut reads = pin!(file.read_at(Buffer::with_capacity(4), 0));
            assert!(once(&mut reads).await.is_pending());
        }
        let (count, buffer) = file.read_at(Buffer::with_capacity(4), 0).await;
        assert_eq!((count.unwrap(), &buffer[..]), (4, &b"text"[..]));
    });
}

//! Children.

use crate::bench::{Bench, dropped_while_it_waits, settle};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use ukevent_queue::Signal;
use ukevent_task::process::{self, Process};

cases! {
    everywhere: [
        an_end_after_a_wait_was_dropped_is_not_lost,
        a_child_that_is_killed_is_told,
        a_child_is_sent_signals,
        who_waits_for_input_is_given_its_end,
        what_it_writes_is_read,
        more_than_pipes_hold_is_read_from_both,
        a_program_that_is_not_there_is_told,
        a_child_of_who_watches_signals_takes_them,
    ],
    alone: [
        who_is_dropped_is_killed_and_leaves_no_zombie,
        who_is_let_go_lives_and_leaves_no_zombie,
        who_ended_unseen_leaves_no_zombie,
        tasks_that_are_dropped_leave_no_zombie,
    ],
}

fn sleeper() -> Process {
    Process::spawn(Command::new("sleep").arg("1000")).unwrap()
}

/// How the kernel calls its state: `Z` is a zombie, `None` nobody of that number.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Whether no child of this process is left: all were collected.
fn is_childless() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, options), Err(rustix::io::Errno::CHILD))
}

fn an_end_after_a_wait_was_dropped_is_not_lost(bench: &Bench) {
    bench.run(async {
        let mut child = Process::spawn(
            Command::new("sh").args(["-c", "read line; exit 7"]).stdin(Stdio::piped()),
        )
        .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        dropped_while_it_waits(child.wait()).await;
        stdin.write(b"go\n".to_vec()).await.unwrap();
        testkit::wait_until("it has ended", || state(child.id()) == Some('Z'));
        settle().await;
        for _ in 0..3 {
            assert_eq!(child.wait().await.unwrap().code(), Some(7));
        }
        // Nothing happens to whoever has its number now.
        child.kill().unwrap();
    });
}

fn a_child_that_is_killed_is_told(bench: &Bench) {
    bench.run(async {
        let mut child = sleeper();
        dropped_while_it_waits(child.wait()).await;
        child.kill().unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(9));
    });
}

fn a_child_is_sent_signals(bench: &Bench) {
    bench.run(async {
        let mut child = sleeper();
        child.signal(Signal::TERM).unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(15));
        child.signal(Signal::TERM).unwrap();
    });
}

fn who_waits_for_input_is_given_its_end(bench: &Bench) {
    bench.run(async {
        let mut cat = Process::spawn(Command::new("cat").stdin(Stdio::piped())).unwrap();
        assert!(cat.wait().await.unwrap().success());
        let mut cat = Command::new("cat");
        let cat = Process::spawn(cat.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap();
        assert!(cat.output().await.unwrap().stdout.is_empty());
    });
}

fn what_it_writes_is_read(bench: &Bench) {
    bench.run(async {
        let script = "cat; echo out; echo err >&2; exit 3";
        let told = process::output(Command::new("sh").args(["-c", script])).await.unwrap();
        assert_eq!((&told.stdout[..], &told.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(told.status.code(), Some(3));
    });
}

fn more_than_pipes_hold_is_read_from_both(bench: &Bench) {
    bench.run(async {
        let script =
            "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
        let told = process::output(Command::new("sh").args(["-c", script])).await.unwrap();
        assert_eq!((told.stdout.len(), told.stderr.len()), (300_000, 600_000));
    });
}

fn a_program_that_is_not_there_is_told(bench: &Bench) {
    bench.run(async {
        let missing = Process::spawn(&mut Command::new("/no/such/program"));
        assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    });
}

fn a_child_of_who_watches_signals_takes_them(bench: &Bench) {
    bench.run(async {
        let _watched = ukevent_task::signal::Signal::of(Signal::TERM).unwrap();
        let mut child = sleeper();
        child.signal(Signal::TERM).unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(15), "it does not inherit the mask");
    });
}

fn who_is_dropped_is_killed_and_leaves_no_zombie(bench: &Bench) {
    bench.run(async {
        let children: Vec<_> = (0..10).map(|_| sleeper()).collect();
        drop(children);
        let mut waited = sleeper();
        dropped_while_it_waits(waited.wait()).await;
        drop(waited);
    });
    assert!(testkit::settles(is_childless));
}

fn who_is_let_go_lives_and_leaves_no_zombie(bench: &Bench) {
    bench.run(async {
        let child =
            Process::spawn(Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()));
        let mut child = child.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let id = child.detach().unwrap();
        settle().await;
        assert!(matches!(state(id), Some('S' | 'R')), "it lives");
        stdin.write(b"go\n".to_vec()).await.unwrap();
        while state(id).is_some() {
            settle().await;
        }
        assert!(is_childless());
    });
}

fn who_ended_unseen_leaves_no_zombie(bench: &Bench) {
    bench.run(async {
        let child = Process::spawn(&mut Command::new("true")).unwrap();
        testkit::wait_until("it has ended", || state(child.id()) == Some('Z'));
        drop(child);
        assert!(is_childless(), "at once");
        let child = Process::spawn(&mut Command::new("true")).unwrap();
        testkit::wait_until("it has ended", || state(child.id()) == Some('Z'));
        child.detach().unwrap();
        assert!(is_childless(), "at once");
    });
}

fn tasks_that_are_dropped_leave_no_zombie(bench: &Bench) {
    let mut runtime = bench.runtime();
    let waits = runtime.spawn(async { sleeper().wait().await });
    runtime.block_on(settle()).unwrap();
    assert!(!is_childless() && !waits.has_ended());
    drop(runtime);
    assert!(testkit::settles(is_childless));
}

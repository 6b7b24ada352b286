//! Which backend it is: what the environment says, what the program says, what the kernel allows.
//!
//! The environment of a process cannot be changed safely while it runs, so these tests start
//! themselves again.

use crate::bench::{A, BackendKind, Bench, next};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{env, fs, process::Command};
use ukevent_queue::{BuildError, Builder, Mode, Queue};

cases! {
    everywhere: [
        a_queue_says_which_backend_it_uses_and_why,
        the_program_has_the_last_word,
    ],
}

/// Set in the process that a test starts of itself.
const INNER: &str = "UKEVENT_IT_INNER";
const VARIABLE: &str = "UKEVENT_BACKEND";

fn is_inner() -> bool {
    env::var_os(INNER).is_some()
}

/// Runs a test of this file again, with `UKEVENT_BACKEND` so, and returns what it printed.
fn again(test: &str, variable: Option<&str>) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&format!("backends::{test}"), "--exact", "--nocapture", "--test-threads=1"]);
    command.env(INNER, "1").env_remove(VARIABLE);
    if let Some(value) = variable {
        command.env(VARIABLE, value);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{variable:?}: {said}{errors}");
    said
}

fn a_queue_says_which_backend_it_uses_and_why(bench: &Bench) {
    let queue = bench.queue();
    assert_eq!(queue.backend(), bench.kind);
    let reason = queue.backend_reason();
    let (name, why) = reason.split_once(": ").expect("the name and a sentence");
    assert_eq!(name, bench.kind.name());
    assert!(why.split(' ').count() >= 2, "{why:?}");
    assert!(format!("{queue:?}").contains(&format!("{:?}", bench.kind)));
}

fn the_program_has_the_last_word(bench: &Bench) {
    // A simulation that is handed in is stronger than a backend that is asked for.
    let queue = match bench.kind {
        BackendKind::Sim => Builder::new().backend(BackendKind::Epoll).sim(&bench.sim).build(),
        kind => Builder::new().backend(BackendKind::Poll).backend(kind).build(),
    };
    assert_eq!(queue.unwrap().backend(), bench.kind);
}

#[test]
fn names_and_backends_are_one_to_one() {
    let all = [BackendKind::IoUring, BackendKind::Epoll, BackendKind::Poll, BackendKind::Sim];
    for kind in all {
        assert_eq!(kind.name().parse::<BackendKind>(), Ok(kind));
        assert_eq!(kind.to_string(), kind.name());
    }
    assert_eq!(BackendKind::REAL, all[..3]);
    for name in ["", "EPOLL", "epoll ", "kqueue"] {
        let error = name.parse::<BackendKind>().unwrap_err();
        assert_eq!(error, BuildError::UnknownBackend(name.to_owned()));
    }
}

#[test]
fn the_environment_chooses() {
    if is_inner() {
        let mut queue = Queue::new().unwrap();
        println!("it is {}", queue.backend_reason());
        let timer = ukevent_queue::Timer::after(std::time::Duration::ZERO);
        queue.register(timer, A, Mode::Level).unwrap();
        assert_eq!(next(&mut queue).token, A);
        return;
    }
    for kind in ["epoll", "poll", "sim"] {
        let said = again("the_environment_chooses", Some(kind));
        assert!(said.contains(&format!("it is {kind}: {VARIABLE}")), "{said}");
    }
    if Builder::new().backend(BackendKind::IoUring).build().is_ok() {
        let said = again("the_environment_chooses", Some("io_uring"));
        assert!(said.contains(&format!("it is io_uring: {VARIABLE}")), "{said}");
    }
}

#[test]
fn without_a_wish_it_is_the_best_that_there_is() {
    if is_inner() {
        println!("it is {}", Queue::new().unwrap().backend_reason());
        return;
    }
    let best = match Builder::new().backend(BackendKind::IoUring).build() {
        Ok(_) => "it is io_uring: ",
        Err(_) => "it is epoll: io_uring cannot be had: ",
    };
    for nothing in [None, Some("")] {
        let said = again("without_a_wish_it_is_the_best_that_there_is", nothing);
        assert!(said.contains(best), "{said}");
    }
}

#[test]
fn the_program_is_stronger_than_the_environment() {
    if is_inner() {
        let queue = Builder::new().backend(BackendKind::Epoll).build().unwrap();
        println!("it is {}", queue.backend_reason());
        return;
    }
    for other in ["poll", "nonsense"] {
        let said = again("the_program_is_stronger_than_the_environment", Some(other));
        assert!(said.contains("it is epoll: the program"), "{said}");
    }
}

#[test]
fn an_unknown_name_is_an_error_in_words() {
    if is_inner() {
        let error = Queue::new().unwrap_err();
        assert_eq!(error, BuildError::UnknownBackend("kqueue".to_owned()));
        println!("it is {error}");
        return;
    }
    let said = again("an_unknown_name_is_an_error_in_words", Some("kqueue"));
    for word in [VARIABLE, "\"kqueue\"", "io_uring", "epoll", "poll", "sim"] {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
}

/// A ring needs memory to map; a process whose address space is used up cannot have one, and goes on
/// with epoll.
#[test]
fn a_ring_that_cannot_be_had_is_replaced_and_the_reason_told() {
    if is_inner() {
        // What a ring of this size needs is more than what is left, and a queue needs much less.
        let large = Builder::new().ring(1 << 15, 1 << 16);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        let former = getrlimit(Resource::As);
        let limit = Rlimit { current: Some(kilobytes * 1024 + (1 << 20)), ..former };
        setrlimit(Resource::As, limit).unwrap();
        let (by_itself, asked) =
            (large.build(), large.clone().backend(BackendKind::IoUring).build());
        setrlimit(Resource::As, former).unwrap();
        println!("it is {}", by_itself.unwrap().backend_reason());
        println!("asked for it is {}", asked.unwrap_err());
        return;
    }
    if let Err(error) = Builder::new().backend(BackendKind::IoUring).build() {
        testkit::skip!("{error}");
    }
    let said = again("a_ring_that_cannot_be_had_is_replaced_and_the_reason_told", None);
    assert!(said.contains("it is epoll: io_uring cannot be had: "), "{said}");
    assert!(said.contains("asked for it is the backend io_uring cannot be had: "), "{said}");
}

//! Which backend it is: what the environment says, what the program says, what the kernel allows.
//!
//! The environment of a process cannot be changed safely while it runs, so these tests start
//! themselves again.

use crate::subject::Shape;
use crate::{
    bench::{A, BackendKind, Bench, next},
    everything,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::{env, ffi::OsStr, fs, os::unix::ffi::OsStrExt, process::Command};
use ukevent_queue::{BuildError, Builder, Mode, Queue, sim::Sim};

cases_of_one_thread! {
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
    again_with(test, &Vec::from_iter(variable.map(|value| (VARIABLE, value.as_ref()))))
}

fn again_with(test: &str, variables: &[(&str, &OsStr)]) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&format!("backends::{test}"), "--exact", "--nocapture", "--test-threads=1"]);
    command.env(INNER, "1").env_remove(VARIABLE).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{variables:?}: {said}{errors}");
    said
}

fn a_queue_says_which_backend_it_uses_and_why(bench: &Bench) {
    let mut queue = bench.queue();
    let queue = queue.own();
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
        let name = name.into();
        assert_eq!(error, BuildError::UnknownBackend { name, from_environment: false });
        assert!(error.to_string().starts_with("there is no backend "), "{error}");
    }
}

#[test]
fn the_environment_chooses() {
    if is_inner() {
        let mut queue = Queue::new().unwrap();
        println!("it is {}", queue.backend_reason());
        let timer = ukevent_queue::Timer::after(std::time::Duration::ZERO);
        queue.register(timer, A, Mode::Level).unwrap();
        assert_eq!(next(&mut queue.into()).token, A);
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
        let name = env::var_os(VARIABLE).unwrap();
        assert_eq!(error, BuildError::UnknownBackend { name, from_environment: true });
        println!("it is {error}");
        return;
    }
    // The second is no text.
    for (name, shown) in [(&b"kqueue"[..], r#""kqueue""#), (b"ep\xffoll", r#""ep\xFFoll""#)] {
        let variables = [(VARIABLE, OsStr::from_bytes(name))];
        let said = again_with("an_unknown_name_is_an_error_in_words", &variables);
        let expected = format!(
            "it is {VARIABLE}: there is no backend {shown}; there are io_uring, epoll, poll and sim\n"
        );
        assert!(said.contains(&expected), "{said}");
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

/// io_uring_setup(2) and epoll_pwait2(2): by the same numbers on every machine that seccompiler knows.
const IO_URING_SETUP: i64 = 425;
const EPOLL_PWAIT2: i64 = 441;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Makes system calls of this thread, and of all that it starts, fail with these numbers (seccomp(2)).
/// Needs no privilege, and cannot be undone.
fn deny(calls: &[i64], errno: u32) {
    let rules = calls.iter().map(|&call| (call, Vec::new())).collect();
    let machine = env::consts::ARCH.try_into().unwrap();
    let (others, these) = (SeccompAction::Allow, SeccompAction::Errno(errno));
    let filter = SeccompFilter::new(rules, others, these, machine).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// Whether filters can be made for this machine. That they cannot is said aloud.
fn can_deny() -> bool {
    let can = TargetArch::try_from(env::consts::ARCH).is_ok();
    if !can {
        testkit::skip(format_args!("seccompiler makes no filters for {}", env::consts::ARCH));
    }
    can
}

/// What the filter of a container does.
#[test]
fn a_ring_that_a_filter_denies_is_replaced_and_the_reason_told() {
    if is_inner() {
        deny(&[IO_URING_SETUP], EPERM);
        match Queue::new() {
            Ok(queue) => println!("it is {}", queue.backend_reason()),
            Err(error) => println!("refused: {error}"),
        }
        let error = Builder::new().backend(BackendKind::IoUring).build().unwrap_err();
        assert!(matches!(error, BuildError::Unavailable { backend: "io_uring", .. }), "{error:?}");
        println!("asked for it is {error}");
        return;
    }
    if !can_deny() {
        return;
    }
    let why = "io_uring cannot be had: io_uring_setup: Operation not permitted (os error 1); a \
               container's seccomp filter or kernel.io_uring_disabled denies it";
    for (variable, expected) in [
        (None, format!("it is epoll: {why}\n")),
        (Some("epoll"), format!("it is epoll: {VARIABLE} asked for it\n")),
        (Some("io_uring"), format!("refused: the backend {why}\n")),
    ] {
        let said = again("a_ring_that_a_filter_denies_is_replaced_and_the_reason_told", variable);
        assert!(said.contains(&expected), "{variable:?}: {said}");
        assert!(said.contains(&format!("asked for it is the backend {why}\n")), "{said}");
    }
}

/// A filter that lets an instance be made, but not be used.
#[test]
fn a_ring_that_could_not_be_used_is_replaced() {
    const TEST: &str = "a_ring_that_could_not_be_used_is_replaced";
    if is_inner() {
        let call: i64 = env::var("CALL").unwrap().parse().unwrap();
        deny(&[call], EPERM);
        let mut queue = Queue::new().unwrap();
        queue.wait(ukevent_queue::Wait::now()).unwrap();
        println!("it is {}", queue.backend_reason());
    } else if can_deny() {
        for (call, name) in [(426, "io_uring_enter"), (427, "io_uring_register")] {
            let said = again_with(TEST, &[("CALL", call.to_string().as_ref())]);
            let expected = format!("it is epoll: io_uring cannot be had: {name}: ");
            assert!(said.contains(&expected), "{said}");
        }
    }
}

/// A filter may as well say that there is no such call, as a kernel without it does.
#[test]
fn a_ring_that_a_filter_does_not_know_is_replaced_and_the_reason_told() {
    if is_inner() {
        deny(&[IO_URING_SETUP], ENOSYS);
        println!("it is {}", Queue::new().unwrap().backend_reason());
    } else if can_deny() {
        let test = "a_ring_that_a_filter_does_not_know_is_replaced_and_the_reason_told";
        let expected = "it is epoll: io_uring cannot be had: io_uring_setup: Function not \
                        implemented (os error 38); this kernel is built without it, or a seccomp \
                        filter says so\n";
        let said = again(test, None);
        assert!(said.contains(expected), "{said}");
    }
}

/// No source and no wait needs what a filter denies that is older than the kernel: the ring, and the
/// wait of nanoseconds.
fn all_is_told_behind_an_old_filter(test: &str, errno: u32) {
    if is_inner() {
        deny(&[IO_URING_SETUP, EPOLL_PWAIT2], errno);
        let kind = Queue::new().unwrap().backend();
        everything::one_wait_takes_one_of_each_kind(&Bench {
            kind,
            shape: Shape::Own,
            sim: Sim::new(1),
        });
        println!("all of it by {kind}");
    } else if can_deny() {
        let said = again(test, None);
        assert!(said.contains("all of it by epoll"), "{said}");
    }
}

#[test]
fn all_is_told_behind_a_filter_that_denies() {
    all_is_told_behind_an_old_filter("all_is_told_behind_a_filter_that_denies", EPERM);
}

#[test]
fn all_is_told_behind_a_filter_that_knows_no_such_call() {
    all_is_told_behind_an_old_filter("all_is_told_behind_a_filter_that_knows_no_such_call", ENOSYS);
}

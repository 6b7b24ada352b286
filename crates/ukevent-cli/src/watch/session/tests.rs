//! Parts of a session that a process of its own shows only by luck.

use super::{Parts, Session, Style};
use crate::watch::exec::{CommandLine, Exec, Settings};
use crate::watch::output::Output;
use crate::watch::report::{Report, Story};
use crate::watch::role::Role;
use crate::watch::spec::Spec;
use jiff::Timestamp;
use std::ffi::OsStr;
use testkit::{TempTree, wait_until};
use ukevent::{Event, Kind, Mode, Queue, SignalReceived, SignalSet, User};

/// Two signals taken before one look are one event. It tells twice all the same: what does not heed
/// the first signal is ended.
#[test]
fn one_event_of_two_signals_tells_twice() {
    let tree = TempTree::new();
    let begun = tree.path().join("begun");
    let line =
        format!("trap '' TERM; >'{0}'; while [ -e '{0}' ]; do sleep 0.01; done", begun.display());
    let mut exec = Exec::new(Settings {
        line: CommandLine::Shell(line),
        jobs: 1,
        backlog: 0,
        shares_stdin: false,
        prints_to_stderr: false,
        mask: SignalSet::empty(),
    });
    let report = Report {
        time: Timestamp::UNIX_EPOCH,
        number: 1,
        spec: "fd:0".into(),
        source: Spec::Fd(0).kind(),
        story: Story::of(&Spec::Fd(0), OsStr::new(""), &Kind::Rescan),
    };
    exec.offer(&report, None);
    let mut queue = Queue::new().unwrap();
    let interrupt = Role::Interrupt.token();
    let key = queue.register(User::each(1), interrupt, Mode::Level).unwrap();
    exec.start(&mut queue).unwrap();
    wait_until("the command runs", || begun.exists());
    let mut session = Session::new(Parts {
        queue,
        sources: Vec::new(),
        ends: Vec::new(),
        output: Output::new(),
        output_key: None,
        style: Style::None,
        exec: Some(exec),
        left: 1,
        quiet: true,
    });
    let twice = SignalReceived { signal: 2, count: 2, pid: 0, uid: 0, code: 0 };
    session.take(Event { key, token: interrupt, kind: Kind::Signal(twice) });
    while !session.is_over() {
        session.step();
    }
    assert_eq!(session.exec.as_ref().unwrap().tally().failed, 1);
}

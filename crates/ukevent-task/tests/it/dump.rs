//! What a runtime says of itself: its tasks, its counters, and who keeps the thread.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use ukevent_task::{
    Dump, Runtime, TaskState, block_on, channel, dump, look, spawn, time::sleep, yield_now,
};

fn state(dump: &Dump, line: u32) -> &TaskState {
    let here = |task: &&ukevent_task::TaskInfo| task.spawned_at.line() == line;
    &dump.tasks.iter().find(here).expect("it lives").state
}

fn waits_for(what: &str) -> TaskState {
    TaskState::Waits(vec![match what {
        "the time" => "the time",
        "another task" => "another task",
        "a channel" => "a channel",
        "a channel of threads" => "a channel of threads",
        _ => unreachable!(),
    }])
}

#[test]
fn it_says_what_each_task_waits_for() {
    let dump = block_on(async {
        let (_sender, receiver) = channel::local::<u32>(1);
        let (_poster, posted) = channel::shared::<u32>(1);
        let first = line!() + 1;
        let sleeps = spawn(sleep(Duration::from_secs(60)));
        let joins = spawn(async move { sleeps.await.unwrap() });
        let receives = spawn(async move { receiver.receive().await });
        let takes = spawn(async move { posted.receive().await });
        let foreign = spawn(pending::<()>());
        look().await;
        yield_now().await;
        let line = spawn(async {});
        let dump = dump();
        assert_eq!(*state(&dump, first), waits_for("the time"));
        assert_eq!(*state(&dump, first + 1), waits_for("another task"));
        assert_eq!(*state(&dump, first + 2), waits_for("a channel"));
        assert_eq!(*state(&dump, first + 3), waits_for("a channel of threads"));
        assert_eq!(*state(&dump, first + 4), TaskState::Waits(vec![]));
        assert_eq!(*state(&dump, first + 7), TaskState::InLine);
        assert_eq!(dump.tasks[0].state, TaskState::Polled);
        assert_eq!(dump.tasks.iter().map(|it| it.id).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
        joins.detach();
        receives.detach();
        takes.detach();
        foreign.detach();
        line.detach();
        dump
    })
    .unwrap();
    let text = dump.to_string();
    assert!(text.contains("waits for a channel of threads"), "{text}");
    assert!(text.contains("dump.rs:"), "{text}");
    assert!(text.contains("tasks: 6 spawned, 0 ended, 0 panicked, 0 cancelled"), "{text}");
}

#[test]
fn it_counts() {
    let mut runtime = Runtime::new().unwrap();
    runtime
        .block_on(async {
            spawn(async {}).await.unwrap();
            spawn(async { panic!("counted") }).await.unwrap_err();
            let waits = spawn(pending::<()>());
            yield_now().await;
            waits.cancel();
            let unseen = spawn(pending::<()>());
            unseen.cancel();
            let (sender, receiver) = channel::shared::<u32>(1);
            let thread = thread::spawn(move || {
                thread::sleep(Duration::from_millis(2));
                sender.send_blocking(1).unwrap();
            });
            assert_eq!(receiver.receive().await, Some(1));
            thread.join().unwrap();
        })
        .unwrap();
    let dump = runtime.dump();
    assert_eq!(dump.tasks, [], "nothing runs");
    let counters = dump.counters;
    assert_eq!((counters.spawned, counters.ended, counters.panicked), (4, 1, 1));
    assert_eq!(counters.cancelled, 2);
    assert_eq!(counters.remote_wakes, 1);
    assert!(counters.polls >= 5 && counters.turns > 0);
    assert!(counters.queue.waits > 0);
}

/// What was told: how many polls, and lines.
type Told = Arc<Mutex<Vec<(usize, Vec<u32>, String)>>>;

fn telling(limit_ms: u64) -> (Runtime, Told) {
    let told: Told = Arc::default();
    let all = Arc::clone(&told);
    let runtime = Runtime::builder()
        .stuck(Duration::from_millis(limit_ms), move |stuck| {
            assert!(stuck.took() >= Duration::from_millis(limit_ms));
            let mut lines: Vec<_> = stuck.spawned_at().iter().map(|it| it.line()).collect();
            lines.sort_unstable();
            all.lock().unwrap().push((stuck.polls(), lines, stuck.to_string()));
        })
        .build()
        .unwrap();
    (runtime, told)
}

/// Longer than any limit here and two steps of any coarse clock.
fn stand_still() {
    thread::sleep(Duration::from_millis(60));
}

#[test]
fn who_keeps_the_thread_is_named_once() {
    let (mut runtime, told) = telling(30);
    let mut line = 0;
    runtime
        .block_on(async {
            for _ in 0..3 {
                line = line!() + 1;
                let stands = spawn(async {
                    sleep(Duration::from_millis(1)).await;
                    stand_still();
                    // Otherwise its end and who joins it are of the same group.
                    sleep(Duration::from_millis(1)).await;
                });
                stands.await.unwrap();
            }
        })
        .unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    let (polls, lines, text) = &told[0];
    assert_eq!((*polls, &lines[..]), (1, &[line][..]), "it slept before, and was the only one");
    assert!(text.starts_with("a task spawned at "), "{text}");
}

/// Among others it is one of those that are named; then it alone.
#[test]
fn one_of_many_is_named_for_sure_the_second_time() {
    let (mut runtime, told) = telling(30);
    let mut line = 0;
    runtime
        .block_on(async {
            let mut others = ukevent_task::Scope::new();
            for _ in 0..3 {
                others.spawn(async {
                    loop {
                        yield_now().await;
                    }
                });
            }
            for _ in 0..2 {
                line = line!() + 1;
                let stands = spawn(async {
                    for _ in 0..5 {
                        yield_now().await;
                    }
                    stand_still();
                });
                stands.await.unwrap();
            }
            drop(others);
        })
        .unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].0 > 1 && told[0].1.contains(&line), "{told:?}");
    assert_eq!((told[1].0, &told[1].1[..]), (1, &[line][..]));
}

/// Many short polls are nobody's fault, and sleeping in the queue keeps nobody.
#[test]
fn who_is_quick_is_not_named() {
    let (mut runtime, told) = telling(5_000);
    runtime
        .block_on(async {
            for _ in 0..10_000 {
                yield_now().await;
            }
            sleep(Duration::from_millis(50)).await;
        })
        .unwrap();
    assert!(told.lock().unwrap().is_empty());
}

#[cfg(feature = "tracing")]
mod traced {
    use std::sync::{Arc, Mutex};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Notes what is entered.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Notes {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "ukevent_task"
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let mut notes = self.0.lock().unwrap();
            notes.push(format!("new {} {}", span.metadata().name(), span.fields().len()));
            Id::from_u64(notes.len() as u64)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {}

        fn enter(&self, id: &Id) {
            self.0.lock().unwrap().push(format!("enter {}", id.into_u64()));
        }

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn each_task_has_a_span() {
        let notes = Notes::default();
        tracing::subscriber::with_default(notes.clone(), || {
            ukevent_task::block_on(async {
                ukevent_task::spawn(ukevent_task::yield_now()).await.unwrap();
            })
            .unwrap();
        });
        let notes = notes.0.lock().unwrap();
        assert_eq!(notes[0], "new task 3");
        let entered = notes.iter().filter(|note| *note == "enter 1").count();
        assert!(entered >= 2, "by each poll: {notes:?}");
    }
}

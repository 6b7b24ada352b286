//! What a contender does wrong is seen.

use super::{Ends, Server, Setup, Shares, Waits, Work, contenders, round};
use crate::rivals::shared_epoll::Instance;
use rustix::event::epoll::EventFlags;
use ukevent_bench::tables::ready::Descriptor;
use ukevent_measure::cores::Cores;
use ukevent_measure::{Contender, Result, Sample};

fn setup(in_flight: usize) -> Setup {
    let cores = Cores::find().unwrap();
    Setup { waiters: 3, in_flight, work: Work::NONE, messages: 500, cores }
}

fn failure<S: Shares>() -> String {
    round::<S>(&setup(8)).unwrap_err().to_string()
}

#[test]
fn every_contender_answers_each_message_once() {
    for Contender { name, round } in contenders() {
        for in_flight in [1, 32, 64] {
            let samples = round(&setup(in_flight)).unwrap();
            assert_eq!(samples.len(), 4, "{name}");
            assert!(samples.iter().all(Sample::is_whole), "{name}: {samples:?}");
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy)]
enum Fault {
    ToldTwice,
    Lost,
    AnsweredTwice,
    Deaf,
}

/// Two waiters are idle, one does something wrong.
struct Faulty {
    instance: Instance<1>,
    readers: Box<[Descriptor]>,
    fault: Fault,
    waits: u64,
}

impl Faulty {
    fn some(ends: &Ends, count: usize, fault: Fault) -> Result<Vec<Self>> {
        let waiters = (0..count).map(|_| {
            let readers = ends.readers.iter().cloned().collect();
            Ok(Self { instance: Instance::new(ends)?, readers, fault, waits: 0 })
        });
        let waiters: Vec<Self> = waiters.collect::<Result<_>>()?;
        waiters[0].instance.add_all(ends, EventFlags::ET)?;
        Ok(waiters)
    }
}

impl Waits for Faulty {
    fn wait(&mut self, server: &mut Server) -> Result<bool> {
        self.waits += 1;
        let is_now = self.waits == 100;
        if is_now && matches!(self.fault, Fault::Deaf) {
            return Err("it cannot hear".into());
        }
        self.instance.wait(|place| {
            match self.fault {
                Fault::Lost if is_now => return Ok(()),
                Fault::ToldTwice if is_now => server.answer(place)?,
                Fault::AnsweredTwice if is_now => {
                    rustix::io::write(&self.readers[place], &[0; 8])?;
                }
                _ => {}
            }
            server.answer(place)
        })
    }

    fn returns(&self) -> u64 {
        self.waits
    }
}

macro_rules! faulty {
    ($($name:ident),*) => {$(
        struct $name;

        impl Shares for $name {
            type Waiter = Faulty;

            fn waiters(ends: &Ends, count: usize) -> Result<Vec<Faulty>> {
                Faulty::some(ends, count, Fault::$name)
            }
        }
    )*};
}

faulty!(ToldTwice, Lost, AnsweredTwice, Deaf);

#[test]
fn what_goes_wrong_is_no_result() {
    let told = failure::<ToldTwice>();
    assert_eq!(told, "551 events were told of 550 messages");
    let lost = failure::<Lost>();
    assert!(lost.starts_with("1 of ") && lost.ends_with(" messages were lost"), "{lost}");
    let twice = failure::<AnsweredTwice>();
    assert_eq!(twice, "a message was answered twice, or wrongly");
    assert_eq!(failure::<Deaf>(), "it cannot hear");
}

#[test]
fn work_of_twice_the_time_has_twice_the_steps() {
    let (short, long) = (Work::lasting("short", 1_000), Work::lasting("long", 64_000));
    assert!(short.steps > 0 && long.steps > 8 * short.steps, "{short:?}, {long:?}");
    assert_eq!((Work::NONE.steps, long.name()), (0, "long"));
}

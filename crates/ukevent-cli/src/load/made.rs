//! One load, made by this process or by several.

use super::interrupt::Interrupt;
use super::parts;
use super::progress::Line;
use crate::args::LoadArgs;
use crate::failure::Failure;
use crate::queue;
use std::io;
use std::time::{Duration, SystemTime};
use ukevent_load::record::Record;
use ukevent_load::report::About;
use ukevent_load::{Load, Plan};
use ukevent_task::Runtime;
use ukevent_task::time::sleep;

/// What makes loads, one after the other. Reports are written between them, when there is nothing that would wait.
pub(super) struct Maker<'a> {
    args: &'a LoadArgs,
    runtime: Runtime,
    pub(super) interrupt: Interrupt,
}

impl<'a> Maker<'a> {
    pub(super) fn new(args: &'a LoadArgs) -> Result<Self, Failure> {
        let mut runtime = queue::runtime("load", args.backend)?;
        let interrupt = runtime.block_on(async { Interrupt::new() });
        let interrupt =
            interrupt.map_err(io::Error::other).and_then(|made| made).map_err(failed)?;
        Ok(Self { args, runtime, interrupt })
    }

    /// Makes one. What is interrupted has the record of a part; nothing, if that was before it began.
    pub(super) fn make(
        &mut self,
        plan: Plan,
        about: &mut About,
    ) -> Result<Option<Record>, Failure> {
        let Self { args, runtime, interrupt } = self;
        if interrupt.told().is_some() {
            return Ok(None);
        }
        if about.processes > 1 {
            let parts = runtime.block_on(parts::make(args, &plan, about, interrupt));
            return parts
                .map_err(|error| failed(io::Error::other(error)))??
                .map_or(Ok(None), parts::sum);
        }
        runtime
            .block_on(alone(plan, about, interrupt))
            .map_err(io::Error::other)
            .and_then(|made| made)
            .map_err(failed)
    }

    /// Waits so long, unless it is interrupted.
    pub(super) fn pause(&mut self, time: Duration) -> Result<(), Failure> {
        let Self { runtime, interrupt, .. } = self;
        let waited = runtime.block_on(async { interrupt.unless(sleep(time)).await });
        waited.map(drop).map_err(|error| failed(io::Error::other(error)))
    }
}

async fn alone(
    plan: Plan,
    about: &mut About,
    interrupt: &mut Interrupt,
) -> io::Result<Option<Record>> {
    let Some(load) = interrupt.unless(Load::prepare(plan)).await else { return Ok(None) };
    let load = load?;
    about.server = load.server();
    about.started = SystemTime::now();
    let (line, stop) = (Line::new(), load.stop());
    let run = load.run(move |progress| line.show(progress));
    Ok(Some(interrupt.during(run, || stop.now()).await))
}

fn failed(error: io::Error) -> Failure {
    super::not_made(&error)
}

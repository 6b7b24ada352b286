//! `--find`: loads at one rate after the other, until the highest is known that meets the goal.

use super::made::Maker;
use super::{create, failed, unless_closed};
use crate::args::{LoadArgs, Rate};
use crate::failure::Failure;
use std::fs::File;
use std::io::{self, BufWriter, Write, stdout};
use std::time::Duration;
use ukevent_load::report::{About, Form as LoadForm};
use ukevent_load::search::{Bounds, Form, Found, Goal, Outcome, Report, Search, Step};
use ukevent_load::{Length, Pace, Plan};

/// The first rate, if none is given.
const START: f64 = 1000.0;
/// The shortest step.
const SHORTEST: Duration = Duration::from_millis(100);
/// After a step that was too much: time for the server to come to itself.
const SETTLE: Duration = Duration::from_millis(500);
/// What waits at the end of a step waits no longer than this, or twice the goal: the step has failed by then.
const GRACE: Duration = Duration::from_secs(1);

/// Where the search begins.
pub(super) fn start(args: &LoadArgs) -> Result<f64, Failure> {
    match args.rate {
        None => Ok(START),
        Some(Rate::One(rate)) => Ok(rate),
        Some(Rate::Ramp(_)) => {
            Err(Failure::Usage("load: --find begins at one rate, not along a ramp".to_owned()))
        }
    }
}

/// A step that shows something: long enough for somebody to wait too long in it.
pub(super) fn check_step(args: &LoadArgs, goal: Goal) -> Result<(), Failure> {
    if args.step.0 >= SHORTEST && args.step.0 >= goal.within * 2 {
        return Ok(());
    }
    let why = format!(
        "load: --step {:?} is too short for {goal}: a step takes 100 ms at least, and twice that time",
        args.step.0
    );
    Err(Failure::Usage(why))
}

/// A step of the search.
pub(super) fn step(args: &LoadArgs, goal: Goal, plan: &mut Plan) {
    plan.length = Length::Time(args.step.0);
    plan.grace = Some(GRACE.max(goal.within * 2));
}

/// Where the report goes, in one form.
struct Sink {
    report: Report,
    out: Box<dyn Write>,
    name: String,
}

impl Sink {
    fn write(
        &mut self,
        write: impl FnOnce(&mut Report, &mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let written = write(&mut self.report, &mut self.out).and_then(|()| self.out.flush());
        unless_closed(&self.name, written)
    }
}

fn sinks(args: &LoadArgs, goal: Goal, about: &About) -> Result<Vec<Sink>, Failure> {
    let form = match (args.json, args.report) {
        (true, _) | (false, LoadForm::Json) => Form::Json,
        (false, LoadForm::Human) => Form::Human,
        (false, LoadForm::Csv) => Form::Csv,
        (false, other) => {
            let why = format!("load: --find reports as human, json or csv, not as {other}");
            return Err(Failure::Usage(why));
        }
    };
    let report = |form| Report::new(form, goal, about.clone(), args.connections, args.step.0);
    let out = Box::new(stdout());
    let mut sinks = vec![Sink { report: report(form), out, name: "standard output".to_owned() }];
    for (name, form) in
        [("search.txt", Form::Human), ("search.json", Form::Json), ("search.csv", Form::Csv)]
    {
        if let Some(folder) = &args.out {
            create(folder)?;
            let path = folder.join(name);
            let file = File::create(&path).map_err(|error| failed(&path, &error))?;
            let out = Box::new(BufWriter::new(file));
            sinks.push(Sink { report: report(form), out, name: path.display().to_string() });
        }
    }
    Ok(sinks)
}

/// Searches, and reports it.
pub(super) fn find(
    args: &LoadArgs,
    goal: Goal,
    plan: &Plan,
    about: &mut About,
    maker: &mut Maker<'_>,
) -> Result<(), Failure> {
    let Pace::Open { arrivals, connections } = plan.pace else { return Ok(()) };
    let precision = args.precision / 100.0;
    let mut search = Search::new(Bounds { start: start(args)?, precision, ..Bounds::default() });
    let mut sinks = sinks(args, goal, about)?;
    for sink in &mut sinks {
        sink.write(|report, out| report.begin(out))?;
    }
    while let Some(rate) = search.next_rate() {
        let mut plan = plan.clone();
        plan.pace = Pace::Open { arrivals: arrivals.at(rate), connections };
        let Some(record) = maker.make(plan, about)? else { break };
        if maker.interrupt.told().is_some() {
            // Half a step is none.
            break;
        }
        let step = Step::of(rate, goal, &record);
        search.tell(step.outcome);
        for sink in &mut sinks {
            sink.write(|report, out| report.step(step, out))?;
        }
        if step.outcome != Outcome::Met && search.next_rate().is_some() {
            maker.pause(SETTLE)?;
        }
    }
    let is_cut = maker.interrupt.told().is_some();
    for sink in &mut sinks {
        if is_cut {
            sink.report.cut_short();
        }
        sink.write(|report, out| report.end(search.found(), out))?;
    }
    match (maker.interrupt.told(), search.found()) {
        (Some(by), _) => Err(Failure::Failed(format!("load: the search was ended by {by}"))),
        (None, Found::Silent) => Err(Failure::Failed("load: the server gave no reply".to_owned())),
        (None, Found::Ceased { .. }) => {
            Err(Failure::Failed("load: the server gave no reply any more".to_owned()))
        }
        (None, Found::Nothing { .. }) => Err(Failure::Failed(format!("load: no rate met {goal}"))),
        (None, _) => Ok(()),
    }
}

//! `ukevent load`: makes a load, alone or in several processes, and reports it.

mod find;
mod interrupt;
mod limits;
mod made;
mod parts;
mod progress;

use crate::advice;
use crate::args::{LoadArgs, Rate};
use crate::failure::Failure;
use crate::tell::{tell, tell_blank};
pub(crate) use limits::raise_descriptors;
use made::Maker;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write, stderr};
use std::path::Path;
use ukevent_load::record::Record;
use ukevent_load::report::{About, Form, Mode};
use ukevent_load::{Arrivals, Length, Mix, Pace, Plan, Ramp, Trust};

/// Makes the load. Blocks.
pub(crate) fn run(args: &LoadArgs) -> Result<(), Failure> {
    let plan = plan(args)?;
    raise_descriptors();
    if let Some(part) = args.part {
        return parts::be_one(args, &plan, part);
    }
    let mut about = about(args, &plan)?;
    if let Some(cores) = &args.pin {
        limits::check_cores(cores)?;
        if about.processes == 1 {
            limits::pin_in_turn(cores, 0)?;
        }
    }
    if let Some(folder) = &args.out {
        // Before the load, not after it.
        create(folder)?;
    }
    let mut maker = Maker::new(args)?;
    match args.find {
        Some(goal) => find::find(args, goal, &plan, &mut about, &mut maker),
        None => once(args, plan, &mut about, &mut maker),
    }
}

/// One load, and its report.
fn once(
    args: &LoadArgs,
    plan: Plan,
    about: &mut About,
    maker: &mut Maker<'_>,
) -> Result<(), Failure> {
    let made = maker.make(plan, about)?;
    let interrupt = &maker.interrupt;
    if interrupt.told().is_some() && stderr().is_terminal() {
        // It shows ^C without a line's end.
        tell_blank();
    }
    let Some(record) = made else {
        let by = interrupt.told().unwrap_or("a signal");
        return Err(Failure::Failed(format!("load: ended by {by} before it began")));
    };
    write_all(args, &record, about)?;
    let ended = interrupt.told().map(|by| {
        let after = record.duration;
        format!("load: ended by {by}; the report is of the {after:.1?} until then")
    });
    if record.replies == 0 {
        if let Some(ended) = ended {
            tell(ended);
        }
        let errors = record.errors.total();
        return Err(Failure::Failed(format!("load: no reply to {errors} requests")));
    }
    ended.map_or(Ok(()), |ended| Err(Failure::Failed(ended)))
}

/// Why there is no load, and what to do about it.
fn not_made(error: &io::Error) -> Failure {
    Failure::Failed(format!("load: {error}{}", advice::on_trusting(error)))
}

fn plan(args: &LoadArgs) -> Result<Plan, Failure> {
    let target = match &args.unix {
        Some(path) => args.url.clone().at_socket(path),
        None => args.url.clone(),
    };
    let mut plan = Plan::new(target);
    if let Some(path) = &args.mix {
        let text = fs::read_to_string(path).map_err(|error| failed(path, &error))?;
        plan.mix = Mix::parse(&text)
            .map_err(|error| Failure::Usage(format!("load: {}: {error}", path.display())))?;
    }
    let rate = match (args.find, args.at_rate) {
        (Some(_), None) => Some(Rate::One(find::start(args)?)),
        (Some(_), Some(rate)) => Some(Rate::One(rate)),
        (None, _) => args.rate,
    };
    plan.pace = match rate {
        None => Pace::Closed {
            connections: args.connections,
            pipeline: args.pipeline,
            think: args.think.map(|it| it.0).unwrap_or_default(),
        },
        Some(rate) => Pace::Open {
            arrivals: match rate {
                Rate::One(rate) => args.arrivals.at(rate),
                Rate::Ramp(_) if args.requests.is_some() => {
                    let why = "load: a ramp of --rate takes a --duration, not a number of requests";
                    return Err(Failure::Usage(why.to_owned()));
                }
                Rate::Ramp(ramp) => Arrivals::Ramp {
                    ramp: Ramp { over: args.duration.0, ..ramp },
                    shape: args.arrivals,
                },
            },
            connections: args.connections,
        },
    };
    plan.length = args.requests.map_or(Length::Time(args.duration.0), Length::Requests);
    plan.trust = match &args.ca {
        Some(path) => Trust::Roots(path.clone()),
        None if args.insecure => Trust::Anyone,
        None => Trust::System,
    };
    if let Some(goal) = args.find {
        find::check_step(args, goal)?;
        find::step(args, goal, &mut plan);
    }
    plan.keep_alive = !args.no_keep_alive;
    plan.connect_timeout = args.connect_time.0;
    plan.reply_timeout = args.reply_time.0;
    (plan.dead, plan.slow, plan.slow_gap) = (args.dead, args.slow, args.slow_gap.0);
    plan.sources.clone_from(&args.from);
    plan.seed = args.seed;
    Ok(plan)
}

fn about(args: &LoadArgs, plan: &Plan) -> Result<About, Failure> {
    let mode = match plan.pace {
        Pace::Open { arrivals, .. } => Mode::Open { arrivals },
        _ => Mode::Closed { connections: args.connections, pipeline: args.pipeline },
    };
    let mut about = About::new(&args.url.to_string(), mode);
    about.command =
        shell_words::join(std::env::args_os().map(|it| it.to_string_lossy().into_owned()));
    about.processes = limits::processes(args, plan)?;
    Ok(about)
}

fn write_all(args: &LoadArgs, record: &Record, about: &About) -> Result<(), Failure> {
    if let Some(folder) = &args.out {
        for (name, form) in FILES {
            let path = folder.join(name);
            let written = File::create(&path).and_then(|file| {
                let mut file = BufWriter::new(file);
                form.write(record, about, &mut file)?;
                file.flush()
            });
            written.map_err(|error| failed(&path, &error))?;
        }
    }
    let form = if args.json { Form::Json } else { args.report };
    let mut out = BufWriter::new(io::stdout().lock());
    let written = form.write(record, about, &mut out).and_then(|()| out.flush());
    unless_closed("standard output", written)
}

/// Who has read enough may close.
fn unless_closed(name: &str, written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("load: {name}: {error}")))
        }
        _ => Ok(()),
    }
}

fn create(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

/// What is written into a directory.
const FILES: [(&str, Form); 8] = [
    ("report.txt", Form::Human),
    ("report.json", Form::Json),
    ("samples.csv", Form::Csv),
    ("latency.hdr", Form::Hdr),
    ("latency.hgrm", Form::Hgrm),
    ("httperf.txt", Form::Httperf),
    ("percentiles.svg", Form::PlotPercentiles),
    ("time.svg", Form::PlotTime),
];

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("load: {}: {error}", path.display()))
}

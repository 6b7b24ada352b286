//! `ukevent load`: makes a load, alone or in several processes, and reports it.

mod parts;
mod progress;

use crate::advice;
use crate::args::{LoadArgs, Shape};
use crate::failure::Failure;
use crate::queue;
use progress::Line;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use ukevent_load::record::Record;
use ukevent_load::report::{About, Form, Mode};
use ukevent_load::{Arrivals, Length, Load, Mix, Pace, Plan, Trust};
use ukevent_task::Runtime;

/// Makes the load. Blocks.
pub(crate) fn run(args: &LoadArgs) -> Result<(), Failure> {
    let plan = plan(args)?;
    raise_descriptors();
    if let Some(part) = args.part {
        return parts::be_one(args, parts::share(&plan, part));
    }
    let mut about = about(args, &plan);
    if let Some(folder) = &args.out {
        // Before the load, not after it.
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    }
    let record = match about.processes {
        1 => alone(args, plan, &mut about)?,
        count => parts::make(count, &mut about)?,
    };
    write_all(args, &record, &about)?;
    if record.replies == 0 {
        let errors = record.errors.total();
        return Err(Failure::Failed(format!("load: no reply to {errors} requests")));
    }
    Ok(())
}

fn alone(args: &LoadArgs, plan: Plan, about: &mut About) -> Result<Record, Failure> {
    let mut runtime = Runtime::with(queue::build("load", args.backend)?);
    let made = runtime.block_on(async {
        let load = Load::prepare(plan).await?;
        about.server = load.server();
        let line = Line::new();
        Ok::<_, io::Error>(load.run(move |progress| line.show(progress)).await)
    });
    made.map_err(io::Error::other).and_then(|made| made).map_err(|error| not_made(&error))
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
    plan.pace = match args.rate {
        None => Pace::Closed {
            connections: args.connections,
            pipeline: args.pipeline,
            think: args.think.map(|it| it.0).unwrap_or_default(),
        },
        Some(rate) => Pace::Open {
            arrivals: match args.arrivals {
                Shape::Even => Arrivals::Even { rate },
                Shape::Poisson => Arrivals::Poisson { rate },
                Shape::Bursts(size) => Arrivals::Bursts { rate, size },
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
    plan.keep_alive = !args.no_keep_alive;
    plan.connect_timeout = args.connect_time.0;
    plan.reply_timeout = args.reply_time.0;
    (plan.dead, plan.slow, plan.slow_gap) = (args.dead, args.slow, args.slow_gap.0);
    plan.sources.clone_from(&args.from);
    plan.seed = args.seed;
    Ok(plan)
}

fn about(args: &LoadArgs, plan: &Plan) -> About {
    let mode = match plan.pace {
        Pace::Open { arrivals, .. } => Mode::Open { arrivals },
        _ => Mode::Closed { connections: args.connections, pipeline: args.pipeline },
    };
    let mut about = About::new(&args.url.to_string(), mode);
    about.command =
        shell_words::join(std::env::args_os().map(|it| it.to_string_lossy().into_owned()));
    // One without a connection would make none of its requests.
    about.processes = args.processes.min(args.connections);
    about
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
    match written {
        // Who has read enough may close.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("load: standard output: {error}")))
        }
        _ => Ok(()),
    }
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

/// As many descriptors as this process may have; what lacks then is counted.
pub(crate) fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it may not, it has those that it has.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

//! `ukevent serve`: the server of `ukevent-http` on a queue, and what is said about it.

use crate::advice;
use crate::args::ServeArgs;
use crate::failure::Failure;
use crate::queue;
use crate::tell::tell;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, Write};
use std::time::Instant;
use ukevent_http::{Counters, Server, StartError};

/// Serves until it is told to end. Blocks.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let limits = args.bounds.limits();
    raise_descriptors(limits.connections);
    let mut queue = queue::build("serve", args.backend)?;
    let mut builder = Server::builder().limits(limits).end_by_signal();
    if let Some(root) = &args.root {
        builder = builder.root(root);
    }
    if args.share_port {
        builder = builder.share_port();
    }
    for address in &args.listen {
        builder = builder.listen(*address);
    }
    let mut server = builder.start(&mut queue).map_err(cannot_start)?;
    let what = args.root.as_ref().map_or("a page about itself".into(), |it| it.to_string_lossy());
    tell(format_args!("serve: {what}, by {}", queue.backend_reason()));
    print_addresses(&server);
    let begun = Instant::now();
    let served = server.run(&mut queue);
    let Counters { requests, accepted, bytes_sent, .. } = server.counters();
    tell(format_args!(
        "serve: {requests} requests on {accepted} connections, {bytes_sent} bytes sent in {:.1?}",
        begun.elapsed()
    ));
    served.map_err(|error| Failure::Failed(format!("serve: {error}")))
}

/// On standard output, where scripts find the port that the kernel chose. Serving does not depend on
/// their being read.
fn print_addresses(server: &Server) {
    let mut stdout = io::stdout();
    for address in server.addresses() {
        let _ = writeln!(stdout, "http://{address}/");
    }
    let _ = stdout.flush();
}

fn cannot_start(error: StartError) -> Failure {
    let said = error.to_string();
    let advice = match error {
        StartError::Listen { error, .. } => advice::on_listening(io::Error::from(error).kind()),
        StartError::Root { error, .. } => advice::on_opening(io::Error::from(error).kind()),
        _ => "",
    };
    Failure::Failed(format!("serve: {said}{advice}"))
}

/// Besides its connections a server needs descriptors for files, and a few of its own.
const OTHER_DESCRIPTORS: u64 = 2048;

/// Lets the process have the descriptors that so many connections need, if it may; else says how many
/// there will be. Having fewer is no failure: the server then pauses accepting.
fn raise_descriptors(connections: usize) {
    let wanted = (connections as u64).saturating_add(OTHER_DESCRIPTORS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    if raised.is_err() || allowed < wanted {
        tell(format_args!(
            "serve: {connections} connections may need {wanted} descriptors and {allowed} are \
             allowed (ulimit -Hn): accepting will pause when they are used up"
        ));
    }
}

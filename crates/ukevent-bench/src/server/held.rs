//! Connections on which nothing happens, held beside a load: here, or in a process of its own where this one may
//! not have descriptors for both ends.

use super::{
    Running,
    descriptors::raised,
    load::{self, PATIENCE, closed, sources},
};
use crate::child;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddrV4,
    os::fd::AsFd,
    process::{Child, ChildStdout, Stdio},
};
use ukevent_load::{Idle, Length, Load, Plan};
use ukevent_measure::Result;
use ukevent_task::pipe::PipeReader;

/// Where they are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// By this thread.
    Here,
    /// By a child of this process: it takes a program that knows [`child::be`].
    Child,
}

/// Connections that ask nothing. Dropping them closes them.
#[derive(Debug)]
pub struct Held(By);

#[derive(Debug)]
enum By {
    Load(Box<Load>),
    Process(Process),
}

impl Held {
    /// Connects so many. A child is waited for on this thread, which blocks; the server's must be another.
    ///
    /// # Errors
    /// They cannot all be there; the child does not start.
    pub async fn connect(server: &Running, dead: u32, holder: Holder) -> Result<Self> {
        Ok(Self(match holder {
            Holder::Here => By::Load(Box::new(prepare(server.address(), dead).await?)),
            Holder::Child => By::Process(Process::start(server.address(), dead)?),
        }))
    }

    /// How many of them are there now, and how many were sent away so far.
    ///
    /// # Errors
    /// The child has failed.
    pub fn count(&mut self) -> Result<Idle> {
        match &mut self.0 {
            By::Load(load) => Ok(load.idle()),
            By::Process(process) => process.count(),
        }
    }
}

async fn prepare(address: SocketAddrV4, dead: u32) -> Result<Load> {
    let target = format!("http://{address}/").parse()?;
    let (pace, length) = (closed(0), Length::Requests(0));
    let plan = Plan {
        pace,
        length,
        dead,
        sources: sources(),
        connect_timeout: PATIENCE,
        reply_timeout: PATIENCE,
        ..Plan::new(target)
    };
    Ok(Load::prepare(plan).await?)
}

/// A child that holds them. It says so in a line; it answers a line by how many there are and how many were lost;
/// when its input ends, it ends.
#[derive(Debug)]
struct Process {
    child: Child,
    says: BufReader<ChildStdout>,
}

const HELD: &str = "held";
/// Descriptors of such a child that are no connections.
const REST: u64 = 100;

impl Process {
    fn start(address: SocketAddrV4, dead: u32) -> Result<Self> {
        let mut command = child::command(&format!("hold,{address},{dead}"))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let says = child.stdout.take().map(BufReader::new).ok_or("a child without output")?;
        let mut process = Self { child, says };
        match process.line()?.as_str() {
            HELD => Ok(process),
            other => Err(format!("{dead} dead connections: {other}{}", process.complaint()).into()),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// What it said of its failure. It ends by that.
    fn complaint(&mut self) -> String {
        let mut words = String::new();
        if let Some(errors) = &mut self.child.stderr {
            // Whoever cannot be read has said nothing.
            let _ = errors.read_to_string(&mut words);
        }
        words.trim_end().to_owned()
    }

    fn count(&mut self) -> Result<Idle> {
        if let Some(input) = &mut self.child.stdin {
            writeln!(input)?;
        }
        let line = self.line()?;
        let counts = line.split_once(' ').map(|(there, lost)| (there.parse(), lost.parse()));
        match counts {
            Some((Ok(there), Ok(lost))) => Ok(Idle { there, lost }),
            _ => Err(format!("who held dead connections failed: {}", self.complaint()).into()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; either way it is gone after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a child does: `ADDRESS,COUNT`.
pub(crate) fn be_child(words: &str) -> Result<()> {
    let (address, dead) = words.split_once(',').ok_or("an address and a number, with a comma")?;
    let (address, dead): (SocketAddrV4, u32) = (address.parse()?, dead.parse()?);
    raised(u64::from(dead) + REST);
    load::run(async {
        let load = prepare(address, dead).await?;
        let mut says = std::io::stdout();
        writeln!(says, "{HELD}")?;
        // Meanwhile it is seen who is sent away.
        let mut input = PipeReader::from_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?;
        while !input.read().await?.is_empty() {
            let Idle { there, lost } = load.idle();
            writeln!(says, "{there} {lost}")?;
        }
        Ok(())
    })
}

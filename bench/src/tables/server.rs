//! A server in a process of its own, the load on it, and what both cost.

mod client;
mod rules;

use super::counters::Counters;
use crate::commit::folder;
use crate::tools::{is_installed, program};
use client::{connect, read_answer, read_file};
use rules::{STATIC_WEB_SERVER, h2o_rules, lighttpd_rules, nginx_rules};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ukevent_measure::Result;
use ukevent_measure::clock::process_cpu_ns_of;
use ukevent_measure::cores::{Cores, pin};

/// What to start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// The command `ukevent serve`, on the backend of this name.
    Ukevent(&'static str),
    Nginx,
    H2o,
    Lighttpd,
    StaticWebServer,
    /// This program as the floor: a ring, and one answer.
    BareRing,
}

impl Program {
    /// Whether this program of others is installed; says so if not.
    pub(crate) fn is_here(self, table: &str) -> bool {
        let name = match self {
            Self::Nginx => "nginx",
            Self::H2o => "h2o",
            Self::Lighttpd => "lighttpd",
            Self::StaticWebServer => "static-web-server",
            Self::Ukevent(_) | Self::BareRing => return true,
        };
        let is_here = is_installed(name);
        if !is_here {
            eprintln!("SKIPPED: {name} is not installed, so {table} goes without it");
        }
        is_here
    }
}

/// Connections that a server must be able to hold.
const CONNECTIONS: usize = 20_000;

/// Connections opened together: a common backlog holds 128.
const TOGETHER: usize = 100;

/// What servers need, and what they serve.
pub(crate) struct Site {
    ukevent: PathBuf,
    folder: TempDir,
    server_core: usize,
    load_core: usize,
}

/// The path of the file of so many bytes.
fn path_of(bytes: usize) -> String {
    format!("/{bytes}.bin")
}

/// What a file has at this place.
const fn byte_at(place: usize) -> u8 {
    b'a' + (place % PERIOD) as u8
}

/// Its content comes again after so many bytes.
const PERIOD: usize = 26;

impl Site {
    /// With a file of each of these sizes. Builds the command first, if it is not fresh. `None`, said
    /// aloud, if something is missing here.
    pub(crate) fn new(table: &str, cores: &Cores, sizes: &[usize]) -> Result<Option<Self>> {
        let Some(load_core) = cores.second() else {
            eprintln!("SKIPPED: {table} takes two cores, one for the server and one for the load");
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        // Whoever serves as another user can read it.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let www = folder.path().join("www");
        fs::create_dir(&www)?;
        for &bytes in sizes {
            let content: Vec<u8> = (0..bytes).map(byte_at).collect();
            fs::write(www.join(&path_of(bytes)[1..]), content)?;
        }
        Ok(Some(Self { ukevent: build()?, folder, server_core: cores.first(), load_core }))
    }

    fn content(&self) -> PathBuf {
        self.folder.path().join("www")
    }

    /// The command `ukevent`.
    pub(crate) fn ukevent(&self) -> &Path {
        &self.ukevent
    }

    fn command(&self, what: Program, port: u16, extra: Extra<'_>) -> Result<Command> {
        let tls = extra.tls;
        match what {
            Program::Ukevent(backend) => {
                let mut command = Command::new(&self.ukevent);
                command.arg("serve").arg("--root").arg(self.content());
                let listen = if tls.is_some() { "--listen-tls" } else { "--listen" };
                command.args([listen, &format!("127.0.0.1:{port}"), "--backend", backend]);
                if let Some(Tls { certificate, key, .. }) = tls {
                    command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
                }
                // As many and as long as nginx is told below.
                command.args(["--connections", &CONNECTIONS.to_string(), "--idle-time", "600s"]);
                if let Some(port) = extra.counters_port {
                    command.args(["--metrics", &format!("127.0.0.1:{port}")]);
                }
                Ok(command)
            }
            Program::Nginx => {
                let prefix = self.folder.path();
                fs::write(prefix.join("nginx.conf"), nginx_rules(&self.content(), port, extra))?;
                let mut command = Command::new("nginx");
                command.arg("-p").arg(prefix).arg("-c").arg("nginx.conf");
                command.arg("-e").arg("error.log");
                Ok(command)
            }
            Program::H2o => {
                let rules = self.folder.path().join("h2o.conf");
                fs::write(&rules, h2o_rules(&self.content(), port))?;
                let mut command = Command::new("h2o");
                command.args(["-m", "worker", "-c"]).arg(rules);
                Ok(command)
            }
            Program::Lighttpd => {
                let rules = self.folder.path().join("lighttpd.conf");
                fs::write(&rules, lighttpd_rules(&self.content(), port))?;
                let mut command = Command::new("lighttpd");
                command.arg("-D").arg("-f").arg(rules);
                Ok(command)
            }
            Program::StaticWebServer => {
                let mut command = Command::new(program("static-web-server"));
                command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--root"]);
                command.arg(self.content()).args(STATIC_WEB_SERVER);
                Ok(command)
            }
            Program::BareRing => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--static-child", "--listen", &format!("127.0.0.1:{port}")]);
                Ok(command)
            }
        }
    }

    /// Starts a server on its core and waits until it answers. The calling thread, and what it starts
    /// from then on, is on the core of the load.
    pub(crate) fn start(&self, program: Program) -> Result<Server> {
        self.start_with(program, Extra::default())
    }

    /// The same, and it can be asked what it answered so far: of the others only nginx can.
    pub(crate) fn start_counted(&self, program: Program) -> Result<Server> {
        let port = free_port()?;
        let extra = Extra { counters_port: Some(port), ..Extra::default() };
        let mut server = self.start_with(program, extra)?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let counters = match program {
            Program::Nginx => Counters::nginx(address),
            _ => Counters::ukevent(address),
        };
        // They may come a while after what was waited for.
        let until = Instant::now() + Duration::from_secs(10);
        while let Err(error) = counters.ask() {
            if Instant::now() > until {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        server.counters = Some(counters);
        Ok(server)
    }

    /// The same with TLS; of the others only nginx has it here.
    pub(crate) fn start_tls(&self, program: Program, tls: &Tls) -> Result<Server> {
        let extra = Extra { tls: Some(tls), ..Extra::default() };
        let mut server = self.start_with(program, extra)?;
        server.client_rules = Some(tls.client_rules.clone());
        Ok(server)
    }

    fn start_with(&self, program: Program, extra: Extra<'_>) -> Result<Server> {
        let port = free_port()?;
        let words = self.folder.path().join("stderr");
        let command = self.command(program, port, extra)?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        launch(command, address, (self.server_core, self.load_core), &words)
    }
}

/// What a server has besides.
#[derive(Clone, Copy, Default)]
struct Extra<'a> {
    tls: Option<&'a Tls>,
    /// Where it tells what it answered.
    counters_port: Option<u16>,
}

/// Ports below those that the kernel gives to whoever connects (ip(7), `ip_local_port_range`).
const PORTS: u16 = 8_000;

/// A port at which nobody listens. Where possible not one that a connection may be given before the server has it:
/// with thousands of connections that happens.
fn free_port() -> Result<u16> {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let first = given.split_whitespace().next().and_then(|it| it.parse::<u16>().ok());
    let first = first.filter(|&first| first > 2 * PORTS).unwrap_or(2 * PORTS);
    // One after the other: nobody listens yet at the one that was given before.
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let from = (std::process::id() % u32::from(PORTS)) as u16;
    for _ in 0..100 {
        let next = from.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = first - 1 - next % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What TLS takes: a certificate of its own, made anew, and one cipher for all.
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// The configuration of OpenSSL for the client. It offers nothing else, so no server can choose.
    client_rules: PathBuf,
}

const CLIENT_RULES: &str = "\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = rules
[rules]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_256_GCM_SHA384
";

impl Tls {
    /// `None`, said aloud, if something is missing here.
    pub(crate) fn new(table: &str, site: &Site) -> Result<Option<Self>> {
        if !is_installed("openssl") {
            eprintln!("SKIPPED: {table} over TLS takes openssl, which is not installed");
            return Ok(None);
        }
        let path = |name| site.folder.path().join(name);
        let tls = Self {
            certificate: path("certificate.pem"),
            key: path("key.pem"),
            client_rules: path("openssl.cnf"),
        };
        fs::write(&tls.client_rules, CLIENT_RULES)?;
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "1", "-subj", "/CN=localhost", "-out"])
            .arg(&tls.certificate)
            .arg("-keyout")
            .arg(&tls.key)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            return Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(Some(tls))
    }
}

/// Starts a server on the first core, its words going to a file, and waits until it listens. The calling
/// thread is on the second core then.
pub(crate) fn launch(
    mut command: Command,
    address: SocketAddrV4,
    (server_core, load_core): (usize, usize),
    words: &Path,
) -> Result<Server> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(words)?);
    pin(server_core)?;
    let child = command.spawn();
    pin(load_core)?;
    let mut server = Server { child: child?, address, client_rules: None, counters: None };
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(status) = server.child.try_wait()? {
            let words = fs::read_to_string(words).unwrap_or_default();
            return Err(format!("the server ended ({status}): {}", words.trim()).into());
        }
        if TcpStream::connect(address).is_ok() {
            return Ok(server);
        }
        if Instant::now() > until {
            return Err("the server does not listen".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    address: SocketAddrV4,
    /// With TLS: how its clients speak it.
    client_rules: Option<PathBuf>,
    counters: Option<Counters>,
}

impl Server {
    /// Nanoseconds of CPU that all its threads used so far.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        Ok(process_cpu_ns_of(self.child.id())?)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it says that it did, if it was started so that it tells.
    pub(crate) fn counters(&self) -> Option<&Counters> {
        self.counters.as_ref()
    }

    /// Where a file of so many bytes is.
    pub(crate) fn url(&self, bytes: usize) -> String {
        let scheme = if self.client_rules.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address, path_of(bytes))
    }

    /// The most memory that was resident.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        Ok(peak_bytes_of(self.child.id())?.ok_or("the server has ended")?)
    }

    /// Loads it for some seconds over so many connections, one request after the other on each.
    pub(crate) fn load(&self, bytes: usize, connections: usize, seconds: u64) -> Result<Load> {
        let before = self.cpu_ns()?;
        let mut command = Command::new("wrk");
        command.envs(self.client_rules.iter().map(|rules| ("OPENSSL_CONF", rules)));
        let output = command
            .args(["--threads=1", &format!("--connections={connections}")])
            .args([&format!("--duration={seconds}s"), "--timeout=5s"])
            .arg(self.url(bytes))
            .stdin(Stdio::null())
            .output()?;
        let cpu_ns = self.cpu_ns()? - before;
        let words = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("wrk: {words}{}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Load::read(&words, cpu_ns).ok_or_else(|| format!("wrk said something new: {words}").into())
    }

    /// Opens connections, each of which makes one request and then rests.
    pub(crate) fn hold(&self, bytes: usize, count: usize) -> Result<Vec<TcpStream>> {
        let mut held = Vec::with_capacity(count);
        while held.len() < count {
            let first = held.len();
            for place in first..count.min(first + TOGETHER) {
                held.push(self.connect(place)?);
            }
            self.ask_each(bytes, &mut held[first..])?;
        }
        Ok(held)
    }

    /// A connection, from an address and port of its own.
    pub(crate) fn connect(&self, place: usize) -> Result<TcpStream> {
        connect(self.address, place)
    }

    /// Makes one request over each connection, a hundred at a time.
    pub(crate) fn ask_each(&self, bytes: usize, streams: &mut [TcpStream]) -> Result<()> {
        for streams in streams.chunks_mut(TOGETHER) {
            for stream in &mut *streams {
                stream.write_all(self.request(bytes).as_bytes())?;
            }
            streams.iter_mut().try_for_each(read_answer)?;
        }
        Ok(())
    }

    fn request(&self, bytes: usize) -> String {
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", path_of(bytes), self.address)
    }

    /// Reads a file so many times over each of some connections, a thread for each, and looks at every
    /// byte.
    pub(crate) fn read_all(
        &self,
        bytes: usize,
        connections: usize,
        times: usize,
    ) -> Result<ReadAll> {
        let (before_ns, from) = (self.cpu_ns()?, Instant::now());
        let read = || -> Result<u64> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            (0..times).try_for_each(|_| {
                stream.write_all(self.request(bytes).as_bytes())?;
                read_file(&mut stream, bytes)
            })?;
            Ok(times as u64)
        };
        let requests = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..connections).map(|_| scope.spawn(read)).collect();
            let join = |it: std::thread::ScopedJoinHandle<'_, Result<u64>>| {
                it.join().map_err(|_| "a reader panicked")?
            };
            threads.into_iter().map(join).sum::<Result<u64>>()
        })?;
        Ok(ReadAll { requests, wall: from.elapsed(), cpu_ns: self.cpu_ns()? - before_ns })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What reading large files came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadAll {
    pub(crate) requests: u64,
    pub(crate) wall: Duration,
    /// Of the server.
    pub(crate) cpu_ns: u64,
}

/// What a load achieved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    /// Connections refused or reset, time-outs, and answers other than success.
    pub(crate) errors: u64,
    /// Of the server.
    pub(crate) cpu_ns: u64,
}

impl Load {
    /// Reads what wrk prints.
    pub(crate) fn read(words: &str, cpu_ns: u64) -> Option<Self> {
        let mut load = Self { requests: 0, per_second: 0.0, errors: 0, cpu_ns };
        for line in words.lines().map(str::trim) {
            if let Some((count, _)) = line.split_once(" requests in ") {
                load.requests = count.parse().ok()?;
            } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
                load.per_second = rate.trim().parse().ok()?;
            } else if let Some(errors) = line.strip_prefix("Socket errors:") {
                let counts = errors.split(|it: char| !it.is_ascii_digit());
                load.errors += counts.filter_map(|it| it.parse::<u64>().ok()).sum::<u64>();
            } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
                load.errors += count.trim().parse::<u64>().ok()?;
            }
        }
        (load.requests > 0).then_some(load)
    }

    /// CPU of the server for each request.
    pub(crate) fn cpu_ns_per_request(&self) -> f64 {
        self.cpu_ns as f64 / self.requests as f64
    }
}

/// The most memory of a process that was resident: `VmHWM` of proc_pid_status(5). `None` of one that is ending and
/// has none any more: to close thousands of sockets takes it a while after that.
pub(crate) fn peak_bytes_of(process: u32) -> Result<Option<u64>> {
    let words = fs::read_to_string(format!("/proc/{process}/status"))?;
    let Some(line) = words.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
        return Ok(None);
    };
    let kib = line.trim().strip_suffix(" kB").and_then(|it| it.parse::<u64>().ok());
    Ok(Some(kib.ok_or_else(|| format!("/proc/PID/status says something new: {line}"))? * 1024))
}

/// Whether wrk is here; says so if not.
pub(crate) fn has_wrk(table: &str) -> bool {
    let is_here = is_installed("wrk");
    if !is_here {
        eprintln!("SKIPPED: {table} takes wrk, which is not installed");
    }
    is_here
}

/// Builds the command of the project, as it is measured, and returns where it is.
fn build() -> Result<PathBuf> {
    let root = folder().join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "ukevent-cli", "--target-dir"])
        .arg(&target)
        .current_dir(&root)
        .status()?;
    if !status.success() {
        return Err("the command ukevent does not build".into());
    }
    Ok(target.join("release").join("ukevent"))
}

#[cfg(test)]
mod tests {
    use super::Load;

    #[test]
    fn reads_wrk() {
        let words = "Running 1s test @ http://127.0.0.1:8080/\n  1 threads and 64 connections\n  \
                     Thread Stats   Avg      Stdev     Max   +/- Stdev\n  \
                     41230 requests in 1.10s, 169.2MB read\n  \
                     Socket errors: connect 1, read 2, write 0, timeout 3\n  \
                     Non-2xx or 3xx responses: 4\nRequests/sec:  37481.25\nTransfer/sec:    153MB\n";
        let load = Load::read(words, 7).unwrap();
        let expected = Load { requests: 41230, per_second: 37481.25, errors: 10, cpu_ns: 7 };
        assert_eq!(load, expected);
        assert_eq!(Load::read("wrk: no\n", 0), None);
    }
}

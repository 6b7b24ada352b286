//! The same rows against nginx. Where status or fate differ, `nginx.md` says why; it says nothing else.

use super::{Site, bytes, heads, rows, start, strong_tag};
use crate::cases::talk::{Outcome, talk};
use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};
use ukevent_queue::BackendKind;

/// A program that serves, ended when it is dropped.
pub(super) struct Daemon(Child);

impl Daemon {
    /// Starts it, and waits until it listens. `None`, and said aloud, if it is not installed.
    pub(super) fn start(command: &mut Command, address: SocketAddr) -> Option<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(child) => {
                let mut daemon = Self(child);
                testkit::wait_until("it listens", || {
                    assert_eq!(daemon.0.try_wait().unwrap(), None, "{name} has ended");
                    TcpStream::connect(address).is_ok()
                });
                Some(daemon)
            }
            Err(error) => {
                testkit::skip(format_args!("{name}: {error}"));
                None
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens on.
pub(super) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// nginx with this in its `http` block, in a directory of its own.
pub(super) fn nginx(dir: &Path, http: &str, address: SocketAddr) -> Option<Daemon> {
    let conf = dir.join("nginx.conf");
    let dir = dir.display();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/error.log;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n\
         access_log off;\nclient_body_temp_path {dir}/body;\nproxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi;\nuwsgi_temp_path {dir}/uwsgi;\n\
         scgi_temp_path {dir}/scgi;\n{http}\n}}\n"
    );
    fs::write(&conf, text).unwrap();
    let error_log = format!("{dir}/error.log");
    Daemon::start(Command::new("nginx").arg("-e").arg(error_log).arg("-c").arg(conf), address)
}

fn summary(outcome: &Outcome) -> String {
    let statuses = outcome.answers.iter().map(|answer| format!("{} ", answer.status));
    statuses.collect::<String>() + if outcome.stays { "stays" } else { "closes" }
}

/// The rows of the table in `nginx.md`: a name, what is answered here, and there.
fn explained() -> BTreeMap<String, (String, String)> {
    let mut all = BTreeMap::new();
    for line in include_str!("nginx.md").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, here, there, why] = cells[..] else { panic!("four cells: {line}") };
        assert!(why.len() > 3, "{name} is not explained");
        let before =
            all.insert(name.trim_matches('`').to_owned(), (here.to_owned(), there.to_owned()));
        assert_eq!(before, None, "{name} stands twice");
    }
    all
}

#[test]
fn differences_are_explained() {
    let site = Site::new();
    let dir = tempfile::tempdir().unwrap();
    let address = free_address();
    let http = format!(
        "types {{ text/plain txt; text/html html; }}\nclient_max_body_size 64k;\n\
         server {{ listen {address}; root {}; }}",
        site.root().display()
    );
    let Some(_nginx) = nginx(dir.path(), &http, address) else { return };
    let (server, _) = start(BackendKind::Epoll, &site.root());
    let (ours, theirs) = (strong_tag(server.address), strong_tag(address));
    let mut explained = explained();
    let mut wrong = Vec::new();
    for (name, row) in rows() {
        let ask = |address, tag: &str| {
            let request = bytes(row.1, tag);
            summary(&talk(address, &[vec![&request]], &heads(row))[0])
        };
        let (here, there) = (ask(server.address, &ours), ask(address, &theirs));
        match explained.remove(&name) {
            None if here != there => wrong.push(format!("| `{name}` | {here} | {there} | ? |")),
            Some(said) if said != (here.clone(), there.clone()) => {
                wrong.push(format!("| `{name}` | {here} | {there} | says {said:?} |"));
            }
            Some(_) if here == there => wrong.push(format!("{name} differs no more")),
            _ => {}
        }
    }
    wrong.extend(explained.into_keys().map(|name| format!("{name} is no row")));
    assert!(wrong.is_empty(), "nginx.md should say otherwise:\n{}", wrong.join("\n"));
}

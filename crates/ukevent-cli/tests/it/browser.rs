//! The page that `ukevent serve` shows about itself, in Chromium: that it moves, and what it looks like.
//!
//! The browser is driven by its debugging protocol over two pipes, because the page watches a stream that
//! does not end: to wait until everything has loaded would be to wait for ever. It is asked for what it
//! shows until that has come; so nothing depends on how long anything takes. A browser that is not
//! installed is a test that skips aloud. Pictures stay in the folder that `UKEVENT_PICTURES` names.

use crate::{
    clients::is_installed,
    serve::{end, serve},
    watch::{TERM, ukevent},
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};
use testkit::{Child, TempTree};

/// A browser with one page open, with a profile of its own; it talks to nobody but the server.
struct Browser {
    child: Child,
    to: File,
    from: File,
    came: Vec<u8>,
    asked: u64,
    session: Option<String>,
    tree: TempTree,
}

impl Browser {
    fn open(url: &str) -> Self {
        let tree = TempTree::new();
        let [to, from] = ["to", "from"].map(|name| tree.path().join(name));
        for path in [&to, &from] {
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }
        let profile = format!("--user-data-dir={}", tree.path().join("profile").display());
        let mut command = Command::new("sh");
        // It reads commands from descriptor 3 and answers on 4.
        command.args(["-c", "exec chromium \"$@\" 3<to 4>from", "sh"]);
        command.args([
            "--headless",
            "--hide-scrollbars",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--remote-debugging-pipe",
            &profile,
        ]);
        // A browser leaves traces at home.
        command.env("HOME", tree.path()).current_dir(tree.path());
        let log = File::create(tree.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // Open on both sides, so that nobody waits for the other to open it.
        let to = OpenOptions::new().read(true).write(true).open(to).unwrap();
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let from = OpenOptions::new().read(true).custom_flags(nonblock).open(from).unwrap();
        let child = Child::spawn(&mut command);
        let (came, asked, session) = (Vec::new(), 0, None);
        let mut browser = Self { child, to, from, came, asked, session, tree };
        let page = browser.ask("Target.createTarget", json!({ "url": url }));
        let page = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", page);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser
    }

    /// Sends a command, and waits for its result.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut command = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{command}\0").as_bytes()).unwrap();
        loop {
            let mut message: Value = serde_json::from_slice(&self.message(method)).unwrap();
            if message["id"] == self.asked {
                assert!(message.get("error").is_none(), "{command}: {message}");
                return message["result"].take();
            }
        }
    }

    /// The next message, without the zero at its end.
    fn message(&mut self, what: &str) -> Vec<u8> {
        let Self { child, from, came, tree, .. } = self;
        let mut end = None;
        testkit::wait_until(what, || {
            let mut piece = [0; 65536];
            loop {
                end = came.iter().position(|&byte| byte == 0);
                if end.is_some() {
                    return true;
                }
                match from.read(&mut piece) {
                    Ok(0) => break,
                    Ok(bytes) => came.extend_from_slice(&piece[..bytes]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
            if let Some(status) = child.try_wait().unwrap() {
                let log = fs::read_to_string(tree.path().join("log")).unwrap();
                panic!("it ended, {status}: {log}");
            }
            false
        });
        let mut message: Vec<u8> = came.drain(..=end.unwrap()).collect();
        message.pop();
        message
    }

    /// The value of an expression of the page.
    fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let mut result = self.ask("Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    fn text(&mut self, id: &str) -> String {
        let text = self.value(&format!("document.getElementById('{id}').textContent"));
        text.as_str().unwrap_or_else(|| panic!("{id}: {text}")).to_owned()
    }

    /// The points of a line of a plot: pairs of numbers.
    fn points(&mut self, id: &str) -> Vec<(f64, f64)> {
        let path = self.value(&format!("document.getElementById('{id}')?.getAttribute('d')"));
        let path = path.as_str().unwrap_or_default().replace("h0", "");
        let pairs = path.split(['M', 'L']).skip(1).map(|pair| pair.split_once(' ').unwrap());
        pairs.map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).collect()
    }

    /// Waits until the plot of rates has so many points.
    fn wait_for_points(&mut self, count: usize) {
        testkit::wait_until("the plot has points", || self.points("trace").len() >= count);
    }

    /// Draws the page so wide, in this scheme of colours, into a file.
    fn draw(&mut self, name: &str, width: u32, scheme: &str) -> Vec<u8> {
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", json!({ "features": scheme }));
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size);
        let whole = json!({ "captureBeyondViewport": true });
        let picture = self.ask("Page.captureScreenshot", whole);
        let picture = from_base64(picture["data"].as_str().unwrap());
        let folder = env::var_os("UKEVENT_PICTURES");
        let folder = folder.as_deref().map_or(self.tree.path(), Path::new);
        fs::write(folder.join(name), &picture).unwrap();
        picture
    }

    fn close(mut self) {
        self.session = None;
        self.ask("Browser.close", json!({}));
        let child = &mut self.child;
        testkit::wait_until("the browser ends", || child.try_wait().unwrap().is_some());
    }
}

/// RFC 4648, 4, of one who writes it properly.
fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().take_while(|&digit| digit != b'=') {
        let value = DIGITS.iter().position(|&it| it == digit).expect("a digit");
        (bits, count) = (bits << 6 | value as u32, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// Clients that ask all the time, until this is dropped.
struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn new(address: &str, clients: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|_| {
            let (over, address) = (Arc::clone(&over), address.to_owned());
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                while !over.load(Ordering::Relaxed) {
                    stream.write_all(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                }
            })
        });
        let clients = clients.collect();
        Self { over, clients }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended: Vec<_> = self.clients.drain(..).map(JoinHandle::join).collect();
        assert!(std::thread::panicking() || ended.iter().all(Result::is_ok));
    }
}

#[test]
fn the_page_moves_with_the_server() {
    if !is_installed("chromium") {
        return;
    }
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let load = Load::new(&address, 4);
    let mut browser = Browser::open(&format!("http://{address}/"));
    browser.wait_for_points(3);
    assert_eq!(browser.value("document.body.className"), "live");
    for id in ["rate", "batches", "events", "batch", "sent", "p50", "p99", "memory", "open"] {
        let text = browser.text(id);
        let number: String =
            text.chars().take_while(|it| it.is_ascii_digit() || *it == '.').collect();
        assert!(number.parse::<f64>().is_ok_and(|it| it > 0.0), "{id}: {text}");
    }
    assert_eq!((browser.text("refused"), browser.text("timed_out")), ("0".into(), "0".into()));
    // Every second had requests, so every second is a point of every line.
    for id in ["trace", "half", "most"] {
        let points = browser.points(id);
        assert!(points.len() >= 3, "{id}: {points:?}");
        assert!(points.windows(2).all(|two| two[1].0 - two[0].0 == 1.0), "{id}: {points:?}");
        assert!(points.iter().all(|&(_, y)| (0.0..100.0).contains(&y)), "{id}: {points:?}");
    }
    drop(load);
    // A server that ends does not wait for the page, which says that nobody answers.
    end(server, TERM);
    testkit::wait_until("the page knows", || browser.value("document.body.className") == "gone");
    browser.close();
}

#[test]
fn the_page_can_be_looked_at() {
    if !is_installed("chromium") {
        return;
    }
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let load = Load::new(&address, 3);
    let mut browser = Browser::open(&format!("http://{address}/"));
    browser.wait_for_points(8);
    let mut pictures = Vec::new();
    for (name, width, scheme) in
        [("light.png", 1100, "light"), ("dark.png", 1100, "dark"), ("narrow.png", 400, "light")]
    {
        let picture = browser.draw(name, width, scheme);
        assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"), "{} bytes", picture.len());
        // `IHDR`: the width.
        assert_eq!(picture[16..20], width.to_be_bytes());
        let wide = browser.value("document.documentElement.scrollWidth");
        assert_eq!(wide, width, "{name}: something sticks out");
        pictures.push(picture);
    }
    assert_ne!(pictures[0], pictures[1], "dark is light");
    browser.close();
    drop(load);
    end(server, TERM);
}

/// As many rows as there are threads, each with figures of its own, in both schemes of colours.
#[test]
fn the_page_shows_the_threads() {
    if !is_installed("chromium") {
        return;
    }
    let (server, address) = serve(&mut ukevent(&["serve", "--threads", "3"]));
    let load = Load::new(&address, 16);
    let mut browser = Browser::open(&format!("http://{address}/"));
    browser.wait_for_points(3);
    assert!(browser.text("waits").starts_with("3 threads wait, "));
    let rows = browser.value("document.getElementById('each').rows.length");
    assert_eq!(rows, 3);
    let sum = "[...document.getElementById('each').rows].map(row => +row.cells[1].textContent)\
               .reduce((a, b) => a + b)";
    // Sixteen that ask and one that watches; browsers open another one to have it.
    testkit::wait_until("all are shown", || browser.value(sum).as_f64().unwrap() >= 17.0);
    for (name, width, scheme) in [
        ("threads-light.png", 1100, "light"),
        ("threads-dark.png", 1100, "dark"),
        ("threads-narrow.png", 400, "light"),
    ] {
        browser.draw(name, width, scheme);
        let wide = browser.value("document.documentElement.scrollWidth");
        assert_eq!(wide, width, "{name}: something sticks out");
    }
    browser.close();
    drop(load);
    end(server, TERM);
}

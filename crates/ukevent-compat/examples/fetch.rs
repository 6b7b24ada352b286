//! A client by hyper: fetches a URL and writes the body to standard output, as it comes.
//!
//! ```console
//! $ cargo run --example fetch -- http://127.0.0.1:8080/
//! ```

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, Uri};
use std::error::Error;
use std::io::Write;
use std::net::ToSocketAddrs;
use ukevent_compat::Stream;
use ukevent_task::net::TcpStream;
use ukevent_task::{block_on, spawn};

async fn fetch(url: Uri, mut into: impl Write) -> Result<(), Box<dyn Error>> {
    let Some(authority) = url.authority().filter(|_| url.scheme_str() == Some("http")) else {
        return Err(format!("{url}: a URL like http://host:port/path is needed").into());
    };
    // Names are looked up before the first connection: this blocks, and nothing else runs here yet.
    let port = authority.port_u16().unwrap_or(80);
    let mut addresses = (authority.host(), port).to_socket_addrs()?;
    let address = addresses.next().ok_or("the host has no address")?;

    let stream = Stream::from(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let connection = spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, authority.as_str()).body(Empty::<Bytes>::new())?;
    let mut response = sender.send_request(request).await?;
    eprintln!("{:?} {}", response.version(), response.status());
    while let Some(frame) = response.frame().await {
        if let Some(bytes) = frame?.data_ref() {
            into.write_all(bytes)?;
        }
    }
    drop(sender);
    connection.await??;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("which URL?")?;
    block_on(fetch(url.parse()?, std::io::stdout().lock()))?
}

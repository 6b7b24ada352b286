//! Names of hosts: getaddrinfo(3), which blocks and knows all that the system is set up to ask.

use crate::blocking::blocking;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The addresses of a host and port, such as `example.org:80` or `[::1]:80`, best first (getaddrinfo(3)). An
/// address is taken as it is; a name is looked up on a thread, which goes on by itself if this is dropped.
///
/// ```
/// use ukevent_task::{block_on, net::resolve};
///
/// let addresses = block_on(resolve("127.0.0.1:80"))??;
/// assert_eq!(addresses, ["127.0.0.1:80".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What getaddrinfo(3) says; `InvalidInput` without a port.
pub async fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host_and_port.parse() {
        return Ok(vec![address]);
    }
    ask(host_and_port.to_owned()).await
}

/// The same of both apart.
pub(super) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    ask((host.to_owned(), port)).await
}

async fn ask(whom: impl ToSocketAddrs + Send + 'static) -> io::Result<Vec<SocketAddr>> {
    let found = blocking(move || Ok(whom.to_socket_addrs()?.collect())).await;
    found.unwrap_or_else(|panicked| Err(io::Error::other(panicked.to_string())))
}

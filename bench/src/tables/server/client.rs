//! A client that reads answers and looks at what is in them.

use super::{PERIOD, byte_at};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;
use ukevent_measure::Result;

/// Connects from an address and port of its own. A port that the kernel must find costs it more and
/// more; those below its own range are free.
pub(super) fn connect(address: SocketAddrV4, place: usize) -> Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    use rustix::net::{bind, connect, socket_with, sockopt::set_socket_reuseaddr};
    const PORTS: usize = 10_000;
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    // Connections of the round before may linger.
    set_socket_reuseaddr(&socket, true)?;
    let host = Ipv4Addr::new(127, 0, 1, (place / PORTS) as u8 + 1);
    bind(&socket, &SocketAddrV4::new(host, 20_000 + (place % PORTS) as u16))?;
    connect(&socket, &address)?;
    Ok(TcpStream::from(socket))
}

/// Reads one answer to its end.
pub(super) fn read_answer(stream: &mut TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answer = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let read = stream.read(&mut chunk)?;
        answer.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().filter_map(|line| line.split_once(':'));
            let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length = length.next().and_then(|(_, value)| value.trim().parse::<usize>().ok());
            if !head.starts_with("HTTP/1.1 200") {
                return Err(format!("an answer was {head:?}").into());
            }
            if body.len() >= length.ok_or("an answer without content-length")? {
                return Ok(());
            }
        }
        if read == 0 {
            return Err("a connection ended before its answer".into());
        }
    }
}

/// Reads one answer that is a file of so many bytes, and compares it with what the file has.
pub(super) fn read_file(stream: &mut TcpStream, bytes: usize) -> Result<()> {
    const CHUNK_BYTES: usize = 256 << 10;
    let expected: Vec<u8> = (0..CHUNK_BYTES + PERIOD).map(byte_at).collect();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut have = 0;
    let head_bytes = loop {
        let read = stream.read(&mut chunk[have..])?;
        have += read;
        if let Some(end) = chunk[..have].windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
        if read == 0 || have == chunk.len() {
            return Err("an answer without a head".into());
        }
    };
    if !chunk.starts_with(b"HTTP/1.1 200") {
        return Err("an answer was no success".into());
    }
    let mut at = have - head_bytes;
    let mut is_right = chunk[head_bytes..have] == expected[..at];
    while at < bytes && is_right {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err("a connection ended before its answer".into());
        }
        is_right = chunk[..read] == expected[at % PERIOD..][..read];
        at += read;
    }
    if is_right && at == bytes { Ok(()) } else { Err("a file came changed".into()) }
}

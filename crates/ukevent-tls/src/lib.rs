//! TLS 1.2 and 1.3 on the streams of `ukevent-task`, as client and as server, by rustls.
//!
//! One type, [`TlsStream`]. It takes the two halves of a stream (TCP or Unix), and what rustls is to do: a
//! [`ClientConfig`](rustls::ClientConfig) and whom to expect, or a [`ServerConfig`](rustls::ServerConfig). rustls
//! is re-exported, so that both are of the same version. It brings the provider `ring`; a program that wants
//! another one builds its configurations with that.
//!
//! ```
//! use std::sync::Arc;
//! use ukevent_task::{block_on, net::TcpStream};
//! use ukevent_tls::{TlsStream, rustls};
//!
//! /// What `https://host/` says first.
//! async fn ask(host: &'static str, roots: rustls::RootCertStore) -> std::io::Result<Vec<u8>> {
//!     let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
//!     let name = host.try_into().map_err(std::io::Error::other)?;
//!     let plain = TcpStream::connect_to(host, 443).await?;
//!     let mut stream = TlsStream::client(plain.into_split(), Arc::new(config), name)
//!         .map_err(std::io::Error::other)?;
//!     stream.handshake().await?;
//!     stream.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()).await?;
//!     Ok(stream.receive().await?.to_vec())
//! }
//! # let _ = ask;
//! ```

#![forbid(unsafe_code)]

mod stream;

pub use rustls;
pub use stream::TlsStream;

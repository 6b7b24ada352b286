//! The other two families of traits say the same of the same core.

use crate::clients::{backends, bytes};
use std::{
    future::poll_fn,
    io::{IoSlice, Read, Write},
    mem::MaybeUninit,
    pin::Pin,
};
use testkit::tcp_pair;
use ukevent_compat::{Stream, hyper::LocalExecutor};
use ukevent_queue::Builder;
use ukevent_task::{Runtime, net::TcpStream};

#[test]
fn tokio() {
    use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
    for backend in backends() {
        let mut runtime = Runtime::with(Builder::new().backend(backend).build().unwrap());
        runtime
            .block_on(async {
                let (socket, mut peer) = tcp_pair();
                let mut stream = Stream::from(TcpStream::from_socket(socket).unwrap());
                let mut stream = Pin::new(&mut stream);
                peer.write_all(b"hello, world").unwrap();

                let mut memory = [b'-'; 8];
                let mut buf = ReadBuf::new(&mut memory);
                buf.put_slice(b"> ");
                poll_fn(|cx| stream.as_mut().poll_read(cx, &mut buf)).await.unwrap();
                assert_eq!(
                    buf.filled(),
                    b"> hello,",
                    "behind what is there, and no more than fits"
                );
                poll_fn(|cx| stream.as_mut().poll_read(cx, &mut buf)).await.unwrap();
                assert_eq!(buf.filled().len(), 8, "no room: at once, and nothing");
                let shown =
                    poll_fn(|cx| stream.as_mut().poll_fill_buf(cx).map_ok(<[u8]>::to_vec)).await;
                assert_eq!(shown.unwrap(), b" world");
                AsyncBufRead::consume(stream.as_mut(), 1);
                let mut buf = ReadBuf::new(&mut memory);
                poll_fn(|cx| stream.as_mut().poll_read(cx, &mut buf)).await.unwrap();
                assert_eq!(buf.filled(), b"world");

                assert!(stream.is_write_vectored());
                let slices = [IoSlice::new(b"to "), IoSlice::new(b"you")];
                let count = poll_fn(|cx| stream.as_mut().poll_write_vectored(cx, &slices)).await;
                assert_eq!(count.unwrap(), 6);
                assert_eq!(poll_fn(|cx| stream.as_mut().poll_write(cx, b"!")).await.unwrap(), 1);
                poll_fn(|cx| stream.as_mut().poll_flush(cx)).await.unwrap();
                poll_fn(|cx| stream.as_mut().poll_shutdown(cx)).await.unwrap();
                let mut said = String::new();
                peer.read_to_string(&mut said).unwrap();
                assert_eq!(said, "to you!", "{backend}");
                drop(peer);
                let mut buf = ReadBuf::new(&mut memory);
                poll_fn(|cx| stream.as_mut().poll_read(cx, &mut buf)).await.unwrap();
                assert!(buf.filled().is_empty(), "the end");
                // The peer has closed as well by now, so that the kernel knows of no connection.
                poll_fn(|cx| stream.as_mut().poll_shutdown(cx)).await.unwrap();
            })
            .unwrap();
    }
}

#[test]
fn hyper() {
    use hyper::rt::{Executor, Read as _, ReadBuf, Write as _};
    for backend in backends() {
        let mut runtime = Runtime::with(Builder::new().backend(backend).build().unwrap());
        runtime
            .block_on(async {
                let (socket, mut peer) = tcp_pair();
                let mut stream = Stream::from(TcpStream::from_socket(socket).unwrap());
                let mut stream = Pin::new(&mut stream);
                peer.write_all(b"hello, world").unwrap();

                let mut memory = [MaybeUninit::uninit(); 6];
                let mut buf = ReadBuf::uninit(&mut memory);
                poll_fn(|cx| stream.as_mut().poll_read(cx, buf.unfilled())).await.unwrap();
                assert_eq!(buf.filled(), b"hello,");

                assert!(stream.is_write_vectored());
                let long = bytes(10_000);
                let slices = [IoSlice::new(&long), IoSlice::new(b"you")];
                let count = poll_fn(|cx| stream.as_mut().poll_write_vectored(cx, &slices)).await;
                assert_eq!(count.unwrap(), 10_003);
                poll_fn(|cx| stream.as_mut().poll_shutdown(cx)).await.unwrap();
                let mut said = Vec::new();
                peer.read_to_end(&mut said).unwrap();
                assert!(said == [&long, &b"you"[..]].concat(), "{backend}");

                // A future that is not `Send`.
                let count = std::rc::Rc::new(std::cell::Cell::new(0));
                let inside = std::rc::Rc::clone(&count);
                LocalExecutor.execute(async move { inside.set(1) });
                assert_eq!(count.get(), 0, "when its turn comes");
                ukevent_task::yield_now().await;
                assert_eq!(count.get(), 1);
            })
            .unwrap();
    }
}

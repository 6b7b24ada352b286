//! monoio: a task for each connection on its driver for io_uring, buffers handed over and back.
//!
//! `uring_builder` is where it takes a ring's flags. Of none, `single_issuer` alone, with `coop_taskrun`,
//! with `taskrun_flag` besides, and `single_issuer` with `defer_taskrun`, those taken here cost the least
//! over TCP with 64 connections (a fifth less than `defer_taskrun`, which is the cheaper over Unix sockets,
//! and a third less than none). Tried in short runs.

use crate::tables::echo::{Echo, Endpoint, Listener, READ_BYTES};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, UnixListener};
use monoio::{IoUringDriver, RuntimeBuilder, spawn};
use ukevent_measure::Result;

pub(crate) struct Monoio;

impl Echo for Monoio {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        let mut flags = monoio_io_uring::IoUring::builder();
        flags.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
        let mut runtime = RuntimeBuilder::<IoUringDriver>::new().uring_builder(flags).build()?;
        runtime.block_on(async {
            let mut tasks = Vec::with_capacity(connections);
            match endpoint.listen()? {
                Listener::Tcp(listener) => {
                    let listener = TcpListener::from_std(listener)?;
                    for _ in 0..connections {
                        tasks.push(spawn(echo(listener.accept().await?.0)));
                    }
                }
                Listener::Unix(listener) => {
                    let listener = UnixListener::from_std(listener)?;
                    for _ in 0..connections {
                        tasks.push(spawn(echo(listener.accept().await?.0)));
                    }
                }
            }
            for task in tasks {
                task.await?;
            }
            Ok(())
        })
    }
}

async fn echo(mut stream: impl AsyncReadRent + AsyncWriteRent) -> Result<()> {
    let mut bytes = Vec::with_capacity(READ_BYTES);
    loop {
        bytes.clear();
        let (count, filled) = stream.read(bytes).await;
        if count? == 0 {
            return Ok(());
        }
        let (done, sent) = stream.write_all(filled).await;
        done?;
        bytes = sent;
    }
}

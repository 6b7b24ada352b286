//! compio: a task for each connection, multishot reads from the runtime's pool of buffers.
//!
//! Its `ProactorBuilder` says what a runtime of one thread has of `coop_taskrun`, and what of
//! `single_issuer` with `defer_taskrun`, of which one goes without the other: the latter two are taken,
//! as all rings here do.

use crate::tables::echo::{Echo, Endpoint, Listener, READ_BYTES, shared_buffers};
use compio::driver::ProactorBuilder;
use compio::io::{AsyncReadMulti, AsyncWrite, AsyncWriteExt};
use compio::net::{TcpListener, UnixListener};
use compio::runtime::{RuntimeBuilder, spawn};
use futures_lite::StreamExt;
use std::num::NonZero;
use std::pin::pin;
use ukevent_measure::Result;

pub(crate) struct Compio;

impl Echo for Compio {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        let mut driver = ProactorBuilder::new();
        driver.single_issuer(true).defer_taskrun(true).taskrun_flag(true);
        let buffers = NonZero::new(shared_buffers(connections)).ok_or("no buffers")?;
        driver.buffer_pool_size(buffers).buffer_pool_buffer_len(READ_BYTES);
        let runtime = RuntimeBuilder::new().with_proactor(driver).build()?;
        if runtime.driver_type().is_polling() {
            return Err("it fell back to polling".into());
        }
        runtime.block_on(async {
            let mut tasks = Vec::with_capacity(connections);
            match endpoint.listen()? {
                Listener::Tcp(listener) => {
                    let listener = TcpListener::from_std(listener)?;
                    for _ in 0..connections {
                        let stream = listener.accept().await?.0;
                        tasks.push(spawn(echo(stream.clone(), stream)));
                    }
                }
                Listener::Unix(listener) => {
                    let listener = UnixListener::from_std(listener)?;
                    for _ in 0..connections {
                        let stream = listener.accept().await?.0;
                        tasks.push(spawn(echo(stream.clone(), stream)));
                    }
                }
            }
            for task in tasks {
                task.await.map_err(|_| "a task panicked")??;
            }
            Ok(())
        })
    }
}

/// Over two handles of one connection.
async fn echo(mut reads: impl AsyncReadMulti, mut writes: impl AsyncWrite) -> Result<()> {
    loop {
        let mut parts = pin!(reads.read_multi(0));
        let mut is_empty = true;
        while let Some(part) = parts.next().await {
            let part = part?;
            is_empty = false;
            writes.write_all(part).await.0?;
        }
        if is_empty {
            return Ok(());
        }
    }
}

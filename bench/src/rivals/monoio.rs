//! monoio: a task for each connection on its driver for io_uring, buffers handed over and back.

use crate::Result;
use crate::tables::echo::{Echo, Endpoint, Listener, READ_BYTES};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, UnixListener};
use monoio::{IoUringDriver, RuntimeBuilder, spawn};

pub(crate) struct Monoio;

impl Echo for Monoio {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        let mut runtime = RuntimeBuilder::<IoUringDriver>::new().build()?;
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

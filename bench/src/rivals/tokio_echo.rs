//! tokio's echo: a task for each connection, which reads and writes, on a runtime of one thread.

use crate::tables::echo::{Echo, Endpoint, Listener, READ_BYTES};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use ukevent_measure::Result;

pub(crate) struct Tokio;

impl Echo for Tokio {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            match endpoint.listen()? {
                Listener::Tcp(listener) => {
                    let listener = TcpListener::from_std(listener)?;
                    for _ in 0..connections {
                        tasks.spawn(echo(listener.accept().await?.0));
                    }
                }
                Listener::Unix(listener) => {
                    let listener = UnixListener::from_std(listener)?;
                    for _ in 0..connections {
                        tasks.spawn(echo(listener.accept().await?.0));
                    }
                }
            }
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            Ok(())
        })
    }
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut bytes = [0; READ_BYTES];
    loop {
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&bytes[..count]).await?;
    }
}

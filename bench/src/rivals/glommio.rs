//! glommio: a task for each connection, on an executor of this thread.

use crate::tables::echo::{Echo, Endpoint, READ_BYTES};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use glommio::net::{TcpListener, UnixListener};
use glommio::{LocalExecutorBuilder, Placement, spawn_local};
use ukevent_measure::Result;

pub(crate) struct Glommio;

impl Echo for Glommio {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        // The thread is on its core already.
        let made = LocalExecutorBuilder::new(Placement::Unbound).make();
        let executor = made.map_err(|error| error.to_string())?;
        executor.run(async {
            let mut tasks = Vec::with_capacity(connections);
            match endpoint {
                Endpoint::Tcp(address) => {
                    let listener = TcpListener::bind(address).map_err(|it| it.to_string())?;
                    for _ in 0..connections {
                        let stream = listener.accept().await.map_err(|it| it.to_string())?;
                        stream.set_nodelay(true).map_err(|it| it.to_string())?;
                        tasks.push(spawn_local(echo(stream)));
                    }
                }
                Endpoint::Unix(path) => {
                    let listener = UnixListener::bind(path).map_err(|it| it.to_string())?;
                    for _ in 0..connections {
                        let stream = listener.accept().await.map_err(|it| it.to_string())?;
                        tasks.push(spawn_local(echo(stream)));
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

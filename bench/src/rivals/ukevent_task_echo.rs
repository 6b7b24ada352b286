//! The echo as a program writes it with `ukevent-task`: a task for each connection, which receives and sends.

use crate::tables::echo::{Echo, Endpoint, READ_BYTES, shared_buffers};
use std::os::fd::OwnedFd;
use ukevent_measure::Result;
use ukevent_task::net::{TcpListener, TcpStream};
use ukevent_task::{Runtime, Scope};

pub(crate) struct UkeventTaskEcho;

impl Echo for UkeventTaskEcho {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        let frames = u32::from(shared_buffers(connections));
        let mut runtime = Runtime::builder().frames(frames, READ_BYTES).build()?;
        runtime.block_on(async {
            // It was made elsewhere, and may be a Unix socket as well: nothing here is TCP's alone.
            let mut listener = TcpListener::from_socket(OwnedFd::from(endpoint.listen()?))?;
            let mut tasks = Scope::new();
            for _ in 0..connections {
                tasks.spawn(echo(listener.accept().await?));
            }
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            Ok(())
        })?
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let bytes = stream.receive().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        stream.send(bytes).await?;
    }
}

//! A WebSocket server by async-tungstenite: sends every message back.
//!
//! ```console
//! $ cargo run --example websocket -- 127.0.0.1:9001
//! ```

use async_tungstenite::accept_async;
use async_tungstenite::tungstenite::{Error as WsError, Result as WsResult};
use futures_util::StreamExt;
use std::error::Error;
use ukevent_compat::Stream;
use ukevent_task::net::TcpListener;
use ukevent_task::{block_on, spawn};

/// One client. The library answers pings and closes by itself.
async fn echo(stream: Stream) -> WsResult<()> {
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    block_on(async {
        let mut listener = TcpListener::bind(address.parse()?)?;
        println!("ws://{}", listener.address()?);
        loop {
            let stream = Stream::from(listener.accept().await?);
            spawn(async move {
                match echo(stream).await {
                    Ok(()) | Err(WsError::ConnectionClosed) => {}
                    Err(error) => eprintln!("{error}"),
                }
            })
            .detach();
        }
    })?
}

//! A router of axum, over HTTP/1 and HTTP/2, whichever the client begins with.
//!
//! axum wants handlers that are `Send`, though nothing here leaves its thread: what they share is an `Arc`.
//!
//! ```console
//! $ cargo run --example axum -- 127.0.0.1:8080
//! $ curl --http2-prior-knowledge http://127.0.0.1:8080/hello/world
//! ```

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use ukevent_compat::Stream;
use ukevent_compat::hyper::{LocalExecutor, Timer};
use ukevent_task::net::TcpListener;
use ukevent_task::{block_on, spawn};

async fn hello(State(greeted): State<Arc<AtomicU64>>, Path(name): Path<String>) -> String {
    let before = greeted.fetch_add(1, Ordering::Relaxed);
    format!("hello {name}, after {before} others\n")
}

async fn upper(text: String) -> String {
    text.to_uppercase()
}

async fn serve(mut listener: TcpListener, router: Router) -> std::io::Result<()> {
    let service = TowerToHyperService::new(router);
    loop {
        let stream = Stream::from(listener.accept().await?);
        let service = service.clone();
        spawn(async move {
            let mut server = auto::Builder::new(LocalExecutor);
            server.http1().timer(Timer);
            server.http2().timer(Timer);
            if let Err(error) = server.serve_connection(stream, service).await {
                eprintln!("{error}");
            }
        })
        .detach();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let router = Router::new()
        .route("/", get(|| async { "hello\n" }))
        .route("/hello/{name}", get(hello))
        .route("/upper", post(upper))
        .with_state(Arc::default());
    block_on(async {
        let listener = TcpListener::bind(address.parse()?)?;
        println!("http://{}", listener.address()?);
        serve(listener, router).await?;
        Ok(())
    })?
}

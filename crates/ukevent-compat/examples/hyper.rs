//! A server by hyper: `GET /` answers, `POST /echo` sends back what it is sent, while it comes.
//!
//! ```console
//! $ cargo run --example hyper -- 127.0.0.1:8080
//! $ curl --data-binary @README.md http://127.0.0.1:8080/echo
//! ```

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;
use ukevent_compat::Stream;
use ukevent_compat::hyper::Timer;
use ukevent_task::net::TcpListener;
use ukevent_task::{block_on, spawn};

/// How long a client may take for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// A body of ours, or the request's.
type Body = Either<Full<Bytes>, Incoming>;

/// The count is this thread's: no lock, and no atomic step.
async fn answer(request: Request<Incoming>, count: &Cell<u64>) -> Response<Body> {
    count.set(count.get() + 1);
    let text = |text: String| Response::new(Either::Left(Full::from(text)));
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => text("hello\n".to_owned()),
        (&Method::GET, "/count") => text(format!("{}\n", count.get())),
        (&Method::POST, "/echo") => Response::new(Either::Right(request.into_body())),
        (&Method::POST, "/length") => match request.into_body().collect().await {
            Ok(body) => text(format!("{}\n", body.to_bytes().len())),
            Err(error) => with_status(StatusCode::BAD_REQUEST, text(format!("{error}\n"))),
        },
        _ => with_status(StatusCode::NOT_FOUND, text("nothing is here\n".to_owned())),
    }
}

fn with_status(status: StatusCode, mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = status;
    response
}

async fn serve(mut listener: TcpListener) -> std::io::Result<()> {
    let count = Rc::new(Cell::new(0));
    loop {
        let stream = Stream::from(listener.accept().await?);
        let count = Rc::clone(&count);
        spawn(async move {
            let service = service_fn(|request| {
                let count = Rc::clone(&count);
                async move { Ok::<_, Infallible>(answer(request, &count).await) }
            });
            let served = http1::Builder::new()
                .timer(Timer)
                .header_read_timeout(HEAD_TIME)
                .pipeline_flush(true)
                .serve_connection(stream, service)
                .await;
            if let Err(error) = served {
                eprintln!("{error}");
            }
        })
        .detach();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    block_on(async {
        let listener = TcpListener::bind(address.parse()?)?;
        println!("http://{}", listener.address()?);
        serve(listener).await?;
        Ok(())
    })?
}

//! A server with TLS by rustls, over HTTP/2 or HTTP/1 as the client chooses (ALPN). Its certificate is made
//! anew at each start, and written to a file for the client.
//!
//! ```console
//! $ cargo run --example https -- 127.0.0.1:8443 /tmp/certificate.pem
//! $ curl --cacert /tmp/certificate.pem https://localhost:8443/
//! ```

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use ukevent_compat::Stream;
use ukevent_compat::hyper::{LocalExecutor, Timer};
use ukevent_task::net::TcpListener;
use ukevent_task::time::timeout;
use ukevent_task::{block_on, spawn};

/// How long a client may take for its side of the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Incoming>>, Infallible> {
    Ok(Response::new(match *request.method() {
        Method::POST => Either::Right(request.into_body()),
        _ => Either::Left(Full::from("hello, in private\n")),
    }))
}

/// One client.
async fn serve(stream: Stream, tls: TlsAcceptor) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stream = timeout(HANDSHAKE_TIME, tls.accept(stream)).await??;
    let mut server = auto::Builder::new(LocalExecutor);
    server.http1().timer(Timer);
    server.http2().timer(Timer);
    server.serve_connection(TokioIo::new(stream), service_fn(answer)).await
}

/// A key of this run, and the certificate for it.
fn tls(certificate_file: &str) -> Result<TlsAcceptor, Box<dyn Error>> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::write(certificate_file, made.cert.pem())?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8443".to_owned());
    let tls = tls(&arguments.next().unwrap_or_else(|| "certificate.pem".to_owned()))?;
    block_on(async {
        let mut listener = TcpListener::bind(address.parse()?)?;
        println!("https://localhost:{}", listener.address()?.port());
        loop {
            let stream = Stream::from(listener.accept().await?);
            let tls = tls.clone();
            spawn(async move {
                if let Err(error) = serve(stream, tls).await {
                    eprintln!("{error}");
                }
            })
            .detach();
        }
    })?
}

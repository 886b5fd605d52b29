//! gRPC by tonic: unary calls with raw bytes, over one connection and without a broker between.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tower_service::Service;

use crate::drive::Caller;
use crate::{Outcome, Role};

/// Calls on one connection.
const STREAMS: u32 = 200_000;
/// What may be under way on a connection: more than 64 KiB, which would bind large payloads.
const WINDOW: u32 = 16 << 20;

/// The requester.
#[derive(Clone)]
pub(crate) struct Asking {
    client: tonic::client::Grpc<Channel>,
    payload: Bytes,
}

impl Asking {
    pub(crate) async fn start(role: &Role) -> Outcome<Self> {
        let channel = Endpoint::from_shared(format!("http://{}", role.bootstrap))?
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
            .connect()
            .await?;
        let client = tonic::client::Grpc::new(channel);
        Ok(Self { client, payload: vec![b'x'; role.payload].into() })
    }
}

impl Caller for Asking {
    async fn call(&self) -> Outcome {
        let mut client = self.client.clone();
        client.ready().await?;
        let path = PathAndQuery::from_static("/antiphon.Echo/Echo");
        client.unary(Request::new(self.payload.clone()), path, Raw).await?;
        Ok(())
    }
}

/// The replier, which is the server.
pub(crate) async fn echo() -> Outcome {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    crate::ready(Some(listener.local_addr()?))?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .max_concurrent_streams(STREAMS)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
        .add_service(Echo)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "antiphon.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async { Ok(tonic::server::Grpc::new(Raw).unary(Back, request).await) })
    }
}

struct Back;

impl Service<Request<Bytes>> for Back {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

/// Payloads are what is sent, without a schema around them.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

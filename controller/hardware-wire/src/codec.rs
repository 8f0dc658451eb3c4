//! Messages as JSON, each as one message of gRPC.

use std::marker::PhantomData;

use bytes::{Buf, BufMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Writes `W` and reads `R`.
pub(crate) struct Json<W, R>(PhantomData<fn() -> (W, R)>);

impl<W, R> Json<W, R> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

/// One direction.
pub(crate) struct OneWay<T>(PhantomData<fn() -> T>);

impl<W, R> Codec for Json<W, R>
where
    W: Serialize + Send + 'static,
    R: DeserializeOwned + Send + 'static,
{
    type Encode = W;
    type Decode = R;
    type Encoder = OneWay<W>;
    type Decoder = OneWay<R>;

    fn encoder(&mut self) -> Self::Encoder {
        OneWay(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        OneWay(PhantomData)
    }
}

impl<T: Serialize> Encoder for OneWay<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        serde_json::to_writer(buffer.writer(), &item).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<T: DeserializeOwned> Decoder for OneWay<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let unreadable = |error: serde_json::Error| Status::invalid_argument(format!("unreadable message: {error}"));
        serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
    }
}

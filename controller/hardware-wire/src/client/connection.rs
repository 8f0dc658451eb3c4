//! One connection: addresses, certificates and tokens, the deadline of a call, and what a failure means.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::stream::{BoxStream, StreamExt};
use http::uri::PathAndQuery;
use scaleset_hardware::HardwareError;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use super::reach::Reach;
use crate::codec::Json;
use crate::rpc::{Listen, Reply, Rpc};
use crate::token::{TokenError, TokenFile};
use crate::{EPOCH_HEADER, LONGEST_MESSAGE_BYTES, SERVICE};

/// How long one call may take, and one part of a stream that is waited for.
const CALL_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A connection that does not answer for this long twice is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Where the hardware is, and how to be let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Address, `http://` or `https://`.
    pub url: String,
    /// File with the token that is shown. It is read again while the process runs.
    pub token_file: Option<PathBuf>,
    /// Authority of the hardware's certificate, PEM. An address with `https://` needs it.
    pub ca_file: Option<PathBuf>,
    /// Certificate that is shown, and its private key, PEM.
    pub identity_files: Option<(PathBuf, PathBuf)>,
}

/// Options that no connection can be made with; one line that names the thing and the mend.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// The address.
    #[error("hardware address {url:?}: {problem}; give one like http://127.0.0.1:9090 with --hardware-url")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// Nobody is known whose certificates could be believed: those that a system trusts are not built in.
    #[error("hardware address {url:?}: the authority of its certificate is needed; give it with --hardware-ca-file")]
    Authority {
        /// The address.
        url: String,
    },
    /// A certificate or key.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl RemoteOptions {
    /// Whether a connection could be made with these; nothing is sent.
    pub fn check(&self) -> Result<(), OptionsError> {
        self.endpoint()?;
        self.token_file.clone().map(TokenFile::open).transpose()?;
        Ok(())
    }

    fn endpoint(&self) -> Result<Endpoint, OptionsError> {
        let wrong = |problem: String| OptionsError::Url { url: self.url.clone(), problem };
        let endpoint = Endpoint::from_shared(self.url.clone()).map_err(|error| wrong(deepest(&error)))?;
        let secure = match endpoint.uri().scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it must begin with http:// or https://".to_owned())),
        };
        let endpoint = endpoint
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        if !secure {
            return Ok(endpoint);
        }
        let Some(authority) = &self.ca_file else {
            return Err(OptionsError::Authority { url: self.url.clone() });
        };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(authority)?));
        if let Some((certificate, key)) = &self.identity_files {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        endpoint.tls_config(tls).map_err(|error| wrong(deepest(&error)))
    }
}

fn read(path: &Path) -> Result<String, OptionsError> {
    std::fs::read_to_string(path)
        .map_err(|error| OptionsError::File { path: path.to_owned(), problem: error.to_string() })
}

/// A connection that is made when it is needed, and made anew when it has broken.
pub(super) struct Connection {
    channel: Channel,
    url: String,
    token: Option<TokenFile>,
    epoch: u64,
    reach: Reach,
    /// How long one call may take, and one part of a stream that is waited for.
    limit: Duration,
}

/// What a stream brings, or why it brings no more.
pub(super) type Items<T> = BoxStream<'static, Result<T, HardwareError>>;

/// A stream that has to go on: each of its parts has a deadline.
pub(super) struct Parts<T> {
    items: Items<T>,
    url: String,
    limit: Duration,
}

impl<T> Parts<T> {
    /// The next part. That the stream ends is a failure, as that it is silent for too long.
    pub(super) async fn next(&mut self) -> Result<T, HardwareError> {
        match timeout(self.limit, self.items.next()).await {
            Ok(Some(item)) => item,
            Ok(None) => Err(unknown(&self.url, "its answer was cut")),
            Err(_) => Err(silent(&self.url, self.limit)),
        }
    }
}

impl Connection {
    /// Nothing is sent yet.
    pub(super) fn new(options: &RemoteOptions, epoch: u64) -> Result<Self, OptionsError> {
        let channel = options.endpoint()?.connect_lazy();
        let token = options.token_file.clone().map(TokenFile::open).transpose()?;
        Ok(Self { channel, url: options.url.clone(), token, epoch, reach: Reach::default(), limit: CALL_MAX })
    }

    /// The same with another limit than ten seconds.
    #[cfg(test)]
    pub(super) fn limited(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Makes a call that is answered once.
    pub(super) async fn call<R: Rpc>(&self, question: R) -> Result<R::Answer, HardwareError> {
        let work = async {
            let mut grpc = self.ready().await?;
            let request = self.request(question)?;
            Ok(grpc.unary(request, path(R::NAME), Json::<R, Reply<R::Answer>>::new()).await?.into_inner())
        };
        self.within_deadline(work).await?
    }

    /// Opens a stream that may be silent for as long as it likes.
    pub(super) async fn listen<T>(&self, name: &str) -> Result<Items<T>, HardwareError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let work = async {
            let mut grpc = self.ready().await?;
            let request = self.request(Listen {})?;
            Ok(grpc.server_streaming(request, path(name), Json::<Listen, T>::new()).await?.into_inner())
        };
        let items = self.within_deadline(work).await?;
        let url = self.url.clone();
        Ok(items.map(move |item| item.map_err(|status| unknown(&url, &described(&status)))).boxed())
    }

    /// Opens a stream that has to go on.
    pub(super) async fn follow<T>(&self, name: &str) -> Result<Parts<T>, HardwareError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        Ok(Parts { items: self.listen(name).await?, url: self.url.clone(), limit: self.limit })
    }

    async fn within_deadline<T>(&self, work: impl Future<Output = Result<T, Status>>) -> Result<T, HardwareError> {
        if let Some(reason) = self.reach.closed(Instant::now()) {
            return Err(unknown(&self.url, &reason));
        }
        let status = match timeout(self.limit, work).await {
            Ok(Ok(answer)) => {
                self.reach.reached();
                return Ok(answer);
            }
            Ok(Err(status)) => status,
            Err(_) => return Err(silent(&self.url, self.limit)),
        };
        let reason = described(&status);
        if status.code() == Code::Unavailable {
            self.reach.failed(&reason, Instant::now());
        }
        Err(unknown(&self.url, &reason))
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LONGEST_MESSAGE_BYTES);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        Ok(grpc)
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let metadata: &mut MetadataMap = request.metadata_mut();
        if self.epoch > 0 {
            metadata.insert(EPOCH_HEADER, MetadataValue::from(self.epoch));
        }
        if let Some(token) = &self.token {
            let value = format!("Bearer {}", token.current()).parse();
            let mut value: MetadataValue<_> = value.map_err(|_| Status::internal("the token fits no header"))?;
            value.set_sensitive(true);
            metadata.insert("authorization", value);
        }
        Ok(request)
    }
}

fn path(name: &str) -> PathAndQuery {
    format!("/{SERVICE}/{name}").parse().expect("names of calls are words")
}

/// Nothing is known of what was asked for. The words stay the same from call to call.
fn unknown(url: &str, reason: &str) -> HardwareError {
    HardwareError::Transient { message: format!("waiting for the hardware at {url}: {reason}") }
}

/// What is said of an answer that does not come.
fn silent(url: &str, limit: Duration) -> HardwareError {
    unknown(url, &format!("no answer within {} s", limit.as_secs_f64()))
}

/// Why a call failed, from the innermost cause.
fn described(status: &Status) -> String {
    let code = status.code();
    if code == Code::Unauthenticated || code == Code::PermissionDenied {
        return format!("it does not let us in: {}", status.message());
    }
    if code == Code::Unimplemented {
        return format!("its version is another one: {}", status.message());
    }
    status.source().map_or_else(|| status.message().to_owned(), deepest)
}

fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

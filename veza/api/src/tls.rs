//! TLS on the port of the API, where the environment names a certificate.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Who asks for a connection and then says nothing is not waited for any longer.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A certificate with its key, ready to be served with TLS 1.3.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<ServerConfig>);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate and key in {} cannot be read: {source}", path.display())]
    Pem { path: PathBuf, source: pem::Error },
    #[error("the certificate and key in {} cannot be used: {source}", path.display())]
    Pair { path: PathBuf, source: rustls::Error },
}

impl Certificate {
    /// Reads a PEM file that holds both, the server's own certificate before its intermediates.
    ///
    /// # Errors
    /// Either is missing or damaged, or they do not belong together.
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        let unread = |source| TlsError::Pem { path: path.to_owned(), source };
        let chain = CertificateDer::pem_file_iter(path).map_err(unread)?.collect::<Result<_, _>>().map_err(unread)?;
        let key = PrivateKeyDer::from_pem_file(path).map_err(unread)?;
        let unfit = |source| TlsError::Pair { path: path.to_owned(), source };
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unfit)?;
        Ok(Self(Arc::new(config)))
    }
}

/// Connections of another listener, once their handshakes are done. These run beside each other: nobody holds anybody up.
pub(crate) struct TlsListener<L> {
    below: L,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl<L> TlsListener<L> {
    pub(crate) fn new(below: L, Certificate(config): Certificate) -> Self {
        Self { below, acceptor: config.into(), handshakes: JoinSet::new() }
    }
}

impl<L: Listener<Io = TcpStream, Addr = SocketAddr>> Listener for TlsListener<L> {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (stream, address) = self.below.accept() => {
                    let handshake = self.acceptor.accept(stream);
                    self.handshakes.spawn(async move {
                        match timeout(HANDSHAKE_LIMIT, handshake).await {
                            Ok(Ok(stream)) => Some((stream, address)),
                            Ok(Err(error)) => {
                                tracing::debug!(%error, %address, "no TLS");
                                None
                            }
                            Err(_) => None,
                        }
                    });
                }
                Some(Ok(Some(connection))) = self.handshakes.join_next() => return connection,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.below.local_addr()
    }
}

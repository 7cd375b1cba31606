use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bascule_plan::agent::AUTHORITY_FILE;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::system::HttpAnswer;

const BODY_BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn http_get(url: &str, timeout_ms: u64) -> Result<HttpAnswer, String> {
    let tls = if url.starts_with("https:") { trust()? } else { TlsConfig::default() };
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(Duration::from_millis(timeout_ms)))
        // A redirect is an answer of its own, and a proxy from the environment would answer for somebody else.
        .max_redirects(0)
        .proxy(None)
        .http_status_as_error(false)
        .build();
    let failed = |error: &dyn std::fmt::Display| format!("{url}: {error}");
    let response = config.new_agent().get(url).call().map_err(|error| failed(&error))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let read = response.into_body().into_reader().take(BODY_BYTES_MAX).read_to_end(&mut body);
    read.map_err(|error| failed(&error))?;
    Ok(HttpAnswer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Believes in the platform's own authority, and in nobody else.
fn trust() -> Result<TlsConfig, String> {
    let pem = std::fs::read(AUTHORITY_FILE).map_err(|error| format!("{AUTHORITY_FILE}: {error}"))?;
    let authority = Certificate::from_pem(&pem).map_err(|error| format!("{AUTHORITY_FILE}: {error}"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[authority]))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

pub(super) fn tcp_connect(address: &str, timeout_ms: u64) -> Result<(), String> {
    let addresses = address.to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
    let mut last = format!("{address}: the name has no address");
    for candidate in addresses {
        match TcpStream::connect_timeout(&candidate, Duration::from_millis(timeout_ms.max(1))) {
            Ok(_) => return Ok(()),
            Err(error) => last = format!("{candidate}: {error}"),
        }
    }
    Err(last)
}

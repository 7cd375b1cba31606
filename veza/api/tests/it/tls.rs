//! TLS, where the environment names a certificate.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use reqwest::{Certificate, Client, StatusCode};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{COMMIT, Process, get, json};

const NAME: &str = "api-1.incus";

/// The process, a client that believes in its certificate and no other, and the folder that holds the file.
async fn served() -> (Process, Client, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tls.pem");
    let (certificate, key) = made();
    fs::write(&path, certificate.clone() + &key).unwrap();
    let process = Process::start(&[("TLS_CERTIFICATE", path.to_str().unwrap()), ("DRAIN_DELAY_MS", "0")]).await;
    let trusted = Certificate::from_pem(certificate.as_bytes()).unwrap();
    let client = Client::builder().no_proxy().tls_certs_only([trusted]).resolve(NAME, process.address);
    (process, client.build().unwrap(), folder)
}

/// A certificate that vouches for itself, and its key.
#[expect(clippy::disallowed_methods, reason = "it is openssl that makes it")]
fn made() -> (String, String) {
    let request = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -keyout - -subj /CN={NAME} \
         -addext subjectAltName=DNS:{NAME} -addext basicConstraints=critical,CA:FALSE"
    );
    let made = Command::new("openssl").args(request.split_whitespace()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pem = String::from_utf8(made.stdout).unwrap();
    let (key, certificate) = pem.split_at(pem.find("-----BEGIN CERTIFICATE-----").unwrap());
    (certificate.to_owned(), key.to_owned())
}

fn url(process: &Process) -> String {
    format!("https://{NAME}:{}/api/v1/status", process.address.port())
}

#[tokio::test]
async fn it_is_served_with_its_certificate_and_drains_like_any_other() {
    let (process, client, _folder) = served().await;
    let answer = client.get(url(&process)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(json(answer).await["commit"], COMMIT);
    process.signal(Signal::SIGTERM);
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn whoever_asks_and_says_nothing_holds_nobody_up() {
    let (process, client, _folder) = served().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(process.address).await.unwrap());
    }
    assert_eq!(client.get(url(&process)).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_served_without_tls() {
    let (process, _client, _folder) = served().await;
    let plain = reqwest::get(format!("http://{}/api/v1/status", process.address)).await;
    assert!(plain.is_err(), "{plain:?}");
    let plain = Process::start(&[]).await;
    assert_eq!(get(plain.address, "/api/v1/status").await.status(), StatusCode::OK);
}

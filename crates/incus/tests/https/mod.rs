//! The daemon by HTTPS, on loopback: who may come in, and what a certificate that is restricted to one project may do.

mod restricted;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bascule_incus::{Client, DEFAULT_SOCKET, Error, Identity, Incus, Unreachable};
use serde_json::Value;
use tempfile::TempDir;

use crate::conformance::Ground;
use crate::daemon::{self, LAB, there_is_a_lab};

/// Where the daemon listens unless somebody has set it up otherwise.
const ADDRESS: &str = "127.0.0.1:8443";

/// Runs a rule by HTTPS, as a client that may do everything.
pub(crate) async fn on_lab(rule: impl AsyncFnOnce(&Ground<'_>)) {
    if !there_is_a_lab() {
        return;
    }
    let _alone = LAB.lock().await;
    let trusted = Trusted::new("bslt-admin", &[]);
    let client = trusted.client().with_operation_timeout(Duration::from_secs(60));
    daemon::on_ground(&client, async |ground, _| rule(ground).await).await;
}

/// A client certificate that the daemon trusts for as long as this lives.
struct Trusted {
    name: &'static str,
    credentials: Credentials,
    address: SocketAddr,
}

impl Trusted {
    /// `more` restricts what it is trusted with, in the words of `incus config trust add-certificate`.
    fn new(name: &'static str, more: &[&str]) -> Self {
        let credentials = Credentials::new();
        forget(name);
        let file = credentials.0.path().join("client.crt");
        let add = ["config", "trust", "add-certificate", file.to_str().unwrap(), "--name", name];
        incus(&[&add, more].concat());
        Self { name, credentials, address: listening() }
    }

    fn client(&self) -> Client {
        Client::https(self.address, self.credentials.identity().borrow(), &server_certificate()).unwrap()
    }

    fn fingerprint(&self) -> String {
        trusted(self.name).pop().unwrap()["fingerprint"].as_str().unwrap().to_owned()
    }

    /// Whether the daemon restricts it, and to which projects.
    fn limits(&self) -> (bool, Vec<String>) {
        let entry = trusted(self.name).pop().unwrap();
        let projects = entry["projects"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        (entry["restricted"] == true, projects.collect())
    }

    /// Sends what the trait has no word for; gives the status.
    async fn send(&self, method: &str, path: &str, body: &Value) -> u16 {
        let OwnedIdentity { certificate, key } = self.credentials.identity();
        let identity = reqwest::Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
        let builder = reqwest::Client::builder().identity(identity).no_proxy();
        let client = builder.tls_danger_accept_invalid_certs(true).build().unwrap();
        let request = client.request(method.parse().unwrap(), format!("https://{}{path}", self.address)).json(body);
        request.send().await.unwrap().status().as_u16()
    }
}

impl Drop for Trusted {
    fn drop(&mut self) {
        forget(self.name);
    }
}

/// A key and its certificate, made now.
struct Credentials(TempDir);

struct OwnedIdentity {
    certificate: String,
    key: String,
}

impl OwnedIdentity {
    fn borrow(&self) -> Identity<'_> {
        Identity { certificate: &self.certificate, key: &self.key }
    }
}

impl Credentials {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut made = Command::new("incus");
        made.args(["remote", "generate-certificate"]).env("INCUS_CONF", folder.path());
        assert!(made.output().unwrap().status.success());
        Self(folder)
    }

    fn identity(&self) -> OwnedIdentity {
        let read = |name: &str| std::fs::read_to_string(self.0.path().join(name)).unwrap();
        OwnedIdentity { certificate: read("client.crt"), key: read("client.key") }
    }
}

fn server_certificate() -> String {
    std::fs::read_to_string(Path::new(DEFAULT_SOCKET).with_file_name("server.crt")).unwrap()
}

/// The address where the daemon listens, which is set where there is none.
fn listening() -> SocketAddr {
    let set = incus(&["config", "get", "core.https_address"]);
    if set.is_empty() {
        incus(&["config", "set", "core.https_address", ADDRESS]);
    }
    let address = if set.is_empty() { ADDRESS } else { &set };
    address.parse().unwrap_or_else(|_| panic!("core.https_address is {address}: an address with its port is needed"))
}

/// The daemon's entries of that name.
fn trusted(name: &str) -> Vec<Value> {
    let listed = incus(&["config", "trust", "list", "--format", "json"]);
    let mut listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    listed.retain(|certificate| certificate["name"] == name);
    listed
}

fn forget(name: &str) {
    for certificate in trusted(name) {
        incus(&["config", "trust", "remove", certificate["fingerprint"].as_str().unwrap()]);
    }
}

fn incus(arguments: &[&str]) -> String {
    let output = Command::new("incus").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "incus {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_stranger_is_told_that_it_is_not_trusted() {
    if !there_is_a_lab() {
        return;
    }
    let stranger = Credentials::new().identity();
    let client = Client::https(listening(), stranger.borrow(), &server_certificate()).unwrap();
    let error = client.server().await.unwrap_err();
    assert!(error.to_string().contains("does not trust this client"), "{error}");
    let error = client.instances("default").await.unwrap_err();
    assert!(matches!(error, Error::Refused { status: 403, .. }), "{error:?}");
}

#[tokio::test]
async fn a_daemon_with_another_certificate_than_the_pinned_one_is_asked_nothing() {
    if !there_is_a_lab() {
        return;
    }
    let (own, other) = (Credentials::new().identity(), Credentials::new().identity());
    let client = Client::https(listening(), own.borrow(), &other.certificate).unwrap();
    let error = client.server().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { why: Unreachable::OtherCertificate, .. }), "{error:?}");
    assert!(error.to_string().contains("https://"), "{error}");
}

#[test]
fn what_is_no_certificate_or_key_is_refused_without_being_repeated() {
    const JUNK: &str = "-----BEGIN JUNK-----\nc2VjcmV0LW1hcmtlcg==\n-----END JUNK-----\n";
    let address = ADDRESS.parse().unwrap();
    let junk = Identity { certificate: JUNK, key: JUNK };
    let error = Client::https(address, junk, JUNK).unwrap_err();
    assert!(matches!(error, Error::Credential { what: "the certificate of the server", .. }), "{error:?}");
    assert!(!format!("{error:?} {error} {junk:?}").contains("key: "), "{junk:?}");
}

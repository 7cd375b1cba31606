//! An authority made for this run, a certificate of it for the front door of `shop`, and clients that trust nobody else
//! but it and the authority that the tool made for `rolling`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::lab::{Lab, folder, incus, said};

/// As a public authority would do it: a certificate for 90 days that says where its revocations are told.
pub(crate) fn make_authority(folder: &Path) {
    let script = r#"
        key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        openssl req -x509 $key -keyout authority.key -out authority.pem -days 90 -subj '/CN=authority of a test' \
            -addext keyUsage=critical,keyCertSign,cRLSign
        openssl req $key -keyout front.key -out front.csr -subj /CN=shop.test
        printf '%s\n' subjectAltName=IP:10.99.32.2 crlDistributionPoints=URI:http://10.99.32.2/authority.crl \
            extendedKeyUsage=serverAuth keyUsage=critical,digitalSignature >front.ext
        openssl x509 -req -in front.csr -CA authority.pem -CAkey authority.key -days 90 -extfile front.ext -out front.pem
    "#;
    let made = Command::new("sh").args(["-euc", script]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
}

pub(crate) fn client() -> reqwest::ClientBuilder {
    let trusted = authorities().map(|path| reqwest::Certificate::from_pem(&fs::read(path).unwrap()).unwrap());
    reqwest::Client::builder().no_proxy().tls_certs_only(trusted)
}

/// Opens a WebSocket.
pub(crate) async fn connect(url: &str) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Error> {
    let mut roots = RootCertStore::empty();
    for path in authorities() {
        roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = Connector::Rustls(Arc::new(config));
    connect_async_tls_with_config(url, None, false, Some(connector)).await.map(|(socket, _)| socket)
}

/// The one that gave `shop` its certificate.
fn authority() -> PathBuf {
    folder().join("authority.pem")
}

/// That one, and the one that `up` made for `rolling`, once it has.
fn authorities() -> impl Iterator<Item = PathBuf> {
    [authority(), folder().join("env/rolling.ca.pem")].into_iter().filter(|path| path.exists())
}

#[test]
fn plain_http_is_sent_to_https_and_the_browser_remembers_it() {
    let (_guard, lab) = Lab::shop();
    let secure = lab.front_door();
    let plain = secure.replacen("https", "http", 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = client().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let moved = client.get(format!("{plain}/rooms/kitchen?a=b")).send().await.unwrap();
        assert_eq!(
            (moved.status().as_u16(), &moved.headers()["location"]),
            (301, &format!("{secure}/rooms/kitchen?a=b").parse().unwrap())
        );
        let answer = client.get(&secure).send().await.unwrap();
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=63072000");
        let cookie =
            client.get(format!("{secure}/api/v1/status")).send().await.unwrap().headers()["set-cookie"].clone();
        assert!(cookie.to_str().unwrap().contains("Secure"), "{cookie:?}");
    });
    let spoken = format!("curl --silent --insecure --output /dev/null --write-out '%{{http_version}}' {secure}/");
    assert_eq!(lab.shell("lb-1", &spoken), "2");
}

#[test]
fn testssl_finds_nothing_above_low() {
    let (_guard, lab) = Lab::shop();
    let stranger = Stranger::new(&lab);
    stranger.shell(
        "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends testssl.sh",
    );
    let authority = fs::read_to_string(authority()).unwrap();
    stranger.shell(&format!("cat >/root/authority.pem <<'X'\n{authority}\nX"));
    let told = stranger.shell(&format!(
        "testssl --quiet --color 0 --warnings off --add-ca /root/authority.pem --jsonfile /root/findings.json \
         --protocols --std --fs --server-defaults --header --vulnerable {} >/dev/null; cat /root/findings.json",
        lab.front_door()
    ));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&told).unwrap();
    let by_severity = |severity: &str| findings.iter().filter(|finding| finding["severity"] == severity).count();
    for severity in ["OK", "INFO", "WARN", "LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"] {
        println!("testssl: {} {severity}", by_severity(severity));
    }
    let bad = |severity: &str| ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].contains(&severity);
    let bad: Vec<_> = findings.iter().filter(|finding| bad(finding["severity"].as_str().unwrap())).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for offered in ["TLS1_2", "TLS1_3"] {
        let finding = findings.iter().find(|finding| finding["id"] == offered).unwrap();
        assert!(finding["finding"].as_str().unwrap().starts_with("offered"), "{finding}");
    }
}

/// A machine on the environment's network that is none of its own; gone with the test.
struct Stranger {
    project: String,
}

impl Stranger {
    const NAME: &str = "stranger";

    fn new(lab: &Lab) -> Self {
        let stranger = Self { project: lab.project() };
        let images =
            Command::new("incus").args(["image", "list", "--format", "csv", "--columns", "l"]).output().unwrap();
        let images = String::from_utf8(images.stdout).unwrap();
        let base = images.lines().find(|alias| alias.starts_with("bascule/base-")).unwrap();
        let network = format!("bslt-{}", lab.environment);
        incus(&[
            "launch",
            base,
            Self::NAME,
            "--project",
            &stranger.project,
            "--network",
            &network,
            "--storage",
            "default",
        ]);
        stranger.shell(
            "systemctl is-system-running --wait; /usr/lib/systemd/systemd-networkd-wait-online --interface=eth0 --ipv4",
        );
        stranger
    }

    fn shell(&self, line: &str) -> String {
        let ran = Command::new("incus")
            .args(["exec", "--project", &self.project, Self::NAME, "--", "sh", "-c", line])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{line}: {}", said(&ran));
        String::from_utf8(ran.stdout).unwrap()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = Command::new("incus").args(["delete", "--force", "--project", &self.project, Self::NAME]).status();
    }
}

#[test]
fn status_tells_when_the_certificate_ends() {
    let (_guard, lab) = Lab::shop();
    let door = lab.front_door_event();
    assert_eq!(door["certificate_days_left"], 89, "{door}");
    let end = Command::new("openssl")
        .args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in"])
        .arg(folder().join("front.pem"))
        .output()
        .unwrap();
    let end = String::from_utf8(end.stdout).unwrap();
    let end = end.trim().trim_start_matches("notAfter=").replace(' ', "T");
    assert_eq!(door["certificate_expires"], end);
}

#[test]
fn both_load_balancers_keep_a_client_on_the_same_replica() {
    let (_guard, lab) = Lab::shop();
    let served = |load_balancer: &str, number: u8| {
        let ask = format!("curl -s --cookie api_replica={number} http://127.0.0.1:8406/api/v1/status");
        let answer: serde_json::Value = serde_json::from_str(&lab.shell(load_balancer, &ask)).unwrap();
        answer["instance"].as_str().unwrap().to_owned()
    };
    for number in [1, 2] {
        let replica = served("lb-1", number);
        assert!(replica.ends_with(&format!("-{number}")), "{replica}");
        assert_eq!(replica, served("lb-2", number));
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::origin::Origin;
use crate::lab::{BETWEEN_LOOKS, Lab, folder, said};

pub(super) const EDGES: [&str; 2] = ["edge-1", "edge-2"];
/// How long anything may take here before a test gives up: no promise, and no figure.
const PATIENCE: Duration = Duration::from_secs(60);
const DOOR: &str = "http://10.99.38.2";
const ORIGIN: &str = "10.99.38.1:9038";
/// The one of the examples in the book.
pub(super) const KEY: &str = "an example's key";
pub(super) const STORE_KEY: &str = "[default]\naws_access_key_id = EDGE1\naws_secret_access_key = abc/DEF+123=\n";

/// Two edges behind two load balancers, in front of a store that does what a test wants.
pub(super) struct Site {
    pub(super) lab: Lab,
    pub(super) origin: &'static Origin,
    _one_at_a_time: MutexGuard<'static, ()>,
}

const PLATFORM: &str = r#"
name = "media"

[network]
bridge = "bslt-edge"
subnet = "10.99.38.0/24"

[incus]
project = "bascule-test-edge"

[ssh]
allow_from = ["10.99.38.0/24"]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH nobody"]

[release]
artifacts = "artifacts"

[load_balancer]
topology = "multi-instance"
instances = 2
address = "10.99.38.2"
connections_max = 1000

[component.web]
kind = "static"
replicas = 1
default = true

[store]
engine = "external"
endpoint = "http://10.99.38.1:9038"
key = "store_key"

[store.bucket.tracks]

[edge]
bucket = "tracks"
routes = ["/media/"]
signing_key = "media_key"
cache_max = "256MiB"

[group.tools]
instances = 1
"#;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
    /// Less came than was announced.
    pub(super) is_cut: bool,
}

impl Answer {
    pub(crate) fn cache(&self) -> &str {
        self.header("x-cache-status")
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Site {
    /// Everything is up, and nothing is kept.
    pub(super) fn up() -> Self {
        static READY: OnceLock<()> = OnceLock::new();
        static STORE: OnceLock<Origin> = OnceLock::new();
        let folder = folder().with_file_name("lab-edge");
        let (guard, lab) = Lab::of(folder.clone(), "edge");
        READY.get_or_init(|| {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("env")).unwrap();
            fs::write(folder.join("platform.toml"), PLATFORM).unwrap();
            fs::write(folder.join("env/edge.toml"), "").unwrap();
            lab.ok(&["init", folder.to_str().unwrap()]);
            set(&lab, "media_key", KEY);
            set(&lab, "store_key", STORE_KEY);
            lab.ok(&["up"]);
            assert_eq!(lab.summary(&["up"])["changed"], 0);
        });
        // The bridge has its address by now.
        let origin = STORE.get_or_init(|| Origin::listen(ORIGIN.parse().unwrap()));
        origin.come_back();
        origin.fail(None);
        origin.delay(Duration::ZERO);
        let site = Self { lab, origin, _one_at_a_time: guard };
        site.wait_until_whole();
        site.lab.ok(&["edge", "purge", "/media/"]);
        origin.asked();
        site
    }

    pub(super) fn set(&self, secret: &str, value: &str) {
        set(&self.lab, secret, value);
    }

    /// Waits until both load balancers send requests to both edges.
    pub(super) fn wait_until_whole(&self) {
        let began = Instant::now();
        loop {
            let seen = ["lb-1", "lb-2"]
                .map(|balancer| self.lab.shell(balancer, "/usr/local/lib/bascule/haproxy-servers edge && echo all"));
            if seen.iter().all(|seen| seen == "all") {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{seen:?}");
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// How many files each edge keeps.
    pub(super) fn kept(&self) -> [usize; 2] {
        EDGES.map(|edge| self.lab.shell(edge, "find /var/cache/edge/objects -type f | wc -l").parse().unwrap())
    }

    /// The one edge that keeps something, of a site in which only one object was asked for.
    pub(super) fn keeper(&self) -> &'static str {
        let kept = self.kept();
        let keepers: Vec<&str> =
            EDGES.into_iter().zip(kept).filter(|(_, kept)| *kept > 0).map(|(edge, _)| edge).collect();
        assert_eq!(keepers.len(), 1, "{kept:?}");
        keepers[0]
    }
}

fn set(lab: &Lab, secret: &str, value: &str) {
    let output = lab.with_input(&["secrets", "set", secret], value.as_bytes());
    assert!(output.status.success(), "{}", said(&output));
}

/// What nobody could guess, and is the same again for the same number.
pub(super) fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(bytes).collect()
}

pub(super) fn in_an_hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600
}

/// As the book says it is made.
pub(super) fn signature(key: &str, expires: u64, signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{expires}\n{signed}").as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A path with a signature of its own.
pub(crate) fn signed(key: &str, path: &str) -> String {
    let expires = in_an_hour();
    format!("{path}?expires={expires}&signature={}", signature(key, expires, path))
}

/// A path with the signature of all that begin so.
pub(super) fn signed_below(key: &str, prefix: &str, path: &str) -> String {
    let expires = in_an_hour();
    format!("{path}?expires={expires}&prefix={prefix}&signature={}", signature(key, expires, prefix))
}

/// Asks through the front door.
pub(super) fn get(target: &str) -> Answer {
    ask(reqwest::Method::GET, target, &[])
}

pub(crate) fn ask(method: reqwest::Method, target: &str, headers: &[(&str, &str)]) -> Answer {
    all(&[(method, target.to_owned(), headers)]).pop().unwrap()
}

/// A method, a path with its query, and headers.
pub(super) type Request<'a> = (reqwest::Method, String, &'a [(&'a str, &'a str)]);

/// So many requests at one moment, each by a client of its own.
pub(super) fn all(requests: &[Request<'_>]) -> Vec<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let asked = requests.iter().map(|(method, target, headers)| one(method.clone(), target, headers));
        futures_util::future::join_all(asked).await
    })
}

async fn one(method: reqwest::Method, target: &str, headers: &[(&str, &str)]) -> Answer {
    let client = reqwest::Client::builder().no_proxy().timeout(3 * PATIENCE).build().unwrap();
    let url = if target.starts_with("http") { target.to_owned() } else { format!("{DOOR}{target}") };
    let request =
        headers.iter().fold(client.request(method, url), |request, (name, value)| request.header(*name, *value));
    let mut answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let headers = [("error".to_owned(), format!("{error:?}"))].into();
            return Answer { status: 0, headers, body: Bytes::new(), is_cut: true };
        }
    };
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            ended => return Answer { status, headers, body: body.into(), is_cut: ended.is_err() },
        }
    }
}

/// People who listen all the time: each asks for one object after the other, and compares what comes.
pub(super) struct Listeners {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Heard>,
}

/// What they heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) right: usize,
    /// When, and what came instead.
    pub(super) wrong: Vec<(Instant, String)>,
    /// Where each right answer came from, by the paths that were asked for.
    pub(super) paths: BTreeSet<String>,
}

impl Listeners {
    const COUNT: usize = 8;

    /// `sign` makes the target of a path.
    pub(super) fn start(objects: Vec<(String, Bytes)>, sign: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listen = |first| listen(first, &objects, &sign, &stopped);
                let heard = futures_util::future::join_all((0..Self::COUNT).map(listen)).await;
                heard.into_iter().fold(Heard::default(), |mut all, one| {
                    all.right += one.right;
                    all.wrong.extend(one.wrong);
                    all.paths.extend(one.paths);
                    all
                })
            })
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

async fn listen(first: usize, objects: &[(String, Bytes)], sign: &impl Fn(&str) -> String, stop: &AtomicBool) -> Heard {
    let mut heard = Heard::default();
    for (path, object) in objects.iter().cycle().skip(first) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let answer = one(reqwest::Method::GET, &sign(path), &[]).await;
        if answer.status == 200 && answer.body == *object {
            heard.right += 1;
            heard.paths.insert(path.clone());
        } else {
            let what = format!("{path}: {} {:?}, {} bytes", answer.status, answer.headers, answer.body.len());
            heard.wrong.push((Instant::now(), what));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    heard
}

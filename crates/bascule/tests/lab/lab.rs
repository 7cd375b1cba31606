use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::valid::valid;

/// One environment, up, for one test at a time.
pub(crate) struct Lab {
    pub(crate) environment: &'static str,
    pub(crate) folder: PathBuf,
}

/// Commits that are built once for all tests; any 40 hex digits will do.
pub(crate) const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(crate) const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
/// Its API ends at once, with a word on why.
pub(crate) const BROKEN: &str = "0badc0de0badc0de0badc0de0badc0de0badc0de";

/// What a broken release says before it ends.
pub(crate) const LAST_WORDS: &str = "the database of this release is on fire";

/// Who waits for something looks so often and no more: a look runs a program on many instances, which is what they wait for, too.
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_millis(1500);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Lab {
    /// The blue-green environment, behind an address that two load balancers share, with Veza at commit A or B.
    pub(crate) fn shop() -> (MutexGuard<'static, ()>, Self) {
        static READY: OnceLock<()> = OnceLock::new();
        Self::ready(&READY, "shop", SHOP)
    }

    /// The environment without colours, which has a component `stream` besides.
    pub(crate) fn rolling() -> (MutexGuard<'static, ()>, Self) {
        static READY: OnceLock<()> = OnceLock::new();
        Self::ready(&READY, "rolling", ROLLING)
    }

    fn ready(ready: &OnceLock<()>, environment: &'static str, more: &str) -> (MutexGuard<'static, ()>, Self) {
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Self { environment, folder: folder() };
        ready.get_or_init(|| {
            prepare(&lab.folder, environment, more);
            lab.ok(&["init", lab.folder.to_str().unwrap()]);
            if environment == "shop" {
                let key = fs::read(lab.folder.join("front.key")).unwrap();
                let output = lab.with_input(&["secrets", "set", "front_key"], &key);
                assert!(output.status.success(), "{}", said(&output));
            }
            lab.ok(&["up"]);
            lab.ok(&["deploy", A]);
        });
        (guard, lab)
    }

    pub(crate) fn platform_file(&self) -> PathBuf {
        self.folder.join("platform.toml")
    }

    /// A platform of the test's own.
    pub(crate) fn of(folder: PathBuf, environment: &'static str) -> (MutexGuard<'static, ()>, Self) {
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        (guard, Self { environment, folder })
    }

    pub(crate) fn project(&self) -> String {
        format!("bascule-test-{}", self.environment)
    }

    /// What a client asks: `https://ADDRESS`.
    pub(crate) fn front_door(&self) -> String {
        self.front_door_event()["url"].as_str().unwrap().to_owned()
    }

    /// The load balancer that holds the virtual address.
    pub(crate) fn holder(&self) -> Option<String> {
        self.front_door_event()["holder"].as_str().map(str::to_owned)
    }

    pub(crate) fn front_door_event(&self) -> Value {
        let events = events(&self.run(&["status", "--output", "json"]));
        events.into_iter().find(|event| event["type"] == "front_door").unwrap()
    }

    pub(crate) fn address(&self, instance: &str) -> String {
        self.status()[instance]["address"].as_str().unwrap().to_owned()
    }

    /// The same, asked for once: addresses never move, and to ask for them takes a second.
    pub(crate) fn known_address(&self, instance: &str) -> String {
        static KNOWN: Mutex<BTreeMap<&str, BTreeMap<String, String>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = known.entry(self.environment).or_insert_with(|| {
            let address = |status: Value| status["address"].as_str().unwrap().to_owned();
            self.status().into_iter().map(|(name, status)| (name, address(status))).collect()
        });
        addresses[instance].clone()
    }

    /// The `instance` events of `status`, by name.
    pub(crate) fn status(&self) -> BTreeMap<String, Value> {
        let events = events(&self.run(&["status", "--output", "json"]));
        let instances = events.into_iter().filter(|event| event["type"] == "instance");
        instances.map(|event| (event["name"].as_str().unwrap().to_owned(), event)).collect()
    }

    /// The commit that has the traffic, as recorded.
    pub(crate) fn active(&self) -> String {
        let events = events(&self.run(&["status", "--output", "json"]));
        let active = events.iter().find(|event| event["type"] == "colour" && event["active"] == true).unwrap();
        active["commit"].as_str().unwrap().to_owned()
    }

    /// The other of the two good commits than the one that has the traffic.
    pub(crate) fn other(&self) -> &'static str {
        if self.active() == A { B } else { A }
    }

    /// Runs a verb and wants it to end well.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = said(&output);
        assert!(output.status.success(), "{arguments:?}: {}\n{text}", output.status);
        text
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The summary of a verb's events.
    pub(crate) fn summary(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        let last = events(&output).pop().unwrap_or_else(|| panic!("{}", said(&output)));
        assert_eq!(last["type"], "summary", "{}", said(&output));
        last
    }

    /// Runs a verb and kills it, as `kill -9` does, right after an event that `wanted` picks. True if it was killed.
    pub(crate) fn kill_at(&self, arguments: &[&str], mut wanted: impl FnMut(usize, &Value) -> bool) -> bool {
        let arguments = [arguments, &["--output", "json"]].concat();
        let mut child = self.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for (number, line) in lines.enumerate() {
            let event = valid(serde_json::from_str(&line.unwrap()).unwrap());
            if wanted(number, &event) {
                child.kill().unwrap();
                child.wait().unwrap();
                return true;
            }
        }
        child.wait().unwrap();
        false
    }

    pub(crate) fn with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        with_input(&mut self.command(arguments), input)
    }

    /// Runs a shell line on an instance and gives what it printed.
    pub(crate) fn shell(&self, instance: &str, line: &str) -> String {
        let output = self.run(&["exec", instance, "--", "sh", "-c", line]);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs `up` while an instance that is stopped cannot be started; gives the instances of which failures are told.
    pub(crate) fn up_without(&self, instance: &str) -> Vec<String> {
        self.incus(&["config", "device", "add", instance, "lost", "unix-char", "source=/dev/lost"]);
        let output = self.run(&["up", "--output", "json"]);
        self.incus(&["config", "device", "remove", instance, "lost"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let failures = events(&output).into_iter().filter(|event| event["type"] == "failure");
        failures.map(|event| event["instance"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Asks Incus for something in the environment's project.
    pub(crate) fn incus(&self, arguments: &[&str]) {
        incus(&[arguments, &["--project", &self.project()]].concat());
    }

    /// Takes an instance's network away, as a switch that dies does.
    pub(crate) fn cut_off(&self, instance: &str) {
        self.link(instance, "down");
    }

    pub(crate) fn connect(&self, instance: &str) {
        self.link(instance, "up");
    }

    fn link(&self, instance: &str, state: &str) {
        let shown = incus(&["query", &format!("/1.0/instances/{instance}/state?project={}", self.project())]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let card = shown["network"]["eth0"]["host_name"].as_str().unwrap().to_owned();
        assert!(Command::new("ip").args(["link", "set", &card, state]).status().unwrap().success());
    }

    /// The disk of a stopped instance is lost, and another one is put in.
    pub(crate) fn wipe(&self, instance: &str) {
        self.wipe_volume(instance, &format!("{instance}-data"));
    }

    pub(crate) fn wipe_volume(&self, instance: &str, volume: &str) {
        self.incus(&["config", "device", "remove", instance, volume]);
        self.incus(&["storage", "volume", "delete", "default", volume]);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .arg("--platform")
            .arg(self.platform_file())
            .args(["--env", self.environment])
            .env("BASCULE_AGE_KEY_FILE", self.folder.join("age.key"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }
}

/// Runs a program to its end, with an input.
pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Written and read at once: more than the pipes hold would wait for itself.
    std::thread::scope(|scope| {
        // One that refuses its arguments does not read what it is given.
        scope.spawn(move || {
            if let Err(error) = stdin.write_all(input) {
                assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
            }
        });
        child.wait_with_output().unwrap()
    })
}

/// The clock by which loads tell when they were answered, in milliseconds.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What Incus itself is asked to do by a test, and its answer: the tool never runs this.
pub(crate) fn incus(arguments: &[&str]) -> String {
    let output = Command::new("incus").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "incus {arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| valid(serde_json::from_str(line).unwrap_or_else(|_| panic!("not an event: {line}"))))
        .collect()
}

/// The release build when the Makefile names it: it is what users run, and smaller to bring to instances.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("BASCULE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_bascule").into(), PathBuf::from)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub(crate) fn folder() -> PathBuf {
    workspace().join("target/lab-test")
}

/// Veza's own platform file, an overlay for the test, credentials made now, and three releases.
fn prepare(folder: &Path, environment: &str, more: &str) {
    static RELEASES: OnceLock<()> = OnceLock::new();
    fs::create_dir_all(folder.join("env")).unwrap();
    RELEASES.get_or_init(|| {
        crate::tls::make_authority(folder);
        build_releases(&folder.join("artifacts"));
    });
    fs::copy(workspace().join("veza/platform.toml"), folder.join("platform.toml")).unwrap();
    let key = folder.join("operator");
    if !key.exists() {
        let path = key.to_str().unwrap();
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "operator@test", "-f", path])
            .status();
        assert!(made.unwrap().success());
    }
    let number = if environment == "shop" { 32 } else { 33 };
    let overlay = format!(
        r#"
[incus]
project = "bascule-test-{environment}"

[network]
bridge = "bslt-{environment}"
subnet = "10.99.{number}.0/24"

[ssh]
allow_from = ["10.99.{number}.0/24"]
authorized_keys_file = "../operator.pub"

[release]
artifacts = "../artifacts"
drain_timeout_s = 3
health_timeout_s = 15
{more}"#
    );
    fs::write(folder.join(format!("env/{environment}.toml")), overlay).unwrap();
    // What an earlier run drew: `init` and `up` draw anew.
    for name in ["secrets.age", "ca.pem"] {
        let _ = fs::remove_file(folder.join(format!("env/{environment}.{name}")));
    }
}

/// What `shop` has more than Veza's own platform file: an address that its two load balancers share, and TLS there.
const SHOP: &str = r#"
[load_balancer]
connections_max = 8000
address = "10.99.32.2"

[load_balancer.tls]
certificate_file = "../front.pem"
"#;

/// What `rolling` has instead: one load balancer with a certificate of the environment's own, no colours, and a pool whose replica is chosen by the track in the path.
const ROLLING: &str = r#"
[load_balancer]
instances = 1
topology = "multi-instance"
connections_max = 8000

[load_balancer.tls]
names = ["rolling.test"]

[component.stream]
kind = "static"
replicas = 2
routes = ["/stream/"]
balance = "path-segment"
hash_segment = 3
version = "/stream/version.json"
"#;

fn build_releases(artifacts: &Path) {
    // The commits are made up: what an earlier run built under their names is not what this one tests.
    let _ = fs::remove_dir_all(artifacts);
    for commit in [A, B] {
        let built = Command::new(workspace().join("veza/build")).arg(commit).arg(artifacts).output().unwrap();
        assert!(built.status.success(), "{}", said(&built));
        archive(
            &artifacts.join(commit).join("stream.tar.gz"),
            &[
                ("stream/version.json", &format!("{{\"commit\":\"{commit}\"}}"), "0644"),
                ("index.html", "<!doctype html><title>a segment</title>", "0644"),
            ],
        );
    }
    let broken = artifacts.join(BROKEN);
    fs::create_dir_all(&broken).unwrap();
    for component in ["web", "stream"] {
        let name = format!("{component}.tar.gz");
        fs::copy(artifacts.join(A).join(&name), broken.join(&name)).unwrap();
    }
    let program = format!("#!/bin/sh\necho '{LAST_WORDS}' >&2\nexit 1\n");
    archive(&broken.join("api.tar.gz"), &[("bin/api", &program, "0755")]);
}

pub(crate) fn archive(path: &Path, files: &[(&str, &str, &str)]) {
    let staged = tempfile::tempdir().unwrap();
    for (name, content, mode) in files {
        let file = staged.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        assert!(Command::new("chmod").arg(mode).arg(&file).status().unwrap().success());
    }
    let packed = Command::new("tar").arg("-C").arg(staged.path()).arg("-czf").arg(path).arg(".").status();
    assert!(packed.unwrap().success());
}

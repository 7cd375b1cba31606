//! What an orchestrator relies on, written once over `dyn Incus`: a rule that the fake keeps and the daemon does not, or
//! the other way round, fails here.

mod inside;
mod instances;
mod objects;

use std::time::Duration;

use bascule_incus::{Config, Device, Devices, Exec, Exited, Incus, NewInstance, StopMode};
use bytes::Bytes;
use tokio::sync::mpsc;

pub(crate) use inside::*;
pub(crate) use instances::*;
pub(crate) use objects::*;

pub(crate) const POOL: &str = "default";
pub(crate) const ALIAS: &str = "bslt/published";

/// Where a rule is tried.
pub(crate) struct Ground<'a> {
    pub(crate) incus: &'a dyn Incus,
    /// Two projects that share networks and images with `default`.
    pub(crate) projects: [&'static str; 2],
    pub(crate) network: &'static str,
    pub(crate) image: String,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(incus: &'a dyn Incus, image: &str) -> Self {
        Self { incus, projects: ["bslt-incus", "bslt-incus-2"], network: "bslt-incus", image: image.to_owned() }
    }

    pub(crate) async fn set_up(&self, network: Config) {
        self.tear_down().await;
        for project in self.projects {
            self.incus.create_project(project, project_config()).await.unwrap();
        }
        self.incus.create_network(self.projects[0], self.network, network).await.unwrap();
    }

    /// Removes everything, whatever there is of it.
    pub(crate) async fn tear_down(&self) {
        for project in self.projects {
            if self.incus.project(project).await.unwrap().is_none() {
                continue;
            }
            for instance in self.incus.instances(project).await.unwrap() {
                let _ = self.incus.stop(project, &instance.name, StopMode::Force).await;
                self.incus.delete_instance(project, &instance.name).await.unwrap();
            }
            for volume in self.incus.volumes(project, POOL).await.unwrap() {
                self.incus.delete_volume(project, POOL, &volume.name).await.unwrap();
            }
            for profile in self.incus.profiles(project).await.unwrap() {
                if profile.name != "default" {
                    self.incus.delete_profile(project, &profile.name).await.unwrap();
                }
            }
            self.incus.delete_project(project).await.unwrap();
        }
        for image in self.incus.images("default").await.unwrap() {
            if image.aliases.iter().any(|alias| alias.starts_with("bslt/")) {
                self.incus.delete_image("default", &image.fingerprint).await.unwrap();
            }
        }
        if self.incus.network("default", self.network).await.unwrap().is_some() {
            self.incus.delete_network("default", self.network).await.unwrap();
        }
    }

    pub(crate) fn new_instance(&self, name: &str, address: &str) -> NewInstance {
        NewInstance {
            name: name.to_owned(),
            image: self.image.clone(),
            config: config(&[("user.test.role", "any")]),
            devices: self.devices(address),
            profiles: Vec::new(),
            start: false,
        }
    }

    fn devices(&self, address: &str) -> Devices {
        Devices::from([
            ("root".to_owned(), device(&[("type", "disk"), ("path", "/"), ("pool", POOL)])),
            (
                "eth0".to_owned(),
                device(&[("type", "nic"), ("name", "eth0"), ("network", self.network), ("ipv4.address", address)]),
            ),
        ])
    }

    pub(crate) async fn start_new(&self, name: &str, address: &str) {
        let new = NewInstance { start: true, ..self.new_instance(name, address) };
        self.incus.create_instance(self.projects[0], new).await.unwrap();
    }

    pub(crate) async fn exec(&self, instance: &str, argv: &[&str], stdin: impl Into<Bytes>) -> (Exited, Vec<u8>) {
        let exec = Exec::new(argv.iter().copied(), Duration::from_secs(30)).stdin(stdin);
        run(self.incus, self.projects[0], instance, exec).await.unwrap()
    }
}

/// Runs a command and collects all of its output.
pub(crate) async fn run(
    incus: &dyn Incus,
    project: &str,
    instance: &str,
    exec: Exec,
) -> bascule_incus::Result<(Exited, Vec<u8>)> {
    let (sender, mut chunks) = mpsc::channel::<Bytes>(4);
    let collect = async {
        let mut output = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            output.extend_from_slice(&chunk);
        }
        output
    };
    let (exited, output) = tokio::join!(incus.exec(project, instance, exec, sender), collect);
    Ok((exited?, output))
}

pub(crate) fn config(entries: &[(&str, &str)]) -> Config {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn device(entries: &[(&str, &str)]) -> Device {
    config(entries)
}

pub(crate) fn project_config() -> Config {
    config(&[("features.images", "false"), ("features.networks", "false"), ("features.profiles", "true")])
}

/// Asserts which error a call gives; the message shows what it gave instead.
macro_rules! assert_error {
    ($result:expr, $variant:ident) => {{
        let result = $result;
        assert!(
            matches!(result, Err(bascule_incus::Error::$variant { .. })),
            "expected {}: {result:?}",
            stringify!($variant)
        );
    }};
}
pub(crate) use assert_error;

//! Images are a cache: one image for each package set, made once in an instance of its own, cloned from then on.
//!
//! An image is known by an alias that holds the digest of what went into it (base image, packages), so a stale one is
//! never used and a lost one is made again.

mod base;

use std::collections::BTreeSet;
use std::sync::Arc;

use bascule_incus::{Error as IncusError, NewImage, NewInstance, Publish, Status, StopMode};
use bascule_plan::agent::{Mode, Outcome, Report};
use bascule_plan::event::ThingKind;
use bascule_plan::{Packages, Plan, Resource, Step, World};
use sha2::{Digest, Sha256};

pub use base::{BaseFiles, BaseImage, Debootstrap, base_alias};

use crate::check::Thing;
use crate::{AgentError, EngineError, Run, hex};

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("Incus refused")]
    Incus(#[from] IncusError),
    #[error("the agent could not install the packages")]
    Agent(#[from] AgentError),
    #[error("{0}")]
    Packages(String),
    #[error("the base image could not be made: {message}")]
    Base { message: String, missing_tool: bool },
    #[error("the builder did not boot")]
    Boot(#[source] Box<EngineError>),
}

/// The alias of the image that holds the base and these packages; the base's own where there are none.
pub(crate) fn alias_for(base_alias: &str, packages: &BTreeSet<String>) -> String {
    if packages.is_empty() {
        return base_alias.to_owned();
    }
    let mut digest = Sha256::new();
    digest.update(base_alias);
    digest.update([0]);
    digest.update(FORGET);
    for package in packages {
        digest.update([0]);
        digest.update(package);
    }
    format!("bascule/packages-{}", &hex(&digest.finalize())[..12])
}

impl Run {
    /// The images that are needed (some instance is made from them, or some missing image is), and whether they are there;
    /// `project` shows them.
    pub(crate) async fn check_images(&self, plan: &Plan, project: &str) -> Result<Vec<Thing>, EngineError> {
        let base_alias = self.engine.base.alias();
        let mut things = Vec::new();
        for packages in sets_needed(plan) {
            let what = if packages.is_empty() { BASE.to_owned() } else { describe(packages) };
            things.push(self.check_image(project, alias_for(&base_alias, packages), &what).await?);
        }
        let any_missing = things.iter().any(|thing| thing.outcome == Outcome::WouldChange);
        if any_missing && things.iter().all(|thing| thing.name != base_alias) {
            let base = self.check_image(project, base_alias, BASE).await?;
            things.splice(0..0, Some(base).filter(|base| base.outcome == Outcome::WouldChange));
        }
        Ok(things)
    }

    async fn check_image(&self, project: &str, alias: String, what: &str) -> Result<Thing, EngineError> {
        let exists = self.engine.incus.image(project, &alias).await?.is_some();
        let (outcome, reason) = match exists {
            true => (Outcome::Unchanged, "it is in the cache".to_owned()),
            false => (Outcome::WouldChange, format!("not in the cache: {what}")),
        };
        Ok(Thing { kind: ThingKind::Image, name: alias, outcome, reason })
    }

    /// Makes the missing images, one after the other: each is bound by the disk, and two would not be faster.
    pub(crate) async fn make_images(&self, plan: &Plan, world: &World) -> Result<(), EngineError> {
        for packages in sets_needed(plan) {
            let made = self.make_image(world, packages).await;
            made.map_err(|source| EngineError::Image { packages: describe(packages), source })?;
        }
        Ok(())
    }

    async fn make_image(&self, world: &World, packages: &BTreeSet<String>) -> Result<(), ImageError> {
        let base_alias = self.engine.base.alias();
        let alias = alias_for(&base_alias, packages);
        let builder = alias.replace(['/', '_'], "-");
        if self.engine.incus.image(&self.project, &alias).await?.is_some() {
            // A run that was killed right after it had published the image has left its builder behind.
            return Ok(self.remove_builder(&builder).await?);
        }
        let base = self.base_image(&base_alias).await?;
        if packages.is_empty() {
            return Ok(());
        }
        let began_ms = self.now_ms();
        self.phase("image", &format!("making an image: {}", describe(packages)));
        self.remove_builder(&builder).await?;
        let built = self.build(world, &builder, &base, packages, &alias).await;
        self.remove_builder(&builder).await?;
        built?;
        let reason = describe(packages);
        let thing = Thing { kind: ThingKind::Image, name: alias, outcome: Outcome::Changed, reason };
        self.thing(thing, self.now_ms() - began_ms);
        Ok(())
    }

    async fn build(
        &self,
        world: &World,
        builder: &str,
        base: &str,
        packages: &BTreeSet<String>,
        alias: &str,
    ) -> Result<(), ImageError> {
        let incus = &self.engine.incus;
        let new = NewInstance {
            name: builder.to_owned(),
            image: base.to_owned(),
            config: [("user.bascule.role".to_owned(), "image-builder".to_owned())].into(),
            devices: crate::machine::devices(world, None),
            profiles: Vec::new(),
            start: true,
        };
        incus.create_instance(&self.project, new).await?;
        self.wait_for_boot(builder).await.map_err(|error| ImageError::Boot(Box::new(error)))?;
        self.install(builder, packages).await?;
        self.shell(builder, FORGET, &[]).await?;
        incus.stop(&self.project, builder, StopMode::Force).await?;
        let publish = Publish {
            instance: builder.to_owned(),
            alias: alias.to_owned(),
            properties: [
                ("bascule.kind".to_owned(), "packages".to_owned()),
                ("description".to_owned(), format!("Debian 13 with {}", describe(packages))),
            ]
            .into(),
        };
        match incus.publish(&self.project, publish).await {
            // Another environment made the same image meanwhile.
            Err(IncusError::AlreadyExists { .. }) => Ok(()),
            published => Ok(published.map(|_| ())?),
        }
    }

    async fn install(&self, builder: &str, packages: &BTreeSet<String>) -> Result<(), ImageError> {
        let resource = Resource::Packages(Packages { names: packages.iter().cloned().collect() });
        let step = Step { id: "image/packages".to_owned(), title: "install the packages".to_owned(), resource };
        let mut failed = None;
        self.call_agent(builder, Mode::Apply, &[step], |report| match report {
            Report::Progress { message, .. } => self.progress(Some(builder), message),
            Report::End { outcome: Outcome::Failed, reason, evidence, .. } => {
                failed = Some(format!("{reason}\n{}", evidence.last_answer.unwrap_or_default()));
            }
            _ => {}
        })
        .await?;
        failed.map_or(Ok(()), |reason| Err(ImageError::Packages(reason)))
    }

    async fn remove_builder(&self, builder: &str) -> Result<(), IncusError> {
        let incus = &self.engine.incus;
        match incus.instance(&self.project, builder).await? {
            None => Ok(()),
            Some(instance) => {
                if instance.status != Status::Stopped {
                    incus.stop(&self.project, builder, StopMode::Force).await?;
                }
                incus.delete_instance(&self.project, builder).await
            }
        }
    }

    /// The fingerprint of the base image, which is made where it is missing.
    async fn base_image(&self, alias: &str) -> Result<String, ImageError> {
        let incus = &self.engine.incus;
        if let Some(image) = incus.image(&self.project, alias).await? {
            return Ok(image.fingerprint);
        }
        let began_ms = self.now_ms();
        self.phase("image", "making the base image: Debian 13, by debootstrap");
        let base = Arc::clone(&self.engine.base);
        let files = base.make(&|line| self.progress(None, line)).await?;
        // Another environment may have brought the same image meanwhile.
        if let Some(image) = incus.image(&self.project, alias).await? {
            return Ok(image.fingerprint);
        }
        let BaseFiles { metadata, rootfs } = files;
        let new = NewImage { metadata, rootfs, alias: alias.to_owned(), properties: base.properties() };
        let fingerprint = incus.import_image(&self.project, new, None).await?;
        let reason = BASE.to_owned();
        let thing = Thing { kind: ThingKind::Image, name: alias.to_owned(), outcome: Outcome::Changed, reason };
        self.thing(thing, self.now_ms() - began_ms);
        Ok(fingerprint)
    }
}

fn sets_needed(plan: &Plan) -> BTreeSet<&BTreeSet<String>> {
    use bascule_plan::MachineAction::{Create, Rebuild};
    let machines = plan.lines.iter().filter_map(|line| line.machine.as_ref());
    let made = machines.filter(|machine| matches!(machine.action, Create | Rebuild));
    made.map(|machine| &machine.image_packages).collect()
}

fn describe(packages: &BTreeSet<String>) -> String {
    packages.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// What the base image is, for a person.
const BASE: &str = "Debian 13, by debootstrap";

/// What must not be the same in every clone: host keys, the machine's id, logs, caches, and the agent that built it.
const FORGET: &str = "apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/journal/* /var/cache/debconf/*-old /var/lib/bascule /usr/local/lib/bascule
rm -f /etc/ssh/ssh_host_* /var/lib/systemd/timers/stamp-*
: > /etc/machine-id";

//! What must exist in Incus around the instances: a project and a bridge of its own for each environment.

use bascule_incus::{Config, Error as IncusError};
use bascule_plan::World;
use bascule_plan::agent::Outcome;
use bascule_plan::event::ThingKind;
use futures_util::future;

use crate::check::Thing;
use crate::{EngineError, Run};

impl Run {
    pub(crate) async fn check_world(&self, world: &World) -> Result<Vec<Thing>, EngineError> {
        let incus = &self.engine.incus;
        let bridge = async {
            let project = incus.project(&world.project).await?;
            let network = incus.network(self.shows_shared(project.is_some()), &world.bridge).await?;
            Ok((project, network))
        };
        let ((project, network), pool) = future::try_join(bridge, incus.storage_pool(&world.pool)).await?;
        if pool.is_none() {
            return Err(EngineError::World {
                what: format!("Incus has no storage pool `{}`", world.pool),
                hint: "make it with `incus storage create`, or name another in [incus] pool".to_owned(),
            });
        }
        // A client that is restricted to its project is shown no settings; that it may use the bridge is then the project's.
        if let Some(network) = network.as_ref().filter(|network| !network.config.is_empty()) {
            self.refuse_foreign_network(world, &network.config)?;
        }
        let thing = |kind, name: &str, exists: bool| {
            let (outcome, reason) =
                if exists { (Outcome::Unchanged, "it exists") } else { (Outcome::WouldChange, "it does not exist") };
            Thing { kind, name: name.to_owned(), outcome, reason: reason.to_owned() }
        };
        Ok(vec![
            thing(ThingKind::Project, &world.project, project.is_some()),
            thing(ThingKind::Network, &world.bridge, network.is_some()),
        ])
    }

    /// A bridge of this name that another environment or a person made is not ours to use.
    fn refuse_foreign_network(&self, world: &World, config: &Config) -> Result<(), EngineError> {
        if !self.owns(config) {
            let owner = config.get(OWNER_KEY).map_or("something else", String::as_str);
            return Err(EngineError::World {
                what: format!("the bridge `{}` exists already and belongs to {owner}", world.bridge),
                hint: "give this environment a bridge of its own in [network] bridge".to_owned(),
            });
        }
        let subnet = format!("{}/{}", world.gateway, world.prefix_len);
        match config.get("ipv4.address") {
            Some(address) if *address != subnet => Err(EngineError::World {
                what: format!(
                    "the bridge `{}` has the address {address}, but the platform says {subnet}",
                    world.bridge
                ),
                hint: "addresses never move: take the subnet back, or destroy the environment with `bascule down`"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Where bridges and images are looked for. A project that has none of its own shows those of the default project, also
    /// to who may not look into that; one that is not there yet shows nothing.
    pub(crate) fn shows_shared(&self, project_exists: bool) -> &str {
        if project_exists { &self.project } else { NETWORK_PROJECT }
    }

    /// The bridge was made for this project.
    pub(crate) fn owns(&self, config: &Config) -> bool {
        config.get(OWNER_KEY) == Some(&self.project)
    }

    /// Makes the project where it is missing: the lock lives in it, so it comes before all else.
    pub async fn make_project(&self) -> Result<(), EngineError> {
        let (incus, project) = (&self.engine.incus, self.project.as_str());
        if incus.project(project).await?.is_some() {
            return Ok(());
        }
        let began_ms = self.now_ms();
        match incus.create_project(project, project_config()).await {
            Ok(()) => {}
            // Another run was quicker.
            Err(IncusError::AlreadyExists { .. }) => return Ok(()),
            Err(source) => return Err(EngineError::Doing { doing: format!("making {project} failed"), source }),
        }
        let reason = "it did not exist".to_owned();
        let (kind, outcome) = (ThingKind::Project, Outcome::Changed);
        self.thing(Thing { kind, name: project.to_owned(), outcome, reason }, self.now_ms() - began_ms);
        Ok(())
    }

    pub(crate) async fn make_world(&self, world: &World, things: &[Thing]) -> Result<(), EngineError> {
        for thing in things {
            let began_ms = self.now_ms();
            let made = match (thing.kind, thing.outcome) {
                (ThingKind::Project, Outcome::WouldChange) => {
                    self.make_project().await?;
                    continue;
                }
                (ThingKind::Network, Outcome::WouldChange) => {
                    self.engine.incus.create_network(NETWORK_PROJECT, &world.bridge, network_config(world)).await
                }
                (ThingKind::Project | ThingKind::Network, _) => {
                    self.thing(thing.clone(), 0);
                    continue;
                }
                _ => continue,
            };
            made.map_err(|source| EngineError::Doing { doing: format!("making {} failed", thing.name), source })?;
            let thing = Thing { outcome: Outcome::Changed, ..thing.clone() };
            self.thing(thing, self.now_ms() - began_ms);
        }
        Ok(())
    }
}

/// Bridges live in the default project: their names are the host's interfaces.
pub(crate) const NETWORK_PROJECT: &str = "default";
/// Which project a bridge was made for.
const OWNER_KEY: &str = "user.bascule.project";

/// Images and networks are shared with the default project: a bridge because interface names are the host's, images
/// because they are a cache that every environment uses.
fn project_config() -> Config {
    [
        ("features.images", "false"),
        ("features.networks", "false"),
        ("features.profiles", "true"),
        ("features.storage.volumes", "true"),
        ("user.bascule.managed", "true"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn network_config(world: &World) -> Config {
    let subnet = format!("{}/{}", world.gateway, world.prefix_len);
    let dynamic = format!("{}-{}", world.dynamic.0, world.dynamic.1);
    let mut config: Config = [
        ("ipv4.address", subnet.as_str()),
        ("ipv4.dhcp.ranges", dynamic.as_str()),
        ("ipv4.nat", "true"),
        ("ipv6.address", "none"),
        ("dns.domain", "incus"),
        (OWNER_KEY, world.project.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    if let Some(mtu) = world.mtu {
        config.insert("bridge.mtu".to_owned(), mtu.to_string());
    }
    config
}

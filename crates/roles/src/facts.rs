use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use bascule_plan::{Blob, Fingerprint, Secret};
use bascule_spec::{Colour, Instance, Platform};
use serde::{Deserialize, Serialize};

use crate::RoleError;
use crate::postgres::drill::DRILL;

/// What was read from the world before planning. A role knows nothing else of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The instances that exist, by name.
    pub instances: BTreeMap<String, Existing>,
    /// What members of the object store were made for, by instance: see [`crate::STORE_SHAPE`].
    pub stores: BTreeMap<String, String>,
    /// The instances that are nodes of PostgreSQL, whatever the file says.
    pub databases: BTreeSet<String>,
    /// The address of every instance of the platform: what Incus holds, a pin of the file, or one just given.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// The load balancer that holds the virtual address, where one does.
    pub holder: Option<String>,
    pub releases: Releases,
    /// Largest packet of the uplink in bytes, where the bridge has to follow it.
    pub mtu: Option<u32>,
    /// The secrets that have a value, by name.
    pub secrets: BTreeMap<String, Fingerprint>,
    /// Replicas to which a load balancer sends no requests, as far as it was asked. Their turn is first.
    pub out_of_rotation: BTreeSet<String>,
}

impl Facts {
    pub(crate) fn address(&self, instance: &Instance) -> Result<Ipv4Addr, RoleError> {
        let known = self.addresses.get(&instance.name).copied();
        known.ok_or_else(|| RoleError::MissingAddress(instance.name.clone()))
    }

    pub(crate) fn secret(&self, name: &str) -> Result<Secret, RoleError> {
        let fingerprint = self.secrets.get(name).cloned();
        let fingerprint = fingerprint.ok_or_else(|| RoleError::MissingSecret(name.to_owned()))?;
        Ok(Secret { name: name.to_owned(), fingerprint })
    }

    /// The load balancers that a release works on. One that does not run is left out where they share a virtual address:
    /// it cannot take that before `up` has brought it up to date. Without one, clients use the addresses of all of them.
    pub fn load_balancers<'a>(&self, platform: &'a Platform) -> Vec<&'a Instance> {
        let may_lack = platform.load_balancer.address.is_some() && platform.load_balancers().any(|one| self.runs(one));
        platform.load_balancers().filter(|instance| !may_lack || self.runs(instance)).collect()
    }

    /// Instances of the environment that the platform file names no more. Nothing is done to them.
    pub fn strays(&self, platform: &Platform) -> Vec<&str> {
        let is_named = |name: &str| platform.instances.iter().any(|instance| instance.name == name);
        // That of a drill goes with the run that made it.
        self.instances.keys().map(String::as_str).filter(|name| !is_named(name) && *name != DRILL).collect()
    }

    pub(crate) fn runs(&self, instance: &Instance) -> bool {
        self.instances.get(&instance.name) == Some(&Existing::Running)
    }

    /// Those that do not run first: while one is down, none that runs is touched.
    pub(crate) fn stopped_first<'a>(&self, instances: impl Iterator<Item = &'a Instance>) -> Vec<&'a Instance> {
        let mut order: Vec<&Instance> = instances.collect();
        order.sort_by_key(|instance| self.runs(instance));
        order
    }

    /// A component's replicas of one colour, in the order in which they change: while one is down, none that serves is
    /// touched.
    pub(crate) fn down_first<'a>(
        &self,
        platform: &'a Platform,
        component: &'a str,
        colour: Option<Colour>,
    ) -> Vec<&'a Instance> {
        self.serving_last(platform.replicas(component, colour))
    }

    /// All edges, in the order in which they change: the same.
    pub(crate) fn edges_down_first<'a>(&self, platform: &'a Platform) -> Vec<&'a Instance> {
        self.serving_last(platform.edges())
    }

    fn serving_last<'a>(&self, instances: impl Iterator<Item = &'a Instance>) -> Vec<&'a Instance> {
        let mut order: Vec<&Instance> = instances.collect();
        order.sort_by_key(|instance| self.runs(instance) && !self.out_of_rotation.contains(&instance.name));
        order
    }

    /// All load balancers in the order in which they change: those that are down first; the one that holds the virtual address comes last, or the
    /// first one, where that is not known.
    pub(crate) fn standby_first<'a>(&self, platform: &'a Platform) -> Vec<&'a Instance> {
        let mut order: Vec<&Instance> = platform.load_balancers().collect();
        order.reverse();
        order.sort_by_key(|instance| (self.runs(instance), self.holder.as_ref() == Some(&instance.name)));
        order
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Running,
    Stopped,
    /// Every process is suspended.
    Frozen,
}

/// What is recorded in Incus of releases, for the environment as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// Grows by one with every switch; a load balancer with an older one is behind.
    pub generation: u64,
    /// The colour that has the traffic; none before the first release, and never one under `multi-instance`.
    pub active: Option<Colour>,
    /// What each colour holds; `None` is the only key under `multi-instance`.
    #[serde(with = "by_colour")]
    pub colours: BTreeMap<Option<Colour>, ColourRelease>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColourRelease {
    /// 40 hex digits.
    pub commit: String,
    pub state: ColourState,
    /// What was released, by component: a plan names it by its digest even when the folder it came from is gone.
    pub artifacts: BTreeMap<String, Blob>,
    /// What was ready before, and still is on the replicas that were not reached: the way back while a deploy rolls
    /// through them, and after one that was killed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Box<Self>>,
}

impl ColourRelease {
    /// The release that was last found good: this one, or what it was to replace.
    pub fn last_ready(&self) -> Option<&Self> {
        if self.state == ColourState::Ready { Some(self) } else { self.fallback.as_deref() }
    }

    pub(crate) fn artifact(&self, component: &str) -> Result<&Blob, RoleError> {
        self.artifacts
            .get(component)
            .ok_or_else(|| RoleError::MissingArtifact { component: component.to_owned(), commit: self.commit.clone() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColourState {
    /// A deploy is under way, or was killed: `up` leaves the colour alone, the next deploy makes it anew.
    Deploying,
    /// Every replica was probed and answered with the commit.
    Ready,
    /// A deploy failed; the colour is left as it is for a look, and made anew by the next deploy.
    Failed,
}

/// JSON has only strings as keys: what has no colour is kept as `all`.
mod by_colour {
    use std::collections::BTreeMap;

    use bascule_spec::Colour;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    use super::ColourRelease;

    const NO_COLOUR: &str = "all";

    pub(super) fn serialize<S: Serializer>(
        colours: &BTreeMap<Option<Colour>, ColourRelease>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(colours.iter().map(|(colour, release)| (colour.map_or(NO_COLOUR, Colour::as_str), release)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Option<Colour>, ColourRelease>, D::Error> {
        let named = BTreeMap::<String, ColourRelease>::deserialize(deserializer)?;
        let key = |name: &str| match Colour::BOTH.into_iter().find(|colour| colour.as_str() == name) {
            None if name != NO_COLOUR => Err(D::Error::unknown_variant(name, &["blue", "green", NO_COLOUR])),
            colour => Ok(colour),
        };
        named.into_iter().map(|(name, release)| Ok((key(&name)?, release))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_recorded_of_releases_is_read_back_with_and_without_colours() {
        let release = |commit: &str, fallback| ColourRelease {
            commit: commit.repeat(40),
            state: ColourState::Ready,
            artifacts: BTreeMap::new(),
            fallback,
        };
        let release = release("a", Some(Box::new(release("b", None))));
        for colour in [None, Some(Colour::Blue), Some(Colour::Green)] {
            let releases =
                Releases { generation: 3, active: colour, colours: [(colour, release.clone())].into_iter().collect() };
            let json = serde_json::to_string(&releases).unwrap();
            assert_eq!(serde_json::from_str::<Releases>(&json).unwrap(), releases, "{json}");
        }
    }

    #[test]
    fn a_colour_that_nobody_knows_is_refused() {
        let json = r#"{"generation":1,"active":null,"colours":{"red":{"commit":"","state":"ready","artifacts":{}}}}"#;
        let error = serde_json::from_str::<Releases>(json).unwrap_err().to_string();
        assert!(error.contains("unknown variant `red`"), "{error}");
    }
}

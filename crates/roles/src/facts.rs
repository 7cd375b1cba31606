use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bascule_plan::Blob;
use bascule_spec::{Colour, Instance};
use serde::{Deserialize, Serialize};

use crate::RoleError;

/// What was read from the world before planning. A role knows nothing else of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The instances that exist, by name.
    pub instances: BTreeMap<String, Existing>,
    /// The address of every instance of the platform: what Incus holds, a pin of the file, or one just given.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    pub releases: Releases,
    /// Largest packet of the uplink in bytes, where the bridge has to follow it.
    pub mtu: Option<u32>,
}

impl Facts {
    pub(crate) fn address(&self, instance: &Instance) -> Result<Ipv4Addr, RoleError> {
        let known = self.addresses.get(&instance.name).copied();
        known.ok_or_else(|| RoleError::MissingAddress(instance.name.clone()))
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
}

impl ColourRelease {
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
        let release = ColourRelease { commit: "a".repeat(40), state: ColourState::Ready, artifacts: BTreeMap::new() };
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

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bascule_plan::Blob;
use bascule_spec::Colour;
use serde::{Deserialize, Serialize};

/// What was read from the world before planning. A role knows nothing else of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The instances that exist, by name.
    pub instances: BTreeMap<String, Existing>,
    /// The address of every instance of the platform: what Incus holds, a pin of the file, or one just given.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    pub releases: Releases,
    /// The artifacts at hand, by commit and component.
    pub artifacts: BTreeMap<(String, String), Blob>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Running,
    Stopped,
}

/// What is recorded in Incus of releases, for the environment as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// Grows by one with every switch; a load balancer with an older one is behind.
    pub generation: u64,
    /// The colour that has the traffic; none before the first release, and never one under `multi-instance`.
    pub active: Option<Colour>,
    /// What each colour holds; `None` is the only key under `multi-instance`.
    pub colours: BTreeMap<Option<Colour>, ColourRelease>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColourRelease {
    /// 40 hex digits.
    pub commit: String,
    pub state: ColourState,
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

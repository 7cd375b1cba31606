//! Everything that an engine needs and a test does not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use bascule_incus::Incus;
use bascule_incus::fake::Handler;
use bascule_plan::{Blob, Certificate, FingerprintKey, Lease, Line, LineItem, Machine, MachineAction, Plan, World};
use bytes::Bytes;

use crate::{AgentProgram, Authority, BaseFiles, BaseImage, Blobs, Clock, Engine, ImageError, Parallel, Secrets};

pub(crate) fn engine(incus: Arc<dyn Incus>) -> Engine {
    Engine {
        incus,
        agent: AgentProgram::new(Bytes::new()),
        secrets: Arc::new(Nothing),
        authority: Arc::new(Nothing),
        blobs: Arc::new(Nothing),
        base: Arc::new(Nothing),
        clock: Arc::new(Nothing),
        parallel: Parallel::default(),
        generation: None,
    }
}

/// Lines of instances that run, and the order in which they may take the lease `roll`.
pub(crate) fn plan(lines: &[(&str, Vec<LineItem>)], order: &[&str]) -> Plan {
    let machine = Machine {
        action: MachineAction::Keep,
        reason: String::new(),
        address: Ipv4Addr::LOCALHOST,
        mac: String::new(),
        image_packages: BTreeSet::new(),
        config: BTreeMap::new(),
        volumes: Vec::new(),
    };
    let line = |(instance, items): &(&str, Vec<LineItem>)| Line {
        instance: (*instance).to_owned(),
        roles: vec![],
        machine: Some(machine.clone()),
        items: items.clone(),
        notes: vec![],
    };
    let order = order.iter().map(|name| (*name).to_owned()).collect();
    Plan {
        world: Some(World {
            project: "p".into(),
            bridge: "b".into(),
            gateway: Ipv4Addr::LOCALHOST,
            prefix_len: 24,
            dynamic: (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST),
            mtu: None,
            pool: "default".into(),
        }),
        leases: [("roll".to_owned(), Lease { capacity: 1, order })].into(),
        lines: lines.iter().map(line).collect(),
    }
}

/// Has nothing, knows nothing, and no time passes.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Clock for Nothing {
    fn monotonic_ms(&self) -> u64 {
        0
    }

    fn unix_ms(&self) -> i64 {
        0
    }
}

impl Handler for Nothing {}

impl Secrets for Nothing {
    fn value(&self, _: &str) -> Result<String, String> {
        Err("there are none".to_owned())
    }

    fn fingerprint_key(&self, name: &str) -> FingerprintKey {
        FingerprintKey::derive("", name)
    }
}

impl Authority for Nothing {
    fn issue(&self, _: &Certificate, _: u64) -> Result<String, String> {
        Err("there is none".to_owned())
    }
}

impl Blobs for Nothing {
    fn bytes(&self, _: &Blob) -> Result<Bytes, String> {
        Err("there are none".to_owned())
    }
}

#[async_trait]
impl BaseImage for Nothing {
    fn alias(&self) -> String {
        "base".to_owned()
    }

    fn properties(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    async fn make(&self, _: &(dyn Fn(String) + Sync)) -> Result<BaseFiles, ImageError> {
        Err(ImageError::Packages("there is none".to_owned()))
    }
}

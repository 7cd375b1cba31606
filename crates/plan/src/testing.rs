//! Small plans for this crate's tests.

use std::net::Ipv4Addr;

use crate::{Lease, Line, LineItem, Machine, MachineAction, Plan, Probe, Resource, Step, Sysctl, Wait, World};

pub(crate) fn plan(lines: impl IntoIterator<Item = Line>, leases: impl IntoIterator<Item = (String, Lease)>) -> Plan {
    Plan {
        world: Some(World {
            project: "shop-lab".into(),
            bridge: "shop-lab".into(),
            gateway: Ipv4Addr::new(10, 0, 0, 1),
            prefix_len: 24,
            dynamic: (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST),
            mtu: None,
            pool: "default".into(),
        }),
        leases: leases.into_iter().collect(),
        lines: lines.into_iter().collect(),
    }
}

pub(crate) fn line(instance: &str, items: impl IntoIterator<Item = LineItem>) -> Line {
    Line {
        instance: instance.into(),
        roles: vec!["common".into()],
        machine: Some(Machine {
            action: MachineAction::Keep,
            reason: "it runs".into(),
            address: Ipv4Addr::new(10, 0, 0, 2),
            mac: String::new(),
            image_packages: ["openssh-server".into()].into(),
            config: [("limits.cpu".into(), "2".into())].into(),
            volumes: vec![],
        }),
        items: items.into_iter().collect(),
        notes: vec![],
    }
}

pub(crate) fn lease<'a>(name: &str, capacity: usize, order: impl IntoIterator<Item = &'a str>) -> (String, Lease) {
    (name.into(), Lease { capacity, order: order.into_iter().map(str::to_owned).collect() })
}

pub(crate) fn step(id: &str) -> LineItem {
    let resource = Resource::Sysctl(Sysctl { key: "net.core.somaxconn".into(), value: "4096".into() });
    LineItem::Step(Step { id: id.into(), title: "let queues be long".into(), resource })
}

pub(crate) fn wait(id: &str) -> LineItem {
    let resource = Resource::Wait(Wait {
        probe: Probe::Tcp { address: "127.0.0.1:80".into() },
        timeout_ms: 5_000,
        interval_ms: 100,
        unit: None,
        on_timeout: crate::OnTimeout::Fail,
    });
    LineItem::Step(Step { id: id.into(), title: "wait for the port".into(), resource })
}

pub(crate) fn reaches(milestone: &str) -> LineItem {
    LineItem::Reach(milestone.into())
}

pub(crate) fn awaits(milestone: &str) -> LineItem {
    LineItem::Await(milestone.into())
}

pub(crate) fn awaits_for(milestone: &str, steps: &[&str]) -> LineItem {
    LineItem::AwaitFor { milestone: milestone.into(), steps: steps.iter().map(|step| (*step).to_owned()).collect() }
}

pub(crate) fn takes(lease: &str) -> LineItem {
    LineItem::Take(lease.into())
}

pub(crate) fn releases(lease: &str) -> LineItem {
    LineItem::Release(lease.into())
}

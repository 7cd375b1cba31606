//! The virtual address: keepalived on every load balancer sees to it that one which is well, and not left behind by a
//! switch, holds it.

use std::net::Ipv4Addr;

use bascule_plan::{Directory, LineItem, Probe, Resource, User};
use bascule_spec::{Instance, Platform};
use serde::Serialize;

use crate::group::{Group, file, running, script_path, validated, wait};
use crate::line::ADDRESS_LEASE;
use crate::template::render;
use crate::{Facts, RoleError};

const UNIT: &str = "keepalived.service";
const DROP_IN: &str = "/etc/systemd/system/keepalived.service.d/bascule.conf";
const CONFIG: &str = "/etc/keepalived/keepalived.conf";
/// keepalived takes this user for its checks when there is one, and refuses to run them as root.
const CHECKER: &str = "keepalived_script";
/// Named in the program `front-door-check`, too.
const STATE: &str = "/var/lib/keepalived";

pub(super) fn steps(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    let Some(address) = platform.load_balancer.address else { return Ok(Vec::new()) };
    let mut group = Group::new("load_balancer/address");
    group.packages("install keepalived", &["keepalived", "curl"]);
    let checker = User {
        name: CHECKER.to_owned(),
        system: true,
        home: STATE.to_owned(),
        shell: "/usr/sbin/nologin".to_owned(),
        groups: Vec::new(),
    };
    group.step("user", "have a user for keepalived's checks", Resource::User(checker));
    let state = Directory { path: STATE.to_owned(), owner: CHECKER.to_owned(), group: CHECKER.to_owned(), mode: 0o700 };
    group.step("state", "make room for what the checks have seen", Resource::Directory(state));
    group.scripts(&[("front-door-check", include_str!("front-door-check.sh"))]);
    group.step(
        "unit",
        "let keepalived do no more than it has to",
        file(DROP_IN, 0o644, include_str!("keepalived.service")),
    );
    let config =
        render("keepalived.conf.j2", include_str!("keepalived.conf.j2"), Context::new(platform, facts, own, address)?)?;
    group.step(
        "config",
        "configure keepalived",
        validated(CONFIG, 0o644, config, &["keepalived", "--config-test", "--use-file", "{}"]),
    );
    group.take(ADDRESS_LEASE);
    group.step("service", "run keepalived", running(UNIT, &[DROP_IN], &[CONFIG]));
    let held = Probe::Tcp { address: format!("{address}:{}", platform.load_balancer.port) };
    group.step("held", format!("wait until {address} is held"), wait(held, Some(UNIT), 15_000));
    group.release(ADDRESS_LEASE);
    Ok(group.into_items())
}

#[derive(Serialize)]
struct Context {
    name: String,
    check: String,
    own: Ipv4Addr,
    peers: Vec<Ipv4Addr>,
    address: Ipv4Addr,
    router: u32,
    priority: usize,
}

impl Context {
    fn new(platform: &Platform, facts: &Facts, own: &Instance, address: Ipv4Addr) -> Result<Self, RoleError> {
        let peers = platform.load_balancers().filter(|peer| peer.name != own.name);
        let place = platform.load_balancers().position(|load_balancer| load_balancer.name == own.name).unwrap_or(0);
        Ok(Self {
            name: own.name.clone(),
            check: script_path("front-door-check"),
            own: facts.address(own)?,
            peers: peers.map(|peer| facts.address(peer)).collect::<Result<_, _>>()?,
            address,
            // From 1 to 255. It tells routers of one link apart; the peers are named, so that even two alike would not meet.
            router: address.to_bits() % 255 + 1,
            // From 254 downwards; a platform has a hundred load balancers at most. It only settles who is first when
            // nobody holds the address.
            priority: 254 - place,
        })
    }
}

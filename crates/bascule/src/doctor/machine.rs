use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bascule_engine::{Pins, base_alias};
use bascule_incus::{Client, DEFAULT_SOCKET, Incus as _, Server, Space, StoragePool};
use bascule_plan::event::Failure;
use bascule_spec::{Endpoint, Host, Platform, Transport};

use super::{hosts, image, kernel};
use crate::cli::Common;
use crate::failure::Failed;
use crate::secrets;
use crate::setup;

/// The machine as it was found, and what was found from it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The platform, or why there is none; and how many mistakes its file has.
    pub(crate) platform: Result<Platform, (Failure, usize)>,
    /// Why the platform's secrets are not at hand.
    pub(crate) secrets_wrong: Option<Failure>,
    pub(crate) incus: Result<Incus, Failed>,
    pub(crate) user: String,
    pub(crate) is_root: bool,
    /// Debian's name for its release: `trixie`.
    pub(crate) codename: String,
    /// Of [`image::PROGRAMS`], those that are not there.
    pub(crate) programs_missing: Vec<&'static str>,
    /// Of [`hosts::PROGRAMS`], those that are not there.
    pub(crate) ssh_missing: Vec<&'static str>,
    /// The hosts that are reached by SSH, by name, and whether the key of each is pinned.
    pub(crate) pinned: BTreeMap<String, bool>,
    /// The base image is in the cache folder.
    pub(crate) base_cached: bool,
    /// Where the base image is built.
    pub(crate) cache_free_bytes: Option<u64>,
    /// The kernel's limits of [`kernel::LIMITS`] that could be read.
    pub(crate) limits: BTreeMap<&'static str, u64>,
    /// `/etc/subuid` and `/etc/subgid`, by path; `None` for a file that is not there.
    pub(crate) subordinate_ids: BTreeMap<&'static str, Option<String>>,
}

/// What a daemon that answers has.
#[derive(Debug)]
pub(crate) struct Incus {
    /// Its socket, or its address and port.
    pub(crate) address: String,
    pub(crate) server: Server,
    pub(crate) pool_name: String,
    pub(crate) pool: Option<StoragePool>,
    pub(crate) space: Option<Space>,
    pub(crate) bridge_name: Option<String>,
    /// The largest packet of the environment's bridge, in bytes; `None` until `up` makes it.
    pub(crate) bridge_mtu: Option<u32>,
    pub(crate) uplink_mtu: Option<u32>,
    /// The base image is in Incus.
    pub(crate) base_image: bool,
}

impl Machine {
    /// Instances do not run on this machine.
    pub(super) fn incus_is_elsewhere(&self) -> bool {
        self.platform.as_ref().is_ok_and(|platform| matches!(platform.incus.endpoint, Endpoint::Https(_)))
    }
}

/// Looks at everything; changes nothing.
pub(crate) async fn look(common: &Common) -> Machine {
    let loaded = setup::platform(common);
    let secrets_wrong = loaded.as_ref().ok().and_then(|platform| secrets::complete(common, platform).err());
    let pinned = loaded.as_ref().map(|platform| pinned(common, platform)).unwrap_or_default();
    let platform = loaded.map_err(|failed| {
        let mistakes = if let Failed::Platform(diagnostics) = &failed { diagnostics.iter().count() } else { 0 };
        (failed.into_failure(), mistakes)
    });
    let cache = setup::cache_folder();
    let missing = |programs: &[&'static str]| {
        programs.iter().copied().filter(|program| !setup::is_program(program)).collect::<Vec<_>>()
    };
    Machine {
        incus: incus(common, platform.as_ref().ok()).await,
        platform,
        secrets_wrong: secrets_wrong.map(|error| Failed::from(error).into_failure()),
        user: nix::unistd::User::from_uid(nix::unistd::getuid())
            .ok()
            .flatten()
            .map_or_else(String::new, |user| user.name),
        is_root: nix::unistd::geteuid().is_root(),
        codename: codename(),
        programs_missing: missing(&image::PROGRAMS),
        ssh_missing: missing(&hosts::PROGRAMS),
        pinned,
        base_cached: cache.join(base_alias().replace('/', "-")).join("meta.tar").exists(),
        cache_free_bytes: free_bytes(&cache),
        limits: kernel::LIMITS.iter().filter_map(|limit| Some((limit.name, read_limit(limit.name)?))).collect(),
        subordinate_ids: kernel::SUBORDINATE.map(|path| (path, fs::read_to_string(path).ok())).into(),
    }
}

fn pinned(common: &Common, platform: &Platform) -> BTreeMap<String, bool> {
    // A file that cannot be read pins nothing; the verbs on hosts tell why.
    let pins = Pins::read(&setup::beside_overlay(common, platform, "known_hosts")).ok();
    let is_pinned = |host: &Host| pins.as_ref().is_some_and(|pins| pins.fingerprint(&host.name).is_some());
    let by_ssh = platform.hosts.iter().filter(|host| host.transport == Transport::Ssh);
    by_ssh.map(|host| (host.name.clone(), is_pinned(host))).collect()
}

async fn incus(common: &Common, platform: Option<&Platform>) -> Result<Incus, Failed> {
    // Who comes by HTTPS is restricted to a project, and neither looks into the default one nor at the host's cards.
    let (client, address, project) = match platform.map(|platform| (&platform.incus.endpoint, platform)) {
        None => (Client::unix(DEFAULT_SOCKET)?, DEFAULT_SOCKET.to_owned(), "default"),
        Some((Endpoint::Socket(socket), _)) => (Client::unix(socket)?, socket.display().to_string(), "default"),
        Some((Endpoint::Https(https), platform)) => {
            let client = setup::incus(platform, &secrets::complete(common, platform)?)?;
            (client, https.address.to_string(), platform.incus.project.as_str())
        }
    };
    let pool_name = platform.map_or("default", |platform| &platform.incus.pool).to_owned();
    let bridge_name = platform.map(|platform| platform.network.bridge.clone());
    let server = client.server().await?;
    let pool = client.storage_pool(&pool_name).await?;
    let space = if pool.is_some() { client.storage_pool_space(&pool_name).await? } else { None };
    let bridge = match &bridge_name {
        Some(name) => client.network(project, name).await?.filter(|bridge| !bridge.config.is_empty()),
        None => None,
    };
    let uplink_mtu = if project == "default" { client.uplink_mtu().await? } else { None };
    // What a bridge has when nobody says otherwise.
    let mtu =
        |config: &bascule_incus::Config| config.get("bridge.mtu").and_then(|mtu| mtu.parse().ok()).unwrap_or(1500);
    Ok(Incus {
        address,
        server,
        pool_name,
        pool,
        space,
        bridge_name,
        bridge_mtu: bridge.map(|bridge| mtu(&bridge.config)),
        uplink_mtu,
        base_image: client.image(project, &base_alias()).await?.is_some(),
    })
}

fn codename() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or_default().to_owned()
}

/// A limit as `sysctl` names it.
fn read_limit(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys").join(name.replace('.', "/"))).ok()?.trim().parse().ok()
}

/// Of the file system that a folder is on, or will be on once it is made.
fn free_bytes(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let found = nix::sys::statvfs::statvfs(there).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

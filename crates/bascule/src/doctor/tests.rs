//! A machine that lacks nothing, and one thing after the other taken from it.

use std::path::Path;

use bascule_incus::{Error, NEEDED_EXTENSIONS, Server, Space, StoragePool, Unreachable};
use bascule_plan::event::{Failure, Finding, Verdict};
use bascule_spec::{Endpoint, Https};

use super::machine::Incus;
use super::{GIB, Machine, judge};
use crate::failure::Failed;

#[test]
fn of_a_machine_that_lacks_nothing_every_finding_is_good() {
    let findings = judge(&healthy());
    assert!(findings.len() >= 10, "{findings:#?}");
    for finding in findings {
        assert_eq!((finding.verdict, &finding.why, &finding.remedy), (Verdict::Ok, &None, &None), "{finding:?}");
    }
}

#[test]
fn a_platform_file_that_is_not_there_is_told_and_the_rest_is_looked_at_all_the_same() {
    let mut machine = healthy();
    let failure =
        Failure { message: "there is no platform file".into(), hint: Some("name it".into()), ..Failure::default() };
    machine.platform = Err((failure, 0));
    wants(&machine, "platform file", Verdict::Missing, "there is no platform file", "name it");
    assert!(judge(&machine).iter().any(|finding| finding.check == "Incus" && finding.verdict == Verdict::Ok));
}

#[test]
fn mistakes_in_the_platform_file_are_counted_and_check_shows_them() {
    let mut machine = healthy();
    machine.platform = Err((Failure::default(), 3));
    wants(&machine, "platform file", Verdict::Missing, "it has 3 mistakes", "bascule check");
}

#[test]
fn secrets_that_are_not_at_hand_are_told_with_their_own_remedy() {
    let mut machine = healthy();
    let failure =
        Failure { message: "it may be read by others".into(), hint: Some("chmod 600 it".into()), ..Failure::default() };
    machine.secrets_wrong = Some(failure);
    wants(&machine, "secrets", Verdict::Missing, "may be read by others", "chmod 600 it");
}

#[test]
fn an_incus_that_cannot_be_reached_is_told_by_what_keeps_it_away() {
    let unreachable = |why| {
        let mut machine = healthy();
        machine.incus =
            Err(Failed::Incus(Error::Unreachable { address: "/the/socket".into(), why, source: "no".into() }));
        machine
    };
    let told = |machine: &Machine, remedy| wants(machine, "Incus", Verdict::Missing, "/the/socket", remedy);
    told(&unreachable(Unreachable::NoSocket), "apt-get install incus-base incus-client");
    told(&unreachable(Unreachable::Refused), "systemctl start incus");
    told(&unreachable(Unreachable::PermissionDenied), "usermod --append --groups incus-admin ada");
    told(&unreachable(Unreachable::Other), "journalctl --unit incus");
    let bookworm = Machine { codename: "bookworm".into(), ..unreachable(Unreachable::NoSocket) };
    told(&bookworm, "--target-release bookworm-backports incus-base");
}

#[test]
fn an_incus_that_is_too_old_is_told_with_what_it_lacks() {
    let mut machine = healthy();
    incus(&mut machine).server.api_extensions.remove("instances_rebuild");
    wants(&machine, "Incus", Verdict::Missing, "6.0.4 lacks the API extensions instances_rebuild", "apt-get install");
}

#[test]
fn a_pool_that_is_not_there_can_be_made() {
    let mut machine = healthy();
    incus(&mut machine).pool = None;
    wants(&machine, "storage pool", Verdict::Missing, "no pool `default`", "incus storage create default btrfs");
}

#[test]
fn a_pool_that_copies_works_but_slowly() {
    let mut machine = healthy();
    incus(&mut machine).pool = Some(StoragePool { name: "default".into(), driver: "dir".into() });
    wants(&machine, "storage pool", Verdict::Warning, "dir", "incus storage create fast btrfs");
}

#[test]
fn a_pool_that_is_nearly_full_is_told_with_the_size_that_would_do() {
    let mut machine = healthy();
    incus(&mut machine).space = Some(Space { total_bytes: 20 * GIB, used_bytes: 17 * GIB });
    wants(
        &machine,
        "room in the pool",
        Verdict::Warning,
        "3.0 GiB of 20.0 GiB",
        "incus storage set default size=26GiB",
    );
}

#[test]
fn a_bridge_that_takes_larger_packets_than_the_uplink_is_told() {
    let mut machine = healthy();
    incus(&mut machine).uplink_mtu = Some(1400);
    wants(
        &machine,
        "bridge",
        Verdict::Missing,
        "1500 bytes, the uplink of 1400",
        "incus network set shop bridge.mtu=1400",
    );
}

#[test]
fn a_base_image_that_has_to_be_made_wants_programs_root_and_room() {
    let without_image = || {
        let mut machine = healthy();
        incus(&mut machine).base_image = false;
        machine
    };
    let told = |machine: &Machine, found, remedy| wants(machine, "base image", Verdict::Missing, found, remedy);
    let machine = Machine { programs_missing: vec!["debootstrap", "zstd"], ..without_image() };
    told(&machine, "not installed: debootstrap zstd", "apt-get install debootstrap zstd");
    told(&Machine { is_root: false, ..without_image() }, "needs root", "sudo");
    told(&Machine { cache_free_bytes: Some(GIB), ..without_image() }, "1.0 GiB are free", "XDG_CACHE_HOME");
    let cached = Machine { base_cached: true, is_root: false, ..without_image() };
    assert!(judge(&cached).iter().all(|finding| finding.verdict == Verdict::Ok), "{:#?}", judge(&cached));
}

#[test]
fn kernel_limits_are_held_against_the_number_of_instances() {
    for (name, is, verdict) in [
        ("fs.inotify.max_user_instances", 32, Verdict::Missing),
        ("kernel.keys.maxkeys", 80, Verdict::Warning),
        ("user.max_user_namespaces", 0, Verdict::Missing),
    ] {
        let mut machine = healthy();
        machine.limits.insert(name, is);
        wants(&machine, "kernel limit", verdict, &format!("{name} is {is}"), &format!("echo '{name} = "));
    }
}

#[test]
fn of_instances_elsewhere_this_machines_kernel_is_not_judged() {
    let mut machine = healthy();
    machine.limits.insert("user.max_user_namespaces", 0);
    let platform = machine.platform.as_mut().unwrap();
    platform.incus.endpoint = Endpoint::Https(Https {
        address: "192.0.2.10:8443".parse().unwrap(),
        server_certificate: "env/lab.incus.pem".into(),
        client_certificate: "env/lab.client.pem".into(),
        client_key: Https::CLIENT_KEY.to_owned(),
    });
    assert!(judge(&machine).iter().all(|finding| finding.verdict == Verdict::Ok), "{:#?}", judge(&machine));
}

#[test]
fn root_without_subordinate_ids_is_told_with_the_file() {
    let mut machine = healthy();
    machine.subordinate_ids.insert("/etc/subgid", Some("ada:100000:65536\nroot:1000000:1000\n".into()));
    wants(&machine, "subordinate ids", Verdict::Missing, "/etc/subgid has no 65536 ids", "usermod --add-subuids");
    let neither = Machine { subordinate_ids: [("/etc/subuid", None), ("/etc/subgid", None)].into(), ..healthy() };
    assert!(judge(&neither).iter().all(|finding| finding.verdict == Verdict::Ok), "Incus has a range of its own");
}

#[test]
fn a_host_whose_key_nobody_compared_and_an_ssh_that_is_not_there_are_told() {
    let mut machine = healthy();
    machine.pinned.insert("h2".to_owned(), false);
    wants(&machine, "way to the hosts", Verdict::Missing, "no key of h2 is pinned", "bascule host pin h2");
    machine.ssh_missing = vec!["ssh-keyscan"];
    wants(&machine, "way to the hosts", Verdict::Missing, "not installed: ssh-keyscan", "openssh-client");
}

/// Exactly this is told of the machine, with a reason, and all else is well.
#[track_caller]
fn wants(machine: &Machine, check: &str, verdict: Verdict, found: &str, remedy: &str) {
    let findings = judge(machine);
    let wrong: Vec<&Finding> = findings.iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
    let [finding] = wrong[..] else { panic!("{wrong:#?}") };
    assert_eq!((finding.check.as_str(), finding.verdict), (check, verdict), "{finding:#?}");
    assert!(finding.found.contains(found), "{finding:#?}");
    assert!(finding.remedy.as_ref().unwrap().contains(remedy), "{finding:#?}");
    assert!(finding.why.as_ref().unwrap().len() > 10, "{finding:#?}");
}

fn incus(machine: &mut Machine) -> &mut Incus {
    machine.incus.as_mut().unwrap()
}

/// A shop of five instances on a machine that has everything.
fn healthy() -> Machine {
    Machine {
        platform: Ok(bascule_spec::load(&Shop, Path::new("platform.toml"), "lab").unwrap()),
        secrets_wrong: None,
        incus: Ok(Incus {
            address: "/var/lib/incus/unix.socket".into(),
            server: Server { version: "6.0.4".into(), api_extensions: NEEDED_EXTENSIONS.map(str::to_owned).into() },
            pool_name: "default".into(),
            pool: Some(StoragePool { name: "default".into(), driver: "btrfs".into() }),
            space: Some(Space { total_bytes: 40 * GIB, used_bytes: 5 * GIB }),
            bridge_name: Some("shop".into()),
            bridge_mtu: Some(1500),
            uplink_mtu: Some(1500),
            base_image: true,
        }),
        user: "ada".into(),
        is_root: true,
        codename: "trixie".into(),
        programs_missing: Vec::new(),
        ssh_missing: Vec::new(),
        pinned: [("h1".to_owned(), true)].into(),
        base_cached: false,
        cache_free_bytes: Some(9 * GIB),
        limits: [
            ("fs.inotify.max_user_instances", 65_536),
            ("kernel.keys.maxkeys", 4_000),
            ("user.max_user_namespaces", 96_000),
        ]
        .into(),
        subordinate_ids: ["/etc/subuid", "/etc/subgid"]
            .map(|path| (path, Some("root:1000000:1000000000\n".to_owned())))
            .into(),
    }
}

/// One load balancer and two colours of two replicas: five instances.
pub(crate) struct Shop;

impl bascule_spec::Files for Shop {
    fn read(&self, path: &Path) -> Result<String, String> {
        let platform = r#"
            name = "shop"
            network = { subnet = "10.20.0.0/24" }
            ssh = { allow_from = ["10.20.0.0/24"], authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH ada"] }
            release = { artifacts = "artifacts" }
            component.web = { kind = "static", replicas = 2, default = true }
        "#;
        Ok(if path.ends_with("platform.toml") { platform } else { "" }.to_owned())
    }

    fn list(&self, _: &Path) -> Vec<String> {
        vec!["lab.toml".to_owned()]
    }
}

//! What a certificate cannot do that is restricted to one project, itself restricted: above all, lift its own limits.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use bascule_incus::{
    Changes, Client, Config, Device, Devices, Error, Exec, Incus, InstancePatch, NewInstance, Profile, StopMode,
};
use serde_json::json;

use super::{Credentials, Trusted, incus};
use crate::conformance::{Ground, config, device, project_config, run};
use crate::daemon;

/// The settings that `bascule host up` gives a project.
fn limits(network: &str) -> Changes {
    let limits = [("restricted", "true"), ("restricted.networks.access", network)];
    limits.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).into()
}

/// Runs a test with a client that is restricted to the first of two projects, which has limits.
async fn on_lab(test: impl AsyncFnOnce(&Ground<'_>, &Trusted, &Client)) {
    daemon::on_lab(async |ground, admin| {
        let [project, _] = ground.projects;
        admin.patch_project_config(project, limits(ground.network)).await.unwrap();
        let trusted = Trusted::new("bslt-restricted", &["--restricted", "--projects", project]);
        test(ground, &trusted, &trusted.client()).await;
    })
    .await;
}

fn refused<T: Debug>(what: &str, result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Refused { .. })), "{what} should be refused: {result:?}");
}

#[tokio::test]
async fn it_works_inside_its_project_as_any_other() {
    on_lab(async |ground, _, client| {
        let [project, _] = ground.projects;
        assert!(!client.server().await.unwrap().version.is_empty());
        let new = NewInstance { start: true, ..ground.new_instance("a", "10.99.61.10") };
        client.create_instance(project, new).await.unwrap();
        let exec = Exec::new(["cat"], Duration::from_secs(30)).stdin("hello");
        let (exited, output) = run(client, project, "a", exec).await.unwrap();
        assert_eq!((exited.code, output.as_slice()), (0, b"hello".as_slice()));
        let record = Profile { name: "record".into(), ..Default::default() };
        client.create_profile(project, record).await.unwrap();
        client.create_volume(project, "default", "data", config(&[("size", "64MiB")])).await.unwrap();
        client.stop(project, "a", StopMode::Force).await.unwrap();
        client.delete_instance(project, "a").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn it_cannot_lift_the_limits_of_its_project_nor_its_own() {
    on_lab(async |ground, _, client| {
        let [project, _] = ground.projects;
        for key in ["restricted", "restricted.containers.privilege", "restricted.networks.access", "user.any"] {
            let lift = Changes::from([(key.to_owned(), None)]);
            refused(key, client.patch_project_config(project, lift).await);
            let set = Changes::from([(key.to_owned(), Some("allow".to_owned()))]);
            refused(key, client.patch_project_config(project, set).await);
        }
        refused("deleting its project", client.delete_project(project).await);
        refused("a project of its own", client.create_project("bslt-escape", project_config()).await);
        let found = incus(&["project", "get", project, "restricted"]);
        assert_eq!(found, "true");
    })
    .await;
}

#[tokio::test]
async fn it_cannot_trust_another_certificate_nor_itself_more_nor_set_up_the_server() {
    on_lab(async |ground, trusted, _| {
        let [project, other] = ground.projects;
        let own = format!("/1.0/certificates/{}", trusted.fingerprint());
        let stranger = Credentials::new().identity();
        let lines = stranger.certificate.lines().filter(|line| !line.starts_with("-----"));
        let certificate: String = lines.collect();
        for (method, path, body) in [
            ("POST", "/1.0/certificates", json!({ "type": "client", "name": "x", "certificate": certificate })),
            ("POST", "/1.0/certificates", json!({ "type": "client", "name": "x", "token": true })),
            ("PATCH", own.as_str(), json!({ "restricted": false })),
            ("PATCH", own.as_str(), json!({ "projects": [project, other] })),
            ("PATCH", "/1.0", json!({ "config": { "core.https_address": "" } })),
            ("POST", "/1.0/storage-pools", json!({ "name": "bslt-escape", "driver": "dir" })),
        ] {
            let status = trusted.send(method, path, &body).await;
            assert_eq!(status, 403, "{method} {path} {body}");
        }
        let (restricted, projects) = trusted.limits();
        assert!(restricted && projects == [project], "{restricted} {projects:?}");
    })
    .await;
}

#[tokio::test]
async fn it_sees_and_touches_no_other_project() {
    on_lab(async |ground, _, client| {
        let [_, other] = ground.projects;
        for project in [other, "default"] {
            refused("reading", client.project(project).await);
            refused("listing", client.instances(project).await);
            refused("creating", client.create_instance(project, ground.new_instance("a", "10.99.61.11")).await);
            refused("a profile", client.create_profile(project, Default::default()).await);
        }
    })
    .await;
}

#[tokio::test]
async fn it_makes_no_network_and_uses_only_the_one_it_was_given() {
    on_lab(async |ground, _, client| {
        let [project, _] = ground.projects;
        refused("a network", client.create_network(project, "bslt-escape", config(&[])).await);
        let changes = Changes::from([("ipv4.nat".to_owned(), Some("false".to_owned()))]);
        refused("changing the network", client.patch_network_config(project, ground.network, changes).await);
        for (name, nic) in [
            (
                "a card on the host's own interface",
                device(&[("type", "nic"), ("nictype", "physical"), ("parent", "lo")]),
            ),
            ("a bridge by its interface", device(&[("type", "nic"), ("nictype", "bridged"), ("parent", "incusbr0")])),
        ] {
            refused(name, client.create_instance(project, with(ground, &[], &[("eth1", nic)])).await);
        }
    })
    .await;
}

#[tokio::test]
async fn it_makes_no_container_that_could_get_out() {
    on_lab(async |ground, _, client| {
        let [project, _] = ground.projects;
        for (key, value) in [
            ("security.privileged", "true"),
            ("security.nesting", "true"),
            ("raw.lxc", "lxc.apparmor.profile=unconfined"),
            ("raw.idmap", "both 0 0"),
            ("security.syscalls.intercept.mount", "true"),
        ] {
            refused(key, client.create_instance(project, with(ground, &[(key, value)], &[])).await);
        }
        for (name, disk) in [
            ("the host's root", device(&[("type", "disk"), ("source", "/"), ("path", "/mnt")])),
            ("the daemon's socket", device(&[("type", "disk"), ("source", "/var/lib/incus"), ("path", "/mnt")])),
            ("a device", device(&[("type", "unix-char"), ("path", "/dev/kmsg")])),
            (
                "a port of the host",
                device(&[("type", "proxy"), ("listen", "tcp:0.0.0.0:1"), ("connect", "tcp:127.0.0.1:1")]),
            ),
        ] {
            refused(name, client.create_instance(project, with(ground, &[], &[("x", disk)])).await);
        }
        // Nor does it turn an innocent one into such.
        client.create_instance(project, ground.new_instance("a", "10.99.61.10")).await.unwrap();
        let privileged = InstancePatch {
            config: BTreeMap::from([("security.privileged".to_owned(), Some("true".to_owned()))]),
            ..InstancePatch::default()
        };
        refused("a change to privileged", client.patch_instance(project, "a", privileged).await);
    })
    .await;
}

fn with(ground: &Ground<'_>, keys: &[(&str, &str)], more: &[(&str, Device)]) -> NewInstance {
    let new = ground.new_instance("a", "10.99.61.10");
    let config: Config = new.config.into_iter().chain(config(keys)).collect();
    let more = more.iter().map(|(name, device)| ((*name).to_owned(), device.clone()));
    let devices: Devices = new.devices.into_iter().chain(more).collect();
    NewInstance { config, devices, ..new }
}

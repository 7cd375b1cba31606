//! Instances and images.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bascule_incus::{FileKind, InstanceFile, InstancePatch, NewInstance, Publish, Status, StopMode};

use super::{ALIAS, Ground, assert_error, config};

pub(crate) async fn an_instance_keeps_the_rules_of_its_states(ground: &Ground<'_>) {
    let (incus, [project, _]) = (ground.incus, ground.projects);
    assert_eq!(incus.instance(project, "a").await.unwrap(), None);
    assert_error!(incus.start(project, "a").await, NotFound);
    let without_image = NewInstance { image: "bslt/none".into(), ..ground.new_instance("a", "10.99.61.10") };
    assert_error!(incus.create_instance(project, without_image).await, NotFound);
    let without_root = NewInstance { devices: BTreeMap::new(), ..ground.new_instance("a", "10.99.61.10") };
    assert_error!(incus.create_instance(project, without_root).await, Refused);
    assert_eq!(incus.instance(project, "a").await.unwrap(), None);

    incus.create_instance(project, ground.new_instance("a", "10.99.61.10")).await.unwrap();
    assert_error!(incus.create_instance(project, ground.new_instance("a", "10.99.61.11")).await, AlreadyExists);
    let created = incus.instance(project, "a").await.unwrap().unwrap();
    assert_eq!((created.status, created.addresses.len()), (Status::Stopped, 0));
    assert_eq!(created.config["user.test.role"], "any");
    let image = incus.image(project, &ground.image).await.unwrap().unwrap();
    assert_eq!(created.image_fingerprint.as_ref(), Some(&image.fingerprint));

    // Stopped.
    assert_error!(incus.stop(project, "a", StopMode::Force).await, Refused);
    assert_error!(incus.restart(project, "a", StopMode::Force).await, Refused);
    assert_error!(incus.freeze(project, "a").await, Refused);
    assert_error!(incus.unfreeze(project, "a").await, Refused);
    incus.start(project, "a").await.unwrap();

    // Running.
    assert_error!(incus.start(project, "a").await, Refused);
    assert_error!(incus.rebuild(project, "a", &ground.image).await, Refused);
    assert_error!(incus.delete_instance(project, "a").await, Refused);
    assert_error!(incus.unfreeze(project, "a").await, Refused);
    incus.freeze(project, "a").await.unwrap();

    // Frozen.
    assert_eq!(incus.instances(project).await.unwrap()[0].status, Status::Frozen);
    assert_error!(incus.start(project, "a").await, Refused);
    assert_error!(incus.freeze(project, "a").await, Refused);
    assert_error!(incus.delete_instance(project, "a").await, Refused);
    incus.unfreeze(project, "a").await.unwrap();
    incus.restart(project, "a", StopMode::Force).await.unwrap();
    assert_eq!(incus.instances(project).await.unwrap()[0].status, Status::Running);

    incus.stop(project, "a", StopMode::Force).await.unwrap();
    incus.delete_instance(project, "a").await.unwrap();
    assert_error!(incus.delete_instance(project, "a").await, NotFound);
}

pub(crate) async fn a_rebuild_empties_the_root_and_keeps_the_rest(ground: &Ground<'_>) {
    let (incus, [project, _]) = (ground.incus, ground.projects);
    incus.create_instance(project, ground.new_instance("a", "10.99.61.10")).await.unwrap();
    let marker = InstanceFile { kind: FileKind::File("x".into()), uid: 0, gid: 0, mode: 0o600 };
    incus.push_file(project, "a", "/root/marker", marker).await.unwrap();
    let before = incus.instance(project, "a").await.unwrap().unwrap();

    assert_error!(incus.rebuild(project, "a", "bslt/none").await, NotFound);
    incus.rebuild(project, "a", &ground.image).await.unwrap();
    let after = incus.instance(project, "a").await.unwrap().unwrap();
    assert_eq!(
        (after.status, &after.devices, &after.image_fingerprint),
        (Status::Stopped, &before.devices, &before.image_fingerprint)
    );
    assert_eq!(after.config["user.test.role"], "any");
    incus.start(project, "a").await.unwrap();
    assert_eq!(incus.pull_file(project, "a", "/root/marker").await.unwrap(), None);
}

pub(crate) async fn a_name_and_an_address_are_unique_on_a_network(ground: &Ground<'_>) {
    let (incus, [project, other]) = (ground.incus, ground.projects);
    ground.start_new("a", "10.99.61.10").await;

    // The second one is made, but does not start: neither then nor while the first is stopped.
    let namesake = NewInstance { start: true, ..ground.new_instance("a", "10.99.61.11") };
    assert_error!(incus.create_instance(other, namesake).await, Refused);
    assert_eq!(incus.instance(other, "a").await.unwrap().unwrap().status, Status::Stopped);
    incus.create_instance(project, ground.new_instance("b", "10.99.61.10")).await.unwrap();
    assert_error!(incus.start(project, "b").await, Refused);
    incus.stop(project, "a", StopMode::Force).await.unwrap();
    assert_error!(incus.start(other, "a").await, Refused);
    assert_error!(incus.start(project, "b").await, Refused);

    // Nor does the first one start again, until they are gone.
    assert_error!(incus.start(project, "a").await, Refused);
    incus.delete_instance(project, "b").await.unwrap();
    incus.delete_instance(other, "a").await.unwrap();
    incus.start(project, "a").await.unwrap();
}

pub(crate) async fn an_image_is_made_of_a_stopped_instance_only(ground: &Ground<'_>) {
    let (incus, [project, other]) = (ground.incus, ground.projects);
    assert_eq!(incus.image(project, ALIAS).await.unwrap(), None);
    let publish = || Publish {
        instance: "a".into(),
        alias: ALIAS.into(),
        properties: config(&[("bascule.packages", "x y & z")]),
    };
    assert_error!(incus.publish(project, publish()).await, NotFound);
    ground.start_new("a", "10.99.61.10").await;
    assert_error!(incus.publish(project, publish()).await, Refused);
    incus.stop(project, "a", StopMode::Force).await.unwrap();

    let fingerprint = incus.publish(project, publish()).await.unwrap();
    // Projects without images of their own share those of `default`.
    let image = incus.image(other, ALIAS).await.unwrap().unwrap();
    assert_eq!((&image.fingerprint, image.aliases), (&fingerprint, vec![ALIAS.to_owned()]));
    assert_eq!(image.properties["bascule.packages"], "x y & z");
    assert_eq!(incus.image(project, &fingerprint).await.unwrap().unwrap().fingerprint, fingerprint);
    assert_error!(incus.publish(project, publish()).await, AlreadyExists);

    let clone = NewInstance { image: fingerprint.clone(), ..ground.new_instance("b", "10.99.61.11") };
    incus.create_instance(project, clone).await.unwrap();
    assert_eq!(incus.instance(project, "b").await.unwrap().unwrap().image_fingerprint, Some(fingerprint.clone()));
    incus.delete_image(project, &fingerprint).await.unwrap();
    assert_eq!(incus.image(project, ALIAS).await.unwrap(), None);
    assert_error!(incus.delete_image(project, &fingerprint).await, NotFound);
    assert!(incus.instance(project, "b").await.unwrap().is_some());
}

pub(crate) async fn devices_and_keys_are_changed_one_by_one(ground: &Ground<'_>) {
    let (incus, [project, _]) = (ground.incus, ground.projects);
    incus.create_instance(project, ground.new_instance("a", "10.99.61.10")).await.unwrap();
    let mut eth0 = incus.instance(project, "a").await.unwrap().unwrap().devices["eth0"].clone();
    eth0.insert("ipv4.address".into(), "10.99.61.12".into());
    let patch = InstancePatch {
        config: BTreeMap::from([("user.test.role".into(), None), ("user.test.colour".into(), Some("blue".into()))]),
        devices: BTreeMap::from([("eth0".into(), Some(eth0.clone()))]),
    };
    incus.patch_instance(project, "a", patch).await.unwrap();
    let changed = incus.instance(project, "a").await.unwrap().unwrap();
    assert_eq!((changed.config.get("user.test.role"), changed.config["user.test.colour"].as_str()), (None, "blue"));
    assert_eq!((&changed.devices["eth0"], changed.devices.len()), (&eth0, 2));

    incus.start(project, "a").await.unwrap();
    let expected: IpAddr = "10.99.61.12".parse().unwrap();
    // A real one gets its address by DHCP, some time after the start.
    for _ in 0..100 {
        if incus.instances(project).await.unwrap()[0].addresses == [expected] {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the static address never appeared: {:?}", incus.instances(project).await.unwrap());
}

//! Projects, networks, profiles, volumes.

use std::collections::BTreeMap;

use bascule_incus::{Changes, InstancePatch, Profile};

use super::{Ground, POOL, assert_error, config, device, project_config};

pub(crate) async fn a_project_is_made_once_changed_key_by_key_and_deleted_when_empty(ground: &Ground<'_>) {
    let (incus, [project, _]) = (ground.incus, ground.projects);
    assert_eq!(incus.project("bslt-none").await.unwrap(), None);
    assert_error!(incus.create_project(project, project_config()).await, AlreadyExists);

    let set = Changes::from([("user.a".into(), Some("1".into())), ("user.b".into(), Some("2".into()))]);
    incus.patch_project_config(project, set).await.unwrap();
    let unset = Changes::from([("user.a".into(), None)]);
    incus.patch_project_config(project, unset).await.unwrap();
    let found = incus.project(project).await.unwrap().unwrap();
    assert_eq!(found.config.get("user.a"), None);
    assert_eq!(found.config.get("user.b").map(String::as_str), Some("2"));
    assert_eq!(found.config["features.images"], "false");

    incus.create_instance(project, ground.new_instance("a", "10.99.61.10")).await.unwrap();
    assert_error!(incus.delete_project(project).await, Refused);
    let feature = Changes::from([("features.images".into(), Some("true".into()))]);
    assert_error!(incus.patch_project_config(project, feature).await, Refused);
    incus.delete_instance(project, "a").await.unwrap();
    incus.delete_project(project).await.unwrap();
    assert_eq!(incus.project(project).await.unwrap(), None);
    assert_error!(incus.delete_project(project).await, NotFound);
    assert_error!(incus.patch_project_config(project, Changes::new()).await, NotFound);

    // Asking for what is in no project is no error; making something there is.
    assert_eq!(incus.instances(project).await.unwrap(), []);
    assert_eq!(incus.instance(project, "a").await.unwrap(), None);
    assert_error!(incus.create_instance(project, ground.new_instance("a", "10.99.61.10")).await, NotFound);
}

pub(crate) async fn a_network_is_made_once_and_not_deleted_while_in_use(ground: &Ground<'_>) {
    let (incus, [project, other], name) = (ground.incus, ground.projects, ground.network);
    assert_eq!(incus.network(project, "bslt-none").await.unwrap(), None);
    assert_error!(incus.create_network(project, name, config(&[])).await, AlreadyExists);
    assert_error!(incus.create_network(project, "bslt-sixteen-xxx", config(&[])).await, Refused);
    // Projects without networks of their own share those of `default`.
    assert!(incus.network(other, name).await.unwrap().is_some());

    let changes = Changes::from([("user.x".into(), Some("1".into()))]);
    incus.patch_network_config(project, name, changes).await.unwrap();
    let network = incus.network(project, name).await.unwrap().unwrap();
    assert_eq!((network.config["user.x"].as_str(), network.config["ipv4.address"].as_str()), ("1", "10.99.61.1/24"));
    assert!(network.managed && network.used_by.is_empty());

    incus.create_instance(project, ground.new_instance("a", "10.99.61.10")).await.unwrap();
    assert_eq!(incus.network(project, name).await.unwrap().unwrap().used_by.len(), 1);
    assert_error!(incus.delete_network(project, name).await, Refused);
    incus.delete_instance(project, "a").await.unwrap();
    incus.delete_network(project, name).await.unwrap();
    assert_error!(incus.delete_network(project, name).await, NotFound);
}

pub(crate) async fn a_profile_is_made_by_one_of_two_and_replaced_as_a_whole(ground: &Ground<'_>) {
    let (incus, [project, other]) = (ground.incus, ground.projects);
    let lock = |who: &str| Profile {
        name: "lock-1".into(),
        description: "held".into(),
        config: config(&[("user.who", who)]),
        devices: BTreeMap::new(),
    };
    let (one, two) =
        tokio::join!(incus.create_profile(project, lock("one")), incus.create_profile(project, lock("two")));
    assert!(one.is_ok() != two.is_ok(), "one of two racing creations wins: {one:?} {two:?}");
    assert_error!(if one.is_ok() { two } else { one }, AlreadyExists);

    assert_eq!(incus.profile(other, "lock-1").await.unwrap(), None);
    let names: Vec<String> = incus.profiles(project).await.unwrap().into_iter().map(|profile| profile.name).collect();
    assert_eq!(names, ["default", "lock-1"]);

    let replaced = Profile { config: config(&[("user.until", "then")]), ..lock("nobody") };
    incus.put_profile(project, replaced.clone()).await.unwrap();
    assert_eq!(incus.profile(project, "lock-1").await.unwrap(), Some(replaced));
    assert_error!(incus.put_profile(project, Profile { name: "none".into(), ..Profile::default() }).await, NotFound);

    let changes = Changes::from([("user.until".into(), None), ("user.a".into(), Some("1".into()))]);
    incus.patch_profile_config(project, "lock-1", changes).await.unwrap();
    let patched = incus.profile(project, "lock-1").await.unwrap().unwrap();
    assert_eq!((patched.config, patched.description), (config(&[("user.a", "1")]), "held".into()));
    assert_error!(incus.patch_profile_config(project, "none", Changes::new()).await, NotFound);

    let mut new = ground.new_instance("a", "10.99.61.10");
    new.profiles = vec!["lock-1".into()];
    incus.create_instance(project, new).await.unwrap();
    assert_error!(incus.delete_profile(project, "lock-1").await, Refused);
    incus.delete_instance(project, "a").await.unwrap();
    incus.delete_profile(project, "lock-1").await.unwrap();
    assert_error!(incus.delete_profile(project, "lock-1").await, NotFound);
}

pub(crate) async fn a_volume_is_not_deleted_while_attached(ground: &Ground<'_>) {
    let (incus, [project, _]) = (ground.incus, ground.projects);
    assert!(incus.storage_pool(POOL).await.unwrap().is_some());
    assert_eq!(incus.storage_pool("bslt-none").await.unwrap(), None);
    incus.create_volume(project, POOL, "data", config(&[("size", "64MiB")])).await.unwrap();
    assert_error!(incus.create_volume(project, POOL, "data", config(&[])).await, AlreadyExists);
    let larger = || Changes::from([("size".into(), Some("128MiB".into()))]);
    incus.patch_volume_config(project, POOL, "data", larger()).await.unwrap();
    assert_error!(incus.patch_volume_config(project, POOL, "none", larger()).await, NotFound);

    incus.create_instance(project, ground.new_instance("a", "10.99.61.10")).await.unwrap();
    let attach = |source: &str| InstancePatch {
        devices: BTreeMap::from([(
            "data".into(),
            Some(device(&[("type", "disk"), ("pool", POOL), ("source", source), ("path", "/srv/data")])),
        )]),
        ..InstancePatch::default()
    };
    assert!(incus.patch_instance(project, "a", attach("none")).await.is_err());
    incus.patch_instance(project, "a", attach("data")).await.unwrap();
    let volumes = incus.volumes(project, POOL).await.unwrap();
    assert_eq!((volumes.len(), volumes[0].name.as_str(), volumes[0].used_by.len()), (1, "data", 1));
    assert_eq!(volumes[0].config["size"], "128MiB");
    assert_error!(incus.delete_volume(project, POOL, "data").await, Refused);

    let detach = InstancePatch { devices: BTreeMap::from([("data".into(), None)]), ..InstancePatch::default() };
    incus.patch_instance(project, "a", detach).await.unwrap();
    incus.delete_volume(project, POOL, "data").await.unwrap();
    assert_error!(incus.delete_volume(project, POOL, "data").await, NotFound);
}

//! The platform of this repository's own customer, in each of its environments.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bascule_spec::{Files, Platform};

use crate::cli::public_key;

#[test]
fn every_environment_of_the_customer_is_sound() {
    let environments = environments();
    let names: Vec<&str> = environments.iter().map(|platform| platform.environment.as_str()).collect();
    assert_eq!(names, ["lab", "prod", "staging"]);
    for platform in &environments {
        assert!(!platform.instances.is_empty() && !platform.ssh.authorized_keys.is_empty(), "{}", platform.environment);
    }
}

#[test]
fn environments_share_no_bridge_no_subnet_and_no_project() {
    let environments = environments();
    let differ = |of: fn(&Platform) -> &str| {
        let all: BTreeSet<&str> = environments.iter().map(of).collect();
        assert_eq!(all.len(), environments.len(), "{all:?}");
    };
    differ(|platform| &platform.network.bridge);
    differ(|platform| &platform.incus.project);
    for (index, platform) in environments.iter().enumerate() {
        for other in &environments[..index] {
            let (this, that) = (platform.network.subnet, other.network.subnet);
            let apart = !this.contains(&that.network()) && !that.contains(&this.network());
            assert!(apart, "{} and {} overlap: {this}, {that}", platform.environment, other.environment);
        }
    }
}

fn environments() -> Vec<Platform> {
    let platform_file = customer().join("platform.toml");
    let names = Checkout.list(&customer().join("env")).into_iter();
    let names: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned())).collect();
    let load = |name: &String| {
        bascule_spec::load(&Checkout, &platform_file, name).unwrap_or_else(|wrong| panic!("{}", wrong.render(false)))
    };
    names.iter().map(load).collect()
}

fn customer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../veza").canonicalize().unwrap()
}

/// The files of a fresh clone, and beside them the public keys and certificates that only an operator's machine has.
struct Checkout;

impl Files for Checkout {
    fn read(&self, path: &Path) -> Result<String, String> {
        if path.extension().is_some_and(|extension| extension == "pub") {
            return Ok(public_key());
        }
        if path.extension().is_some_and(|extension| extension == "pem") {
            return Ok(include_str!("../../../spec/tests/front.pem").to_owned());
        }
        fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }
}

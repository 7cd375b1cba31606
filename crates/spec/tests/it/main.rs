//! The crate as its callers see it.

#![allow(clippy::unwrap_used)]

mod addresses;
mod authority;
mod broken;
mod damage;
mod front_door;
mod instances;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bascule_spec::{Diagnostics, Files, Platform, load};

/// A platform with nothing that it could leave out.
const SMALL: &str = r#"
name = "shop"

[network]
subnet = "10.20.0.0/24"

[ssh]
allow_from = ["10.20.0.0/24"]
authorized_keys_file = "operators.pub"

[release]
artifacts = "artifacts"

[component.web]
kind = "static"
default = true
"#;

/// Of `shop.example`, until 2036; nobody has its key.
const CERTIFICATE: &str = include_str!("../front.pem");

/// Files in memory.
#[derive(Default)]
struct Memory(BTreeMap<PathBuf, String>);

impl Memory {
    /// A platform file and its overlay for the environment `test`, beside files of public keys.
    fn new(platform: &str, overlay: &str) -> Self {
        let key = public_key();
        let files = [
            ("platform.toml", platform.to_owned()),
            ("env/test.toml", overlay.to_owned()),
            ("env/staging.toml", String::new()),
            ("operators.pub", format!("# operators\n\n{key}\n")),
            ("typo.pub", format!("{key}\n  ssh-ed25519 AAAAC3Nz ada\n")),
            ("private.pub", "-----BEGIN OPENSSH PRIVATE KEY-----\nnothing\n".to_owned()),
            ("front.pem", CERTIFICATE.to_owned()),
            ("env/front.pem", CERTIFICATE.to_owned()),
            ("damaged.pem", CERTIFICATE[..200].to_owned()),
            ("key.pem", "-----BEGIN EC PRIVATE KEY-----\nnothing\n".to_owned()),
        ];
        Self(files.into_iter().map(|(path, text)| (Path::new("/etc/shop").join(path), text)).collect())
    }

    fn load(&self) -> Result<Platform, Diagnostics> {
        load(self, Path::new("/etc/shop/platform.toml"), "test")
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let inside = self.0.keys().filter(|path| path.parent() == Some(folder));
        inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect()
    }
}

fn loaded(platform: &str, overlay: &str) -> Platform {
    Memory::new(platform, overlay).load().unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(false)))
}

/// A key whose private half nobody has.
fn public_key() -> String {
    let bytes = ssh_key::public::Ed25519PublicKey([7; 32]);
    ssh_key::PublicKey::new(bytes.into(), "ada").to_openssh().unwrap()
}

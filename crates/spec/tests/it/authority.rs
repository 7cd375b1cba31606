use std::path::{Path, PathBuf};

use bascule_spec::Files;

use crate::{Memory, SMALL};

#[test]
fn the_certificate_of_the_environments_own_authority_lies_beside_its_overlay() {
    let mut files = Memory::new(SMALL, "");
    assert_eq!(files.load().unwrap().internal_authority, None, "it is absent until it is made");
    let path = bascule_spec::internal_authority_path(Path::new("/etc/shop/platform.toml"), "test");
    assert_eq!(path, PathBuf::from("/etc/shop/env/test.ca.pem"));
    files.0.insert(path, "-----BEGIN CERTIFICATE-----".to_owned());
    assert_eq!(files.load().unwrap().internal_authority.as_deref(), Some("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn an_authority_that_cannot_be_read_is_not_taken_for_one_to_be_made() {
    struct Closed(Memory);
    impl Files for Closed {
        fn read(&self, path: &Path) -> Result<String, String> {
            if path.ends_with("test.ca.pem") { Err("Permission denied".to_owned()) } else { self.0.read(path) }
        }
        fn list(&self, folder: &Path) -> Vec<String> {
            [self.0.list(folder), vec!["test.ca.pem".to_owned()]].concat()
        }
    }
    let files = Closed(Memory::new(SMALL, ""));
    let mistakes = bascule_spec::load(&files, Path::new("/etc/shop/platform.toml"), "test").unwrap_err();
    let told = mistakes.render(false);
    assert!(told.contains("test.ca.pem") && told.contains("Permission denied"), "{told}");
}

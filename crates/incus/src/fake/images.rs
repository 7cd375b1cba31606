use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::world::{World, key};
use crate::types::{Image, Publish, Status};
use crate::{Error, Result};

const IMAGES: &str = "features.images";

impl World {
    pub(super) fn images(&self, project: &str) -> Vec<Image> {
        let Ok(home) = self.home("", project, IMAGES) else { return Vec::new() };
        self.images.iter().filter(|((owner, _), _)| *owner == home).map(|(_, image)| image.clone()).collect()
    }

    /// By alias or fingerprint.
    pub(super) fn image(&self, project: &str, reference: &str) -> Option<Image> {
        let is_meant =
            |image: &Image| image.fingerprint == reference || image.aliases.iter().any(|alias| alias == reference);
        self.images(project).into_iter().find(is_meant)
    }

    /// Makes an image that no other one is like; `home` owns it.
    pub(super) fn add_image(&mut self, home: &str, alias: &str, properties: BTreeMap<String, String>) -> Image {
        self.images_made += 1;
        let fingerprint = hex(&format!("image {}", self.images_made));
        self.insert_image(home, &fingerprint, properties);
        self.point_alias(home, alias, &fingerprint)
    }

    /// The same alias and properties stand for the same content: the files themselves are not read.
    pub(super) fn import_image(
        &mut self,
        doing: &str,
        project: &str,
        alias: &str,
        properties: BTreeMap<String, String>,
    ) -> Result<String> {
        let home = self.home(doing, project, IMAGES)?;
        let fingerprint = hex(&format!("import {alias} {properties:?}"));
        if !self.images.contains_key(&key(&home, &fingerprint)) {
            self.insert_image(&home, &fingerprint, properties);
        }
        self.point_alias(&home, alias, &fingerprint);
        Ok(fingerprint)
    }

    pub(super) fn publish(&mut self, doing: &str, project: &str, publish: &Publish) -> Result<Image> {
        let home = self.home(doing, project, IMAGES)?;
        if self.existing(doing, project, &publish.instance)?.status != Status::Stopped {
            return Err(Error::answered(doing, 400, "Cannot export a running instance as an image"));
        }
        if self.image(project, &publish.alias).is_some() {
            return Err(Error::answered(doing, 409, "Alias already exists"));
        }
        Ok(self.add_image(&home, &publish.alias, publish.properties.clone()))
    }

    pub(super) fn delete_image(&mut self, doing: &str, project: &str, fingerprint: &str) -> Result<()> {
        let home = self.home(doing, project, IMAGES)?;
        let image = self.images.remove(&key(&home, fingerprint));
        image.map(drop).ok_or_else(|| Error::answered(doing, 404, "Image not found"))
    }

    fn insert_image(&mut self, home: &str, fingerprint: &str, properties: BTreeMap<String, String>) {
        let image = Image {
            fingerprint: fingerprint.to_owned(),
            aliases: Vec::new(),
            properties,
            size_bytes: 0,
            uploaded_at: super::instances::EPOCH.to_owned(),
        };
        self.images.insert(key(home, fingerprint), image);
    }

    fn point_alias(&mut self, home: &str, alias: &str, fingerprint: &str) -> Image {
        for ((owner, _), image) in &mut self.images {
            if owner == home {
                image.aliases.retain(|it| it != alias);
            }
        }
        let image = &mut self.images.get_mut(&key(home, fingerprint));
        if let Some(image) = image {
            image.aliases.push(alias.to_owned());
        }
        image.as_deref().cloned().unwrap_or_else(|| unreachable!("the image was just inserted"))
    }
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

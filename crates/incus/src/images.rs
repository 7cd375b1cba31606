use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::client::Client;
use crate::transport::Answer;
use crate::types::{Image, NewImage, Progress, Publish, Transferred};
use crate::{Error, Result};

const CHUNK_BYTES: usize = 256 * 1024;

pub(crate) async fn get(client: &Client, project: &str, reference: &str) -> Result<Option<Image>> {
    let query = [("project", project)];
    let doing = format!("read image {reference}");
    if is_fingerprint(reference) {
        let image: Option<Shown> = client.get(&doing, &["images", reference], &query).await?;
        return Ok(image.map(Image::from));
    }
    let Some(alias) = client.get::<Alias>(&doing, &["images", "aliases", reference], &query).await? else {
        return Ok(None);
    };
    let image: Option<Shown> = client.get(&doing, &["images", &alias.target], &query).await?;
    Ok(image.map(Image::from))
}

pub(crate) async fn list(client: &Client, project: &str) -> Result<Vec<Image>> {
    let query = [("project", project), ("recursion", "1")];
    let doing = format!("list the images of project {project}");
    let images: Vec<Shown> = client.get(&doing, &["images"], &query).await?.unwrap_or_default();
    Ok(images.into_iter().map(Image::from).collect())
}

pub(crate) async fn import(
    client: &Client,
    project: &str,
    new: NewImage,
    progress: Option<Progress>,
) -> Result<String> {
    let doing = format!("import image {}", new.alias);
    let files = [new.metadata.clone(), new.rootfs.clone()];
    let fingerprint = tokio::task::spawn_blocking(move || fingerprint(&files))
        .await
        .map_err(|source| Error::interrupted(&doing, source))??;
    if get(client, project, &fingerprint).await?.is_none() {
        upload(client, &doing, project, &new, &fingerprint, progress).await?;
    }
    // Not by the header X-Incus-properties: with metadata that has no properties of its own it makes Incus 6.0.4 panic
    // and takes the whole daemon down. The alias comes last, so that an image under it is complete.
    let properties = |image: &mut Value| image["properties"] = json!(new.properties);
    client.update(&doing, &["images", &fingerprint], &[("project", project)], properties).await?;
    point_alias(client, project, &new.alias, &fingerprint).await?;
    Ok(fingerprint)
}

async fn upload(
    client: &Client,
    doing: &str,
    project: &str,
    new: &NewImage,
    fingerprint: &str,
    progress: Option<Progress>,
) -> Result<()> {
    let metadata_bytes = size(&new.metadata).await?;
    let rootfs_bytes = size(&new.rootfs).await?;
    let counter = Counter { sent: Arc::default(), total_bytes: metadata_bytes + rootfs_bytes, progress };
    // A form as RFC 7578 has it. The digest of the content, as its boundary, is not in the content.
    let part = |name: &str| {
        let disposition = format!("form-data; name=\"{name}\"; filename=\"{name}.tar\"");
        format!("\r\n--{fingerprint}\r\nContent-Disposition: {disposition}\r\n\r\n")
    };
    let (before_metadata, before_rootfs) = (part("metadata"), part("rootfs"));
    let end = format!("\r\n--{fingerprint}--\r\n");
    let text_bytes = (before_metadata.len() + before_rootfs.len() + end.len()) as u64;
    let text = |text: String| stream::once(async { Ok(Bytes::from(text)) });
    // The order counts: Incus reads the metadata first.
    let form = text(before_metadata)
        .chain(content(&new.metadata, counter.clone()).await?)
        .chain(text(before_rootfs))
        .chain(content(&new.rootfs, counter.clone()).await?)
        .chain(text(end));
    let header = |value: String| HeaderValue::try_from(value).map_err(|source| Error::malformed(doing, source));
    let request = client
        .transport
        .request(Method::POST, &["images"], &[("project", project)])?
        .header(HeaderName::from_static("x-incus-fingerprint"), header(fingerprint.to_owned())?)
        .header(CONTENT_TYPE, header(format!("multipart/form-data; boundary={fingerprint}"))?)
        .header(CONTENT_LENGTH, (counter.total_bytes + text_bytes).into())
        .timeout(client.operation_timeout)
        .body(StreamBody::new(form.map_ok(Frame::data)).boxed_unsync());
    match client.transport.answer(doing, request).await? {
        Answer::Sync(_) => Ok(()),
        Answer::Async(operation) => client.finished(doing, operation, client.operation_timeout).await.map(drop),
    }
}

/// Creates an alias, or moves it.
async fn point_alias(client: &Client, project: &str, alias: &str, fingerprint: &str) -> Result<()> {
    match create_alias(client, project, alias, fingerprint).await {
        Err(Error::AlreadyExists { doing, .. }) => {
            let query = [("project", project)];
            let body = json!({ "target": fingerprint, "description": "" });
            client.change(&doing, Method::PUT, &["images", "aliases", alias], &query, &body).await.map(drop)
        }
        other => other,
    }
}

async fn create_alias(client: &Client, project: &str, alias: &str, fingerprint: &str) -> Result<()> {
    let doing = format!("point image alias {alias} at {fingerprint}");
    let query = [("project", project)];
    let body = json!({ "name": alias, "target": fingerprint, "type": "container" });
    client.change(&doing, Method::POST, &["images", "aliases"], &query, &body).await.map(drop)
}

pub(crate) async fn publish(client: &Client, project: &str, publish: Publish) -> Result<String> {
    let doing = format!("publish instance {} as {}", publish.instance, publish.alias);
    let body = json!({
        "source": { "type": "instance", "name": publish.instance },
        "compression_algorithm": "none",
        "properties": publish.properties,
    });
    let metadata = client.change(&doing, Method::POST, &["images"], &[("project", project)], &body).await?;
    let fingerprint = metadata["fingerprint"].as_str();
    let fingerprint = fingerprint.ok_or_else(|| Error::malformed(&doing, "no fingerprint in the operation"))?;
    // Given with the request, an alias that is taken would leave the image behind without a name.
    match create_alias(client, project, &publish.alias, fingerprint).await {
        Ok(()) => Ok(fingerprint.to_owned()),
        Err(error) => {
            delete(client, project, fingerprint).await?;
            Err(error)
        }
    }
}

pub(crate) async fn delete(client: &Client, project: &str, fingerprint: &str) -> Result<()> {
    let doing = format!("delete image {fingerprint}");
    client
        .change(&doing, Method::DELETE, &["images", fingerprint], &[("project", project)], &Value::Null)
        .await
        .map(drop)
}

/// How a request names the image to make an instance of.
pub(crate) fn source(reference: &str) -> Value {
    let by = if is_fingerprint(reference) { "fingerprint" } else { "alias" };
    json!({ "type": "image", by: reference })
}

pub(crate) fn is_fingerprint(reference: &str) -> bool {
    reference.len() == 64 && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Incus's own definition: SHA-256 over the files, one after the other.
fn fingerprint(files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for path in files {
        let read = |source| Error::Read { path: path.clone(), source };
        let mut file = std::fs::File::open(path).map_err(read)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match io::Read::read(&mut file, &mut buffer).map_err(read)? {
                0 => break,
                n => hash.update(&buffer[..n]),
            }
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn size(path: &Path) -> Result<u64> {
    let metadata = tokio::fs::metadata(path).await.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(metadata.len())
}

#[derive(Clone)]
struct Counter {
    sent: Arc<AtomicU64>,
    total_bytes: u64,
    progress: Option<Progress>,
}

/// What is in a file, read as it is sent.
async fn content(path: &Path, counter: Counter) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let file = File::open(path).await.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let path = path.display().to_string();
    Ok(stream::try_unfold((file, counter, path), |(mut file, counter, path)| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = file.read(&mut chunk).await;
        let n = read.map_err(|error| io::Error::new(error.kind(), format!("cannot read {path}: {error}")))?;
        if n == 0 {
            return Ok::<_, io::Error>(None);
        }
        chunk.truncate(n);
        let sent_bytes = counter.sent.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
        if let Some(progress) = &counter.progress {
            progress(Transferred { sent_bytes, total_bytes: counter.total_bytes });
        }
        Ok(Some((Bytes::from(chunk), (file, counter, path))))
    }))
}

#[derive(Deserialize)]
struct Alias {
    target: String,
}

/// An image as Incus writes it.
#[derive(Deserialize)]
struct Shown {
    fingerprint: String,
    #[serde(default)]
    aliases: Vec<Named>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    size: u64,
    uploaded_at: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl From<Shown> for Image {
    fn from(shown: Shown) -> Self {
        Self {
            fingerprint: shown.fingerprint,
            aliases: shown.aliases.into_iter().map(|alias| alias.name).collect(),
            properties: shown.properties,
            size_bytes: shown.size,
            uploaded_at: shown.uploaded_at,
        }
    }
}

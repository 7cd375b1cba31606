//! Files of an instance.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::client::Client;
use crate::transport::{Answer, full};
use crate::types::{FileKind, InstanceFile};
use crate::{Error, Result};

const TYPE: HeaderName = HeaderName::from_static("x-incus-type");
const UID: HeaderName = HeaderName::from_static("x-incus-uid");
const GID: HeaderName = HeaderName::from_static("x-incus-gid");
const MODE: HeaderName = HeaderName::from_static("x-incus-mode");

pub(crate) async fn push(client: &Client, project: &str, instance: &str, path: &str, file: InstanceFile) -> Result<()> {
    let doing = format!("write {path} on {instance}");
    let (kind, content) = match file.kind {
        FileKind::File(content) => ("file", content),
        FileKind::Directory => ("directory", Bytes::new()),
        FileKind::Symlink(target) => ("symlink", Bytes::from(target)),
    };
    let mut request = client
        .transport
        .request(Method::POST, &["instances", instance, "files"], &[("project", project), ("path", path)])?
        .header(TYPE, HeaderValue::from_static(kind))
        .header(UID, file.uid.into())
        .header(GID, file.gid.into())
        .timeout(client.operation_timeout)
        .body(full(content));
    if kind != "symlink" {
        let mode = HeaderValue::from_str(&format!("{:04o}", file.mode));
        request = request.header(MODE, mode.map_err(|source| Error::malformed(&doing, source))?);
    }
    match client.transport.answer(&doing, request).await? {
        Answer::Sync(_) => Ok(()),
        Answer::Async(operation) => client.finished(&doing, operation, client.operation_timeout).await.map(drop),
    }
}

pub(crate) async fn pull(client: &Client, project: &str, instance: &str, path: &str) -> Result<Option<InstanceFile>> {
    let doing = format!("read {path} on {instance}");
    let request = client
        .transport
        .request(Method::GET, &["instances", instance, "files"], &[("project", project), ("path", path)])?
        .timeout(client.operation_timeout);
    let response = match client.transport.send(&doing, request).await {
        Ok(response) => response,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (head, content) = response.into_parts();
    let number = |name: HeaderName, radix: u32| {
        let value = text(&head.headers, &name).and_then(|text| u32::from_str_radix(text, radix).ok());
        value.ok_or_else(|| Error::malformed(&doing, format!("no number in {name}")))
    };
    let kind = match text(&head.headers, &TYPE) {
        Some("file") => FileKind::File(content),
        Some("directory") => FileKind::Directory,
        Some("symlink") => FileKind::Symlink(String::from_utf8_lossy(&content).trim_end().to_owned()),
        other => return Err(Error::malformed(&doing, format!("a file of type {other:?}"))),
    };
    Ok(Some(InstanceFile { kind, uid: number(UID, 10)?, gid: number(GID, 10)?, mode: number(MODE, 8)? }))
}

pub(crate) async fn delete(client: &Client, project: &str, instance: &str, path: &str) -> Result<()> {
    let doing = format!("delete {path} on {instance}");
    let query = [("project", project), ("path", path)];
    client
        .change(&doing, Method::DELETE, &["instances", instance, "files"], &query, &serde_json::Value::Null)
        .await
        .map(drop)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

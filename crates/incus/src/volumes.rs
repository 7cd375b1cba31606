//! Storage pools and the custom volumes in them.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Result;
use crate::client::{Client, merge_config};
use crate::types::{Changes, Config, Space, StoragePool, Volume};

pub(crate) async fn pool(client: &Client, name: &str) -> Result<Option<StoragePool>> {
    client.get(&format!("read storage pool {name}"), &["storage-pools", name], &[]).await
}

pub(crate) async fn space(client: &Client, pool: &str) -> Result<Option<Space>> {
    #[derive(Deserialize)]
    struct Resources {
        space: Counted,
    }
    #[derive(Deserialize)]
    struct Counted {
        total: u64,
        used: u64,
    }
    let doing = format!("read the space of storage pool {pool}");
    let found: Option<Resources> = client.get(&doing, &["storage-pools", pool, "resources"], &[]).await?;
    Ok(found.map(|Resources { space }| Space { total_bytes: space.total, used_bytes: space.used }))
}

pub(crate) async fn list(client: &Client, project: &str, pool: &str) -> Result<Vec<Volume>> {
    let query = [("project", project), ("recursion", "1")];
    let path = ["storage-pools", pool, "volumes", "custom"];
    Ok(client.get(&format!("list the volumes of pool {pool}"), &path, &query).await?.unwrap_or_default())
}

pub(crate) async fn create(client: &Client, project: &str, pool: &str, name: &str, config: Config) -> Result<()> {
    let path = ["storage-pools", pool, "volumes", "custom"];
    let body = json!({ "name": name, "content_type": "filesystem", "config": config });
    client.change(&format!("create volume {name}"), Method::POST, &path, &[("project", project)], &body).await.map(drop)
}

pub(crate) async fn patch(client: &Client, project: &str, pool: &str, name: &str, changes: Changes) -> Result<()> {
    let doing = format!("change the configuration of volume {name}");
    let path = ["storage-pools", pool, "volumes", "custom", name];
    client.update(&doing, &path, &[("project", project)], |volume| merge_config(volume, &changes)).await
}

pub(crate) async fn delete(client: &Client, project: &str, pool: &str, name: &str) -> Result<()> {
    let path = ["storage-pools", pool, "volumes", "custom", name];
    client
        .change(&format!("delete volume {name}"), Method::DELETE, &path, &[("project", project)], &Value::Null)
        .await
        .map(drop)
}

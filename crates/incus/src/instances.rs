use std::collections::BTreeMap;
use std::net::IpAddr;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Result;
use crate::client::{Client, merge_config};
use crate::images::source;
use crate::types::{Config, Devices, Instance, InstancePatch, NewInstance, Status, StopMode, null_as_empty};

pub(crate) async fn list(client: &Client, project: &str) -> Result<Vec<Instance>> {
    let query = [("project", project), ("recursion", "2")];
    let doing = format!("list the instances of project {project}");
    let full: Vec<Full> = client.get(&doing, &["instances"], &query).await?.unwrap_or_default();
    let mut instances: Vec<Instance> = full.into_iter().map(Instance::from).collect();
    instances.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(instances)
}

pub(crate) async fn get(client: &Client, project: &str, name: &str) -> Result<Option<Instance>> {
    let query = [("project", project), ("recursion", "1")];
    let full: Option<Full> = client.get(&format!("read instance {name}"), &["instances", name], &query).await?;
    Ok(full.map(Instance::from))
}

pub(crate) async fn create(client: &Client, project: &str, new: NewInstance) -> Result<()> {
    let doing = format!("create instance {}", new.name);
    let body = json!({
        "name": new.name,
        "type": "container",
        "source": source(&new.image),
        "config": new.config,
        "devices": new.devices,
        "profiles": new.profiles,
        "start": new.start,
    });
    client.change(&doing, Method::POST, &["instances"], &[("project", project)], &body).await.map(drop)
}

pub(crate) async fn patch(client: &Client, project: &str, name: &str, patch: InstancePatch) -> Result<()> {
    let doing = format!("change instance {name}");
    let edit = |instance: &mut Value| {
        merge_config(instance, &patch.config);
        for (name, device) in &patch.devices {
            match device {
                Some(device) => instance["devices"][name] = json!(device),
                None => {
                    instance["devices"].as_object_mut().map(|devices| devices.remove(name));
                }
            }
        }
    };
    client.update(&doing, &["instances", name], &[("project", project)], edit).await
}

/// `mode` matters to `stop` and `restart` only.
pub(crate) async fn change_state(
    client: &Client,
    project: &str,
    name: &str,
    action: &str,
    mode: StopMode,
) -> Result<()> {
    let doing = format!("{action} instance {name}");
    let body = match mode {
        // Incus counts in seconds, and 0 would be for ever.
        StopMode::Graceful { timeout } => {
            json!({ "action": action, "timeout": timeout.as_secs().max(1), "force": false })
        }
        StopMode::Force => json!({ "action": action, "timeout": -1, "force": true }),
    };
    client.change(&doing, Method::PUT, &["instances", name, "state"], &[("project", project)], &body).await.map(drop)
}

pub(crate) async fn rebuild(client: &Client, project: &str, name: &str, image: &str) -> Result<()> {
    let doing = format!("rebuild instance {name} from {image}");
    let body = json!({ "source": source(image) });
    client.change(&doing, Method::POST, &["instances", name, "rebuild"], &[("project", project)], &body).await.map(drop)
}

pub(crate) async fn delete(client: &Client, project: &str, name: &str) -> Result<()> {
    let doing = format!("delete instance {name}");
    client.change(&doing, Method::DELETE, &["instances", name], &[("project", project)], &Value::Null).await.map(drop)
}

/// An instance as Incus writes it, with its state.
#[derive(Deserialize)]
struct Full {
    name: String,
    status: String,
    /// Incus writes null for what an instance does not have yet, or no more: while it is made or deleted.
    #[serde(default, deserialize_with = "null_as_empty")]
    config: Config,
    #[serde(default, deserialize_with = "null_as_empty")]
    devices: Devices,
    #[serde(default, deserialize_with = "null_as_empty")]
    profiles: Vec<String>,
    created_at: String,
    #[serde(default)]
    state: Option<State>,
}

#[derive(Deserialize)]
struct State {
    /// Interfaces by name; null unless it runs.
    #[serde(default)]
    network: Option<BTreeMap<String, Interface>>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default, deserialize_with = "null_as_empty")]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    address: String,
    scope: String,
}

impl From<Full> for Instance {
    fn from(full: Full) -> Self {
        let interfaces = full.state.and_then(|state| state.network).unwrap_or_default();
        let addresses = interfaces.into_values().flat_map(|interface| interface.addresses);
        Self {
            status: match full.status.as_str() {
                "Running" => Status::Running,
                "Stopped" => Status::Stopped,
                "Frozen" => Status::Frozen,
                "Error" => Status::Error,
                _ => Status::Other,
            },
            addresses: addresses
                .filter(|it| it.scope == "global")
                .filter_map(|it| it.address.parse::<IpAddr>().ok())
                .collect(),
            image_fingerprint: full.config.get("volatile.base_image").cloned(),
            name: full.name,
            config: full.config,
            devices: full.devices,
            profiles: full.profiles,
            created_at: full.created_at,
        }
    }
}

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Result;
use crate::client::{Client, merge_config};
use crate::types::{Changes, Config, Network};

pub(crate) async fn get(client: &Client, project: &str, name: &str) -> Result<Option<Network>> {
    client.get(&format!("read network {name}"), &["networks", name], &[("project", project)]).await
}

pub(crate) async fn uplink_mtu(client: &Client) -> Result<Option<u32>> {
    #[derive(Deserialize)]
    struct Found {
        name: String,
        managed: bool,
        #[serde(rename = "type")]
        kind: String,
    }
    #[derive(Deserialize)]
    struct State {
        mtu: u32,
        state: String,
    }
    let doing = "read the host's network cards";
    let found: Vec<Found> = client.get(doing, &["networks"], &[("recursion", "1")]).await?.unwrap_or_default();
    let mut smallest = None;
    for card in found.iter().filter(|card| !card.managed && card.kind == "physical") {
        let state: Option<State> = client.get(doing, &["networks", &card.name, "state"], &[]).await?;
        let mtu = state.filter(|state| state.state == "up").map(|state| state.mtu);
        smallest = smallest.into_iter().chain(mtu).min();
    }
    Ok(smallest)
}

pub(crate) async fn create(client: &Client, project: &str, name: &str, config: Config) -> Result<()> {
    let body = json!({ "name": name, "type": "bridge", "config": config });
    client
        .change(&format!("create network {name}"), Method::POST, &["networks"], &[("project", project)], &body)
        .await
        .map(drop)
}

pub(crate) async fn patch(client: &Client, project: &str, name: &str, changes: Changes) -> Result<()> {
    let doing = format!("change network {name}");
    client.update(&doing, &["networks", name], &[("project", project)], |network| merge_config(network, &changes)).await
}

pub(crate) async fn delete(client: &Client, project: &str, name: &str) -> Result<()> {
    let doing = format!("delete network {name}");
    client.change(&doing, Method::DELETE, &["networks", name], &[("project", project)], &Value::Null).await.map(drop)
}

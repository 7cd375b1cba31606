//! The server, its projects, and their profiles.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Client, merge_config};
use crate::types::{Changes, Config, Profile, Project, Server};
use crate::{Error, Result};

pub(crate) async fn server(client: &Client) -> Result<Server> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        api_extensions: Vec<String>,
        environment: Option<Environment>,
    }
    #[derive(Deserialize)]
    struct Environment {
        server_version: String,
    }
    let doing = "ask for the server's version";
    let answer: Answer =
        client.get(doing, &[], &[]).await?.ok_or_else(|| Error::malformed(doing, "there is no /1.0"))?;
    // A server shows its environment only to those it trusts.
    let environment =
        answer.environment.ok_or_else(|| Error::answered(doing, 403, "the server does not trust this client"))?;
    Ok(Server { version: environment.server_version, api_extensions: answer.api_extensions.into_iter().collect() })
}

pub(crate) async fn get(client: &Client, name: &str) -> Result<Option<Project>> {
    client.get(&format!("read project {name}"), &["projects", name], &[]).await
}

pub(crate) async fn create(client: &Client, name: &str, config: Config) -> Result<()> {
    let body = json!({ "name": name, "config": config });
    client.change(&format!("create project {name}"), Method::POST, &["projects"], &[], &body).await.map(drop)
}

pub(crate) async fn patch(client: &Client, name: &str, changes: Changes) -> Result<()> {
    let doing = format!("change project {name}");
    client.update(&doing, &["projects", name], &[], |project| merge_config(project, &changes)).await
}

pub(crate) async fn delete(client: &Client, name: &str) -> Result<()> {
    client
        .change(&format!("delete project {name}"), Method::DELETE, &["projects", name], &[], &Value::Null)
        .await
        .map(drop)
}

pub(crate) async fn profile(client: &Client, project: &str, name: &str) -> Result<Option<Profile>> {
    client.get(&format!("read profile {name}"), &["profiles", name], &[("project", project)]).await
}

pub(crate) async fn profiles(client: &Client, project: &str) -> Result<Vec<Profile>> {
    let query = [("project", project), ("recursion", "1")];
    Ok(client.get(&format!("list the profiles of project {project}"), &["profiles"], &query).await?.unwrap_or_default())
}

pub(crate) async fn create_profile(client: &Client, project: &str, profile: Profile) -> Result<()> {
    let doing = format!("create profile {}", profile.name);
    client.change(&doing, Method::POST, &["profiles"], &[("project", project)], &json!(profile)).await.map(drop)
}

pub(crate) async fn put_profile(client: &Client, project: &str, profile: Profile) -> Result<()> {
    let doing = format!("replace profile {}", profile.name);
    let body = json!({ "description": profile.description, "config": profile.config, "devices": profile.devices });
    client.change(&doing, Method::PUT, &["profiles", &profile.name], &[("project", project)], &body).await.map(drop)
}

pub(crate) async fn patch_profile(client: &Client, project: &str, name: &str, changes: Changes) -> Result<()> {
    let doing = format!("change profile {name}");
    client.update(&doing, &["profiles", name], &[("project", project)], |profile| merge_config(profile, &changes)).await
}

pub(crate) async fn delete_profile(client: &Client, project: &str, name: &str) -> Result<()> {
    let doing = format!("delete profile {name}");
    client.change(&doing, Method::DELETE, &["profiles", name], &[("project", project)], &Value::Null).await.map(drop)
}

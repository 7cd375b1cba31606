use bascule_plan::{LineItem, Plan};
use bascule_spec::{Edge, Instance, Platform, Role, Service};

use super::{put_in_rotation, replicas};
use crate::component::{self, Gates};
use crate::line::{self, Making};
use crate::{Facts, RoleError, common, edge, load_balancer, ops, postgres, redis, store};

/// The whole platform as it is recorded. Replicas of a colour to which nothing was released, or whose last deploy did
/// not end well, or whose release is older than the component itself, get no more than their base; a note on their line
/// says why.
///
/// # Errors
/// An instance without an address, a store that was made of another number of nodes, or a formation of PostgreSQL that nobody made.
pub fn up(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    store::is_as_it_was_made(platform, facts)?;
    postgres::is_where_it_was(platform, facts)?;
    let lines = platform.instances.iter().map(|instance| {
        let mut items = common::steps(platform, facts, instance)?;
        let (more, note) = role_steps(platform, facts, instance)?;
        items.extend(more);
        let mut line = line::line(platform, facts, instance, Making::Missing, items)?;
        line.notes.extend(note);
        Ok(line)
    });
    Ok(line::plan(platform, facts, lines.collect::<Result<_, RoleError>>()?))
}

fn role_steps(
    platform: &Platform,
    facts: &Facts,
    instance: &Instance,
) -> Result<(Vec<LineItem>, Option<String>), RoleError> {
    match &instance.role {
        Role::Plain { .. } => Ok((Vec::new(), None)),
        Role::Ops => Ok((ops::steps(platform, facts)?, None)),
        Role::Redis => {
            let users = released_users(platform, facts, Service::Redis);
            Ok((redis::steps(platform, facts, instance, &users)?, None))
        }
        Role::Postgres | Role::PostgresMonitor => Ok((postgres::steps(platform, facts, instance)?, None)),
        Role::Pooler => Ok((postgres::pooler::steps(platform, facts, instance)?, None)),
        Role::Store | Role::StoreWitness => {
            let users = released_users(platform, facts, Service::Store);
            Ok((store::steps(platform, facts, instance, &users)?, None))
        }
        Role::Edge => Ok((edge::steps(platform, facts, instance)?, None)),
        Role::LoadBalancer => {
            let mut items = load_balancer::steps(platform, facts, instance)?;
            for colour in platform.colours() {
                let released = replicas(platform, facts, *colour).into_iter();
                let released = released.filter(|(_, replica)| component::recorded(facts, replica).is_ok());
                let server = |(component, replica)| (load_balancer::backend(component, *colour), replica);
                items.extend(put_in_rotation(instance, released.map(server)));
            }
            items.extend(load_balancer::address_steps(platform, facts, instance)?);
            // Last: edges wait for the store, for which nobody else should have to.
            let edges = facts.edges_down_first(platform).into_iter().map(|edge| (Edge::NAME.to_owned(), edge));
            items.extend(put_in_rotation(instance, edges));
            Ok((items, None))
        }
        Role::Component { component, .. } => {
            let Some(component) = platform.component(component) else {
                return Ok((Vec::new(), None));
            };
            let mut items = component::base(platform, facts, component, instance)?;
            let release = match component::recorded(facts, instance) {
                Ok(release) => release,
                Err(why) => return Ok((items, Some(why))),
            };
            let load_balancers: Vec<&Instance> = platform.load_balancers().collect();
            let gates = Gates {
                accepted: component::accepting(platform, component),
                health_timeout_ms: platform.release.health_timeout_ms,
                restart_hung: true,
                load_balancers: &load_balancers,
            };
            items.extend(component::release(platform, facts, component, instance, release, &gates)?);
            Ok((items, None))
        }
    }
}

/// The replicas that come to a service with a secret of theirs, as soon as this plan has brought them to their release; and
/// edges and nodes of PostgreSQL, to which nothing is released.
fn released_users<'a>(platform: &'a Platform, facts: &Facts, service: Service) -> Vec<&'a Instance> {
    let uses = platform.instances.iter().filter(|instance| platform.uses(instance, service));
    let is_the_platforms = |role: &Role| matches!(role, Role::Edge | Role::Postgres);
    uses.filter(|instance| is_the_platforms(&instance.role) || component::recorded(facts, instance).is_ok()).collect()
}

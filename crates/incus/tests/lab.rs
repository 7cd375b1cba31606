//! The rules of `conformance` on a real daemon and on the fake, and what only a real one (`daemon`), a scripted
//! one (`stub`) or the fake (`faults`) can show.
//!
//! The real daemon is used when `BASCULE_LAB` is set (`make test` sets it); otherwise those tests say that they were
//! skipped. They live in Incus projects, on a bridge and in a subnet of their own, and first remove what an earlier run
//! that was killed has left.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)]

mod conformance;
mod daemon;
mod faults;
mod https;
mod machines;
mod stub;

use std::sync::Arc;

use bascule_incus::fake::FakeIncus;
use conformance::Ground;
use machines::Machines;

/// Runs a rule on a fake with a fresh world.
async fn on_fake(rule: impl AsyncFnOnce(&Ground<'_>)) {
    let incus = FakeIncus::new(Arc::new(Machines::default())).with_image("base", []);
    let ground = Ground::new(&incus, "base");
    ground.set_up(conformance::config(&[("ipv4.address", "10.99.61.1/24")])).await;
    rule(&ground).await;
    ground.tear_down().await;
    assert_eq!(incus_projects(&ground).await, 0, "a rule left something behind");
}

async fn incus_projects(ground: &Ground<'_>) -> usize {
    let mut found = 0;
    for project in ground.projects {
        found += usize::from(ground.incus.project(project).await.unwrap().is_some());
    }
    found
}

macro_rules! conformance {
    ($($rule:ident),* $(,)?) => {
        mod the_fake {
            use super::*;
            $(#[tokio::test]
            async fn $rule() {
                on_fake(async |ground| conformance::$rule(ground).await).await;
            })*
        }
        mod the_daemon {
            use super::*;
            $(#[tokio::test]
            async fn $rule() {
                daemon::on_lab(async |ground, _| conformance::$rule(ground).await).await;
            })*
        }
        mod the_daemon_over_https {
            use super::*;
            $(#[tokio::test]
            async fn $rule() {
                https::on_lab(async |ground| conformance::$rule(ground).await).await;
            })*
        }
    };
}

conformance! {
    a_project_is_made_once_changed_key_by_key_and_deleted_when_empty,
    a_network_is_made_once_and_not_deleted_while_in_use,
    a_profile_is_made_by_one_of_two_and_replaced_as_a_whole,
    a_volume_is_not_deleted_while_attached,
    an_instance_keeps_the_rules_of_its_states,
    a_command_gets_its_input_and_gives_its_output_and_code,
    a_file_is_pushed_pulled_and_deleted_also_while_stopped,
    a_rebuild_empties_the_root_and_keeps_the_rest,
    a_name_and_an_address_are_unique_on_a_network,
    an_image_is_made_of_a_stopped_instance_only,
    devices_and_keys_are_changed_one_by_one,
}

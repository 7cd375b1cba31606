//! Files, served by nginx.

use bascule_spec::Component;
use minijinja::context;

use crate::RoleError;
use crate::group::{Group, file, running, validated};
use crate::template::render;

const CONFIG: &str = "/etc/nginx/nginx.conf";
const DROP_IN: &str = "/etc/systemd/system/nginx.service.d/bascule.conf";
/// nginx takes the certificate and the key from one file. Named in `nginx.conf`, too.
pub(super) const CERTIFICATE: &str = "/etc/nginx/tls.pem";
const UNIT: &str = "nginx.service";

pub(super) fn base() -> Group {
    let mut group = Group::new("component/base");
    group.packages("install nginx", &["nginx", "libnginx-mod-http-brotli-static"]);
    group
}

pub(super) fn prepare(component: &Component) -> Result<Group, RoleError> {
    let mut group = Group::new("component/unit");
    let context = context! { component => &component.name, port => component.port };
    let config = render("nginx.conf.j2", include_str!("nginx.conf.j2"), context)?;
    group.step("config", "configure nginx", validated(CONFIG, 0o644, config, &["nginx", "-t", "-q", "-c", "{}"]));
    let context = context! { stop_timeout_ms => component.stop_timeout_ms };
    let drop_in = render("nginx.service.j2", include_str!("nginx.service.j2"), context)?;
    group.step("drain", "let nginx finish what it has before it stops", file(DROP_IN, 0o644, drop_in));
    Ok(group)
}

/// nginx looks the current release up for every request: a new one needs no restart and no reload.
pub(super) fn run(group: &mut Group) -> String {
    group.step("run", "run nginx", running(UNIT, &[DROP_IN], &[CONFIG, CERTIFICATE]));
    UNIT.to_owned()
}

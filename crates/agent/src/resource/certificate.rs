use bascule_pki::Judgement;
use bascule_plan::Certificate;

use super::file::{present, replace, verdict};
use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::pending::{Pending, Touches};
use crate::system::Access;

impl Converge for Certificate {
    fn check(&self, cx: &Context<'_>, pending: &Pending) -> Result<Verdict, Failure> {
        let (access, pem) = match present(&self.path, cx, pending)? {
            Ok(present) => present,
            Err(why) => return Ok(Verdict::Differs(why)),
        };
        let (wrong, left_days) = match bascule_pki::judge(&String::from_utf8_lossy(&pem), self, cx.system.unix_s()) {
            Judgement::Right { left_days } => (None, left_days),
            Judgement::Renew(why) => (Some(why), 0),
        };
        Ok(verdict(wrong, &access, &wanted(self), || format!("is good for {left_days} days more")))
    }

    fn apply(&self, cx: &Context<'_>, _: Progress<'_>) -> Result<Applied, Failure> {
        // Where only owner or mode differ, the certificate stays: nobody has to load another one.
        let (_, pem) = present(&self.path, cx, &Pending::default())?.unwrap_or_else(|_| (wanted(self), Vec::new()));
        let there = String::from_utf8_lossy(&pem);
        let is_right = matches!(bascule_pki::judge(&there, self, cx.system.unix_s()), Judgement::Right { .. });
        let pem = if is_right { &there } else { cx.certificate(&self.path)? };
        replace(cx.system, &self.path, pem.as_bytes(), &wanted(self), &[])
    }

    fn expires_s(&self, cx: &Context<'_>) -> Option<u64> {
        let pem = cx.system.read(&self.path).ok()?;
        bascule_pki::expiry(&String::from_utf8_lossy(&pem))
    }

    fn touches(&self) -> Touches {
        Touches::Path(self.path.clone())
    }
}

fn wanted(certificate: &Certificate) -> Access {
    Access { owner: certificate.owner.clone(), group: certificate.group.clone(), mode: certificate.mode }
}

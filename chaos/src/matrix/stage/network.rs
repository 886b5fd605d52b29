//! What a row may do to the ways between its processes and the brokers.

use std::thread::sleep;
use std::time::Duration;

use antiphon_testkit::Way;

use super::Stage;
use crate::Outcome;
use crate::faults::namespace::Harm;
use crate::matrix::ground::Route;
use crate::workers::child::Launch;

/// Which processes take another way than others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::matrix) enum Who {
    #[default]
    All,
    Requesters,
    FirstReplier,
}

impl Stage<'_> {
    /// The way of a process to the brokers.
    pub(super) fn route(&self, is_replier: bool) -> Route {
        let takes = match self.setup.who {
            Who::All => true,
            Who::Requesters => !is_replier,
            Who::FirstReplier => is_replier && self.started == 1,
        };
        if takes { self.setup.route } else { Route::Near }
    }

    /// Where a process is started.
    pub(super) fn launch(&self, is_replier: bool) -> Outcome<Launch> {
        let mut launch = Launch::default();
        if self.route(is_replier) == Route::Far {
            launch.prefix = self.namespace()?.prefix();
        }
        Ok(launch)
    }

    /// Harms the way out of the namespace to a node, or to all, for so long.
    pub(in crate::matrix) fn harm(
        &mut self,
        harm: Harm,
        node: Option<i32>,
        length: Duration,
    ) -> Outcome {
        let ports = self.ground.far_ports(node)?;
        self.namespace()?.harm(harm, &ports)?;
        sleep(length);
        let count = self.namespace()?.heal()?;
        eprintln!("  {harm:?}: {count} packets harmed");
        if count == 0 { Err("no packet met the fault".into()) } else { Ok(()) }
    }

    /// Gives all proxies a bad way for so long.
    pub(in crate::matrix) fn bad_way(&mut self, way: Way, length: Duration) -> Outcome {
        let swallowed = || self.ground.proxies.iter().map(|proxy| proxy.swallowed()).sum::<u64>();
        let before = swallowed();
        for proxy in &self.ground.proxies {
            proxy.set(way);
        }
        sleep(length);
        for proxy in &self.ground.proxies {
            proxy.set(Way::default());
        }
        let count = swallowed() - before;
        if way.swallows {
            eprintln!("  {count} bytes swallowed");
        }
        if way.swallows && count == 0 { Err("no byte met the fault".into()) } else { Ok(()) }
    }

    fn namespace(&self) -> Outcome<&crate::faults::namespace::Namespace> {
        Ok(self.ground.namespace.as_ref().ok_or("there is no network namespace")?)
    }
}

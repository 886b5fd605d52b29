//! A network namespace that processes of a row live in, and what the wire between it and the brokers
//! may do: drop packets, all or some, and reset connections.
//!
//! The namespace has no name, and is there for as long as a process is in it. That process ends when
//! this one does, however it ends, and so nothing is ever left over to be cleaned up.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;

const PROGRAMS: [&str; 4] = ["ip", "nft", "nsenter", "unshare"];
const LIMIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Set aside for tests of networks (RFC 2544): 198.18.0.0/15. A run takes four addresses of it.
const RANGE: u32 = 0xc612_0000;
const PLACES: u32 = 1 << 15;

/// What happens to packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// None passes.
    Cut,
    /// So many of 100 are lost.
    Loss(u32),
    /// So many of 1,000 are answered with a reset, and do not pass.
    Reset(u32),
}

/// A namespace, and the pair of interfaces that is its only way out.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Reads from a pipe of this process: whose end, of whatever kind, is its end too.
    holder: Child,
    host: Ipv4Addr,
}

impl Namespace {
    /// What this machine lacks for one.
    pub(crate) fn lack() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("needs root".to_owned());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let has = |name: &str| std::env::split_paths(&path).any(|at| at.join(name).is_file());
        let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !has(name)).collect();
        (!missing.is_empty()).then(|| format!("needs {}", missing.join(", ")))
    }

    pub(crate) fn new() -> Outcome<Self> {
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let own = std::process::id();
        let first = RANGE + own % PLACES * 4;
        let (host, inside) = (Ipv4Addr::from(first + 1), Ipv4Addr::from(first + 2));
        let namespace = Self { holder, host };
        let process = namespace.holder.id();
        let net = |process: u32| std::fs::read_link(format!("/proc/{process}/ns/net"));
        let until = Instant::now() + LIMIT;
        while net(process)? == net(own)? {
            if Instant::now() > until {
                return Err("no network namespace comes to be".into());
            }
            sleep(LOOK_AGAIN);
        }
        let (near, far) = (format!("anti{own}"), "far");
        let process = process.to_string();
        run(Command::new("ip")
            .args(["link", "add", &near, "type", "veth"])
            .args(["peer", "name", far, "netns", &process]))?;
        run(Command::new("ip").args(["addr", "add", &format!("{host}/30"), "dev", &near]))?;
        run(Command::new("ip").args(["link", "set", &near, "up"]))?;
        run(namespace.inside("ip").args(["addr", "add", &format!("{inside}/30"), "dev", far]))?;
        run(namespace.inside("ip").args(["link", "set", far, "up"]))?;
        run(namespace.inside("ip").args(["link", "set", "lo", "up"]))?;
        Ok(namespace)
    }

    /// The address of this side, where brokers can be reached.
    pub(crate) fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// What comes before a command that is to run inside. It replaces itself by the command, which
    /// so is the process that was started.
    pub(crate) fn prefix(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.holder.id())]
    }

    /// Begins to harm what goes to these ports of this side, and what comes from them.
    pub(crate) fn harm(&self, harm: Harm, ports: &[u16]) -> Outcome {
        let mut nft = self.inside("nft");
        let mut child = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
        child.stdin.take().ok_or("nft has no input")?.write_all(rules(harm, ports).as_bytes())?;
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("nft: {status}").into()) }
    }

    /// Ends that, and tells how many packets were harmed.
    pub(crate) fn heal(&self) -> Outcome<u64> {
        let listed = self.inside("nft").args(["list", "table", "inet", "chaos"]).output()?;
        run(self.inside("nft").args(["delete", "table", "inet", "chaos"]))?;
        Ok(harmed(&String::from_utf8_lossy(&listed.stdout)))
    }

    fn inside(&self, program: &str) -> Command {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and that is well.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn rules(harm: Harm, ports: &[u16]) -> String {
    let what = match harm {
        Harm::Cut => "counter drop".to_owned(),
        Harm::Loss(part) => format!("numgen random mod 100 < {part} counter drop"),
        // A comparison that always holds is refused.
        Harm::Reset(1_000..) => "counter reject with tcp reset".to_owned(),
        Harm::Reset(part) => {
            format!("numgen random mod 1000 < {part} counter reject with tcp reset")
        }
    };
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports = ports.join(", ");
    format!(
        "table inet chaos {{\n\
         chain out {{ type filter hook output priority 0; tcp dport {{ {ports} }} {what}; }}\n\
         chain in {{ type filter hook input priority 0; tcp sport {{ {ports} }} {what}; }}\n\
         }}\n"
    )
}

/// The sum of the counters in a listing.
fn harmed(listing: &str) -> u64 {
    let counts = listing.split("packets ").skip(1);
    counts.filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

fn run(command: &mut Command) -> Outcome {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {}", output.status, said.trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_for_both_directions_of_these_ports() {
        let cut = rules(Harm::Cut, &[7, 8]);
        assert!(cut.contains("output priority 0; tcp dport { 7, 8 } counter drop; }"), "{cut}");
        assert!(cut.contains("input priority 0; tcp sport { 7, 8 } counter drop; }"), "{cut}");
        assert!(rules(Harm::Loss(5), &[7]).contains("mod 100 < 5 counter drop"));
        assert!(rules(Harm::Reset(9), &[7]).contains("mod 1000 < 9 counter reject with tcp reset"));
        assert!(!rules(Harm::Reset(1_000), &[7]).contains("numgen"));
    }

    #[test]
    fn what_was_harmed_is_the_sum_of_both_directions() {
        let listing = "tcp dport 7 counter packets 12 bytes 800 drop\n\
                       tcp sport 7 counter packets 30 bytes 9 drop\n";
        assert_eq!(harmed(listing), 42);
        assert_eq!(harmed(""), 0);
    }
}

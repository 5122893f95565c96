//! A cgroup and a pin directory of our own, removed at the end whatever happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process,
    time::{Duration, Instant},
};

use super::Failure;
use crate::bpf::{
    Attached, Attachment, ForeignSends, KernelError, Loaded, Maps, OPTIONAL_HOOKS, Options,
    detach_all,
    policy::PolicyTables,
    probe::{Host, prepare_pin_dir},
};
use crate::host::process::cgroup_path;
use agent_common::{
    counter::{CounterKey, Counters, Counts},
    event::{Event, EventKind},
    identity::IdentityId,
    inspected::Refusal,
    policy::RuleId,
    settings::{CloseSource, Mode},
};

pub(super) struct Sandbox {
    /// Where this process was before.
    home: PathBuf,
    cgroup: PathBuf,
    made: Vec<PathBuf>,
    options: Options,
    close_source: CloseSource,
    loaded: Option<Loaded>,
    attached: Option<Attached>,
    maps: Option<Maps>,
    /// Why the wanted source of byte counts is not in use.
    close_gap: Option<String>,
    /// Counters when the running check began.
    before: BTreeMap<CounterKey, Counters>,
}

impl Sandbox {
    pub(super) fn new(
        host: &Host,
        mode: Mode,
        close_source: CloseSource,
    ) -> Result<Self, KernelError> {
        let name = format!("weir-selftest-{}", process::id());
        let cgroup = host.cgroup_root.join(&name);
        let pin_dir = PathBuf::from("/sys/fs/bpf").join(&name);
        prepare_pin_dir(&pin_dir)?;
        let own_cgroup = cgroup_path(process::id()).map_err(|source| KernelError::Io {
            path: "/proc/self/cgroup".to_owned(),
            source,
        })?;
        let mut sandbox = Self {
            home: host.cgroup_root.join(own_cgroup.trim_start_matches('/')),
            cgroup: cgroup.clone(),
            made: Vec::new(),
            options: Options {
                pin_dir,
                cgroup: cgroup.clone(),
                scoped: true,
                mode,
                inspect: true,
                arguments: true,
                foreign_sends: ForeignSends {
                    watch: true,
                    // Alone, so that the other is seen, too.
                    lsm: close_source == CloseSource::SockState,
                },
            },
            close_source,
            loaded: None,
            attached: None,
            maps: None,
            close_gap: None,
            before: BTreeMap::new(),
        };
        sandbox.make(cgroup)?;
        sandbox.load()?;
        Ok(sandbox)
    }

    pub(super) fn load(&mut self) -> Result<(), KernelError> {
        let (loaded, maps) = Loaded::load_with(self.options.clone(), self.close_source)?;
        self.close_gap = (loaded.close_source != self.close_source)
            .then(|| loaded.close_fallback.clone().unwrap_or_default());
        self.loaded = Some(loaded);
        self.maps = Some(maps);
        Ok(())
    }

    /// Back to the start, with everything attached and counters from here on.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        join_cgroup(&self.home)?;
        if self.attached.is_none() {
            self.attach()?;
        }
        self.before = self.maps()?.counters.read()?.into_iter().collect();
        self.maps()?.events.take(usize::MAX);
        Ok(())
    }

    /// Says that an identity has spent the budget of a grant until this instant of the boot clock.
    pub(super) fn set_spent(
        &mut self,
        identity: IdentityId,
        grant: RuleId,
        until_ns: Option<u64>,
    ) -> Result<(), Failure> {
        let policy = &mut self.maps()?.policy;
        policy
            .set_spent(identity, grant, until_ns)
            .map_err(Into::into)
    }

    /// Windows of limits that are not over at `now_ns`; the others are forgotten.
    pub(super) fn windows_at(&mut self, now_ns: u64) -> Result<usize, Failure> {
        let policy = &mut self.maps()?.policy;
        policy.forget_past_windows(now_ns).map_err(Into::into)
    }

    /// The events of one kind since the check began, or since they were asked for.
    pub(super) fn told(&mut self, kind: EventKind) -> Result<Vec<Event>, Failure> {
        let events = self.maps()?.events.take(usize::MAX).into_iter();
        Ok(events.filter(|event| event.kind() == Some(kind)).collect())
    }

    pub(super) fn install(&mut self, tables: &PolicyTables) -> Result<(), Failure> {
        self.maps()?.policy.install(tables).map_err(Into::into)
    }

    pub(super) fn believe(&mut self, resolvers: &BTreeSet<IpAddr>) -> Result<(), Failure> {
        let trusted = resolvers
            .iter()
            .map(|resolver| (*resolver, false))
            .collect();
        self.maps()?.resolvers.replace(&trusted).map_err(Into::into)
    }

    pub(super) fn attach(&mut self) -> Result<(), Failure> {
        let loaded = self.loaded.as_mut().ok_or("nothing is loaded")?;
        let attached = loaded.attach()?;
        for hook in &attached.coverage {
            let is_optional = OPTIONAL_HOOKS.contains(&hook.program);
            if let Err(why) = &hook.attachment
                && !is_optional
            {
                return Err(format!("{}: {why}", hook.program).into());
            }
        }
        self.attached = Some(attached);
        Ok(())
    }

    /// Lets go of everything, as a killed agent does.
    pub(super) fn forget(&mut self) {
        self.loaded = None;
        self.attached = None;
        self.maps = None;
    }

    pub(super) fn all_adopted(&self) -> bool {
        self.attached.as_ref().is_some_and(|attached| {
            attached
                .coverage
                .iter()
                .filter(|hook| hook.attachment.is_ok() || !OPTIONAL_HOOKS.contains(&hook.program))
                .all(|hook| hook.attachment == Ok(Attachment::Adopted))
        })
    }

    /// Why `program` is not in force.
    pub(super) fn gap(&self, program: &str) -> Result<(), String> {
        let hooks = self.attached.iter().flat_map(|attached| &attached.coverage);
        let mut hooks = hooks.filter(|hook| hook.program == program);
        match hooks.next() {
            Some(hook) => hook.attachment.clone().map(drop),
            None => Err("not attached".to_owned()),
        }
    }

    /// Connections that are to be ended.
    pub(super) fn refusals(&mut self) -> Result<Vec<Refusal>, Failure> {
        let ring = self.maps()?.refusals.as_mut().ok_or("the ring is taken")?;
        Ok(std::iter::from_fn(|| ring.take()).collect())
    }

    pub(super) fn close_gap(&self) -> Option<String> {
        self.close_gap.clone()
    }

    pub(super) fn name(&mut self, child: &str, identity: IdentityId) -> Result<(), Failure> {
        let path = self.cgroup.join(child);
        self.make(path.clone())?;
        let id = fs::metadata(&path)?.ino();
        self.maps()?
            .identities
            .set(id, identity)
            .map_err(Into::into)
    }

    /// Moves this process into a child cgroup that has `identity`.
    pub(super) fn enter(&mut self, child: &str, identity: IdentityId) -> Result<(), Failure> {
        self.name(child, identity)?;
        self.enter_unnamed(child)
    }

    pub(super) fn enter_unnamed(&mut self, child: &str) -> Result<(), Failure> {
        let mut path = self.cgroup.clone();
        for part in child.split('/') {
            path.push(part);
            self.make(path.clone())?;
        }
        join_cgroup(&path).map_err(Into::into)
    }

    pub(super) fn counters(&mut self, key: CounterKey) -> Result<Counts, Failure> {
        let rows = self.maps()?.counters.read()?;
        let row = rows.iter().find(|(known, _)| *known == key);
        let now = row.map_or(Counts::ZERO, |(_, counters)| counters.counts);
        let before = self.before.get(&key);
        Ok(now.since(&before.map_or(Counts::ZERO, |counters| counters.counts)))
    }

    pub(super) fn eventually(
        &mut self,
        key: CounterKey,
        done: impl Fn(&Counts) -> bool,
    ) -> Result<Counts, Failure> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let counters = self.counters(key)?;
            if done(&counters) || Instant::now() > deadline {
                return Ok(counters);
            }
            pause(Duration::from_millis(5));
        }
    }

    fn maps(&mut self) -> Result<&mut Maps, Failure> {
        self.maps.as_mut().ok_or_else(|| "nothing is loaded".into())
    }

    fn make(&mut self, path: PathBuf) -> Result<(), KernelError> {
        if path.exists() {
            return Ok(());
        }
        fs::create_dir(&path).map_err(|source| KernelError::Io {
            path: path.display().to_string(),
            source,
        })?;
        self.made.push(path);
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.forget();
        // Everything is tried; a remainder shows up as a failure of the next check.
        let _ = join_cgroup(&self.home);
        let _ = detach_all(&self.options.pin_dir);
        for path in self.made.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Waits a little for something that only polling can show.
#[expect(
    clippy::disallowed_methods,
    reason = "the caller's loop has a deadline"
)]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Sends `out` bytes to a server and receives `back`, closing in order on both sides.
pub(super) fn exchange(
    listener: &TcpListener,
    address: SocketAddr,
    out: usize,
    back: usize,
) -> Result<(), Failure> {
    let listener = listener.try_clone()?;
    let server = std::thread::spawn(move || -> std::io::Result<usize> {
        let (mut stream, _) = listener.accept()?;
        let received = stream.read_to_end(&mut Vec::new())?;
        stream.write_all(&vec![7; back])?;
        Ok(received)
    });
    let mut client = TcpStream::connect(address)?;
    client.write_all(&vec![1; out])?;
    client.shutdown(Shutdown::Write)?;
    let received = client.read_to_end(&mut Vec::new())?;
    let arrived = server.join().map_err(|_| "the server thread panicked")??;
    super::expect("bytes at the far ends", (arrived, received), (out, back))
}

fn join_cgroup(path: &std::path::Path) -> std::io::Result<()> {
    fs::write(path.join("cgroup.procs"), process::id().to_string())
}

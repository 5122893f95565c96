//! What the kernel remembers of processes, living and ended.

use agent_common::{
    abi::map,
    process::{ExeKey, ExePath, Process, ProcessText},
};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};

use super::{KernelError, errno, load::take};

pub struct ProcessMaps {
    living: HashMap<MapData, u32, Process>,
    ended: HashMap<MapData, u32, Process>,
    exes: HashMap<MapData, ExeKey, ExePath>,
    scripts: HashMap<MapData, u32, ProcessText>,
    arguments: HashMap<MapData, u32, ProcessText>,
}

impl ProcessMaps {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        Ok(Self {
            living: open(ebpf, map::PROCESSES)?,
            ended: open(ebpf, map::ENDED)?,
            exes: open(ebpf, map::EXES)?,
            scripts: open(ebpf, map::SCRIPTS)?,
            arguments: open(ebpf, map::ARGUMENTS)?,
        })
    }

    /// The process that had the number `id` at `at_ns`.
    #[must_use]
    pub fn at(&self, id: u32, at_ns: u64) -> Option<Process> {
        let known = [&self.living, &self.ended];
        known
            .into_iter()
            .filter_map(|map| map.get(&id, 0).ok())
            .find(|process| process.lived_at(at_ns))
    }

    /// The process that has the number `id` now.
    #[must_use]
    pub fn living(&self, id: u32) -> Option<Process> {
        self.living.get(&id, 0).ok()
    }

    /// The process of this number that was forked at `start_ns`, if it is still remembered.
    #[must_use]
    pub fn started_at(&self, id: u32, start_ns: u64) -> Option<Process> {
        let known = [&self.living, &self.ended];
        known
            .into_iter()
            .filter_map(|map| map.get(&id, 0).ok())
            .find(|process| process.start_ns == start_ns)
    }

    /// Adds a process that was there before the hooks were.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; one that it knows already is no error.
    pub fn add(&mut self, id: u32, process: &Process) -> Result<(), KernelError> {
        const BPF_NOEXIST: u64 = 1;
        match self.living.insert(id, process, BPF_NOEXIST) {
            Err(source) if errno(&source) != Some(libc::EEXIST) => {
                Err(KernelError::map(map::PROCESSES, "insert", source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The numbers of all that live, as far as the hooks have told.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        // What cannot be read is looked for the next time.
        self.living.keys().flatten().collect()
    }

    /// Forgets a process that ended while no hook was there to tell.
    pub fn forget(&mut self, id: u32) {
        // One that has just ended is gone already.
        let _ = self.living.remove(&id);
    }

    /// Where the executable was when it was last started, as its users saw it.
    #[must_use]
    pub fn exe_path(&self, key: &ExeKey) -> Option<String> {
        self.exes.get(key, 0).ok().as_ref().and_then(path)
    }

    /// The script that the process was started as.
    #[must_use]
    pub fn script(&self, id: u32, process: &Process) -> Option<String> {
        if process.flags & Process::SCRIPT == 0 {
            return None;
        }
        let found = text(self.scripts.get(&id, 0).ok()?, process)?;
        Some(String::from_utf8_lossy(&found).into_owned())
    }

    /// The first bytes of the arguments of the process, if they are kept.
    #[must_use]
    pub fn arguments(&self, id: u32, process: &Process) -> Option<Vec<String>> {
        let found = text(self.arguments.get(&id, 0).ok()?, process)?;
        let found = found.strip_suffix(&[0]).unwrap_or(&found);
        let parts = found.split(|byte| *byte == 0);
        Some(
            parts
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect(),
        )
    }
}

fn open<K: aya::Pod, V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<HashMap<MapData, K, V>, KernelError> {
    HashMap::try_from(take(ebpf, name)?).map_err(|source| KernelError::map(name, "open", source))
}

/// The text, if it belongs to what the process runs now.
fn text(text: ProcessText, process: &Process) -> Option<Vec<u8>> {
    if text.exec_ns != process.exec_ns {
        return None;
    }
    text.bytes.get(..text.len as usize).map(<[u8]>::to_vec)
}

/// Names from the file up to the root, turned round.
fn path(path: &ExePath) -> Option<String> {
    let bytes = path.names.get(..path.len as usize)?;
    let names: Vec<_> = bytes
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    if names.is_empty() {
        return None;
    }
    let mut text = if path.truncated == 0 { "" } else { "…" }.to_owned();
    for name in names.iter().rev() {
        text.push('/');
        text.push_str(name);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use agent_common::process::PATH_LEN;

    use super::*;

    fn exe(names: &[u8], truncated: u32) -> ExePath {
        let mut path = ExePath {
            changed_s: 0,
            changed_ns: 0,
            len: names.len() as u32,
            truncated,
            _pad: 0,
            names: [0; PATH_LEN],
        };
        path.names[..names.len()].copy_from_slice(names);
        path
    }

    #[test]
    fn names_are_turned_round() {
        let whole = path(&exe(b"python3\0bin\0usr\0", 0));
        assert_eq!(whole.as_deref(), Some("/usr/bin/python3"));
        let cut = path(&exe(b"x\0deep\0", 1));
        assert_eq!(cut.as_deref(), Some("…/deep/x"));
        assert_eq!(path(&exe(b"", 0)), None);
    }

    #[test]
    fn a_text_of_an_earlier_program_is_not_believed() {
        let mut bytes = [0; agent_common::process::TEXT_LEN];
        bytes[..3].copy_from_slice(b"a.p");
        let kept = ProcessText {
            exec_ns: 7,
            len: 3,
            _pad: 0,
            bytes,
        };
        let process = |exec_ns| Process {
            exec_ns,
            ..Process::ZERO
        };
        assert_eq!(text(kept, &process(7)).as_deref(), Some(&b"a.p"[..]));
        assert_eq!(text(kept, &process(8)), None);
    }
}

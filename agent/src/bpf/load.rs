//! Creates or adopts the maps and gets the programs past the verifier. Attaches nothing.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    fs,
    hash::{BuildHasher, Hasher},
    path::{Path, PathBuf},
};

use agent_common::{
    abi::{self, global, map, program},
    settings::{CloseSource, Offsets, Settings, config},
};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, MapData, MapInfo},
    programs::{BtfTracePoint, CgroupSock, CgroupSockAddr, SockOps},
};

mod packet_hooks;
mod tracing_hooks;

pub(super) use self::packet_hooks::{CALL_HOOKS, NAME_HOOKS};
pub use self::tracing_hooks::OPTIONAL_HOOKS;
pub(super) use self::tracing_hooks::WORKLOAD_HOOKS;

use super::{
    ForeignSends, KernelError, Maps, Options,
    btf::{self, KernelTypes},
    cgroups::CgroupRing,
    classes::ClassMaps,
    counters::CounterMaps,
    events::EventRing,
    identities::IdentityMap,
    learned::LearnedMaps,
    paths::PathMap,
    policy::PolicyMaps,
    processes::ProcessMaps,
    refusals::RefusalRing,
    resolvers::ResolverMap,
};

use crate::error_chain;

/// The object that `cargo xtask build` compiled.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weir-ebpf.o"));

/// Programs that every agent needs.
pub(super) const DECISION_HOOKS: [&str; 4] = [
    program::CONNECT4,
    program::CONNECT6,
    program::SENDMSG4,
    program::SENDMSG6,
];

/// Programs in the kernel, verified, not yet attached.
pub struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) options: Options,
    pub(super) config: Array<MapData, u64>,
    pub(super) close_id: u32,
    pub close_source: CloseSource,
    /// Why a better close source is not in use.
    pub close_fallback: Option<String>,
    /// Whether names are found out in the kernel; else why not.
    pub inspection: Result<(), String>,
    /// Whether calls are counted in the kernel; else why not.
    pub counting: Result<(), String>,
    /// Whether sockets that nothing else can judge are refused; else why not.
    pub raw_sockets: Result<(), String>,
    /// Which of [`WORKLOAD_HOOKS`] and [`OPTIONAL_HOOKS`] are loaded; else why not.
    pub tracing_hooks: BTreeMap<&'static str, Result<(), String>>,
}

impl Loaded {
    /// Loads the programs with `options` built into them and opens the maps.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a decision hook or a map; the close hook falls back instead.
    pub fn load(options: Options) -> Result<(Self, Maps), KernelError> {
        Self::load_with(options, CloseSource::SockState)
    }

    /// Like [`Loaded::load`], but tries `close_source` first.
    ///
    /// # Errors
    ///
    /// As [`Loaded::load`].
    pub fn load_with(
        options: Options,
        close_source: CloseSource,
    ) -> Result<(Self, Maps), KernelError> {
        if !options.inspect {
            let reason = packet_hooks::SWITCHED_OFF.to_owned();
            return Self::load_programs(options, close_source, Err(reason));
        }
        match Self::load_programs(options.clone(), close_source, Ok(())) {
            Err(KernelError::LoadProgram { program, source }) if NAME_HOOKS.contains(&program) => {
                let reason = error_chain(&source);
                tracing::warn!(program, reason, "names are not found out in the kernel");
                Self::load_programs(options, close_source, Err(reason))
            }
            other => other,
        }
    }

    fn load_programs(
        options: Options,
        close_source: CloseSource,
        inspection: Result<(), String>,
    ) -> Result<(Self, Maps), KernelError> {
        let build = Build {
            close_id: random() as u32 | 1,
            inspects: inspection.is_ok(),
        };
        let types = btf::kernel_types().map_err(|error| error_chain(&error));
        let tracepoint = match close_source {
            CloseSource::SockState => load_with_tracepoint(&options, build, &types),
            CloseSource::SockOps | CloseSource::None => Err("not asked for".to_owned()),
        };
        let (mut ebpf, close_source, close_fallback) = match tracepoint {
            Ok(ebpf) => (ebpf, CloseSource::SockState, None),
            Err(reason) => {
                let ebpf = load_with_sock_ops(&options, build, &types)?;
                (ebpf, CloseSource::SockOps, Some(reason))
            }
        };
        let close_id = build.close_id;
        if build.inspects {
            packet_hooks::load(&mut ebpf, NAME_HOOKS)?;
        }
        let counting = packet_hooks::load_counting(&mut ebpf, options.inspect);
        for hook in DECISION_HOOKS {
            let program: &mut CgroupSockAddr = typed(&mut ebpf, hook)?;
            program
                .load()
                .map_err(|source| program_error(hook, source))?;
        }
        let raw_sockets = load_sock_create(&mut ebpf);
        let mut tracing_hooks = tracing_hooks::load_workload_hooks(&mut ebpf, &types);
        tracing_hooks.extend(tracing_hooks::load_optional_hooks(
            &mut ebpf,
            &types,
            options.foreign_sends,
        ));
        let mut config = Array::try_from(take(&mut ebpf, map::CONFIG)?)
            .map_err(|source| KernelError::map(map::CONFIG, "open", source))?;
        let maps = Maps {
            generation: generation(&mut config)?,
            policy: PolicyMaps::open(&mut ebpf, map_dir(&options.pin_dir))?,
            identities: IdentityMap::open(&mut ebpf)?,
            counters: CounterMaps::open(&mut ebpf)?,
            events: EventRing::open(&mut ebpf)?,
            resolvers: ResolverMap::open(&mut ebpf)?,
            learned: LearnedMaps::open(&mut ebpf)?,
            refusals: Some(RefusalRing::open(&mut ebpf)?),
            cgroups: Some(CgroupRing::open(&mut ebpf)?),
            paths: PathMap::open(&mut ebpf)?,
            processes: ProcessMaps::open(&mut ebpf)?,
            classes: ClassMaps::open(&mut ebpf)?,
        };
        let loaded = Self {
            ebpf,
            options,
            config,
            close_id,
            close_source,
            close_fallback,
            inspection,
            counting,
            raw_sockets,
            tracing_hooks,
        };
        Ok((loaded, maps))
    }
}

/// What is built into the programs beside the options.
#[derive(Clone, Copy)]
struct Build {
    close_id: u32,
    inspects: bool,
}

fn load_with_tracepoint(
    options: &Options,
    build: Build,
    types: &Result<KernelTypes, String>,
) -> Result<Ebpf, String> {
    let types = types.as_ref().map_err(Clone::clone)?;
    if let Err(error) = &types.sockets {
        return Err(error_chain(error));
    }
    let mut ebpf = load_object(options, CloseSource::SockState, build, types.offsets)
        .map_err(|error| error_chain(&error))?;
    let types = Btf::from_sys_fs().map_err(|error| error_chain(&error))?;
    let program: &mut BtfTracePoint =
        typed(&mut ebpf, program::SOCK_STATE).map_err(|error| error_chain(&error))?;
    program
        .load("inet_sock_set_state", &types)
        .map_err(|error| error_chain(&error))?;
    Ok(ebpf)
}

fn load_with_sock_ops(
    options: &Options,
    build: Build,
    types: &Result<KernelTypes, String>,
) -> Result<Ebpf, KernelError> {
    // Without them answers of the DNS are hints only.
    let offsets = types.as_ref().map_or(Offsets::ZERO, |types| types.offsets);
    let mut ebpf = load_object(options, CloseSource::SockOps, build, offsets)?;
    let program: &mut SockOps = typed(&mut ebpf, program::SOCK_OPS)?;
    program
        .load()
        .map_err(|source| program_error(program::SOCK_OPS, source))?;
    Ok(ebpf)
}

/// What cannot be judged is a gap in coverage.
fn load_sock_create(ebpf: &mut Ebpf) -> Result<(), String> {
    let hook = program::SOCK_CREATE;
    let program: &mut CgroupSock = typed(ebpf, hook).map_err(|error| error_chain(&error))?;
    program.load().map_err(|source| {
        let reason = error_chain(&program_error(hook, source));
        tracing::warn!(reason, "raw sockets are not judged");
        reason
    })
}

fn load_object(
    options: &Options,
    close_source: CloseSource,
    build: Build,
    offsets: Offsets,
) -> Result<Ebpf, KernelError> {
    let directory = map_dir(&options.pin_dir);
    fs::create_dir_all(&directory).map_err(|source| KernelError::io(&directory, source))?;
    let settings = Settings {
        mode: options.mode as u32,
        close_source: close_source as u32,
        scoped: u32::from(options.scoped),
        close_id: build.close_id,
        inspects: u32::from(build.inspects),
        netns: own_namespace(),
        arguments: u32::from(options.arguments),
    };
    let mut loader = EbpfLoader::new();
    loader
        .override_global(global::SETTINGS, &settings, true)
        .override_global(global::OFFSETS, &offsets, true);
    if options.foreign_sends == ForeignSends::default() {
        loader.map_max_entries(map::FOREIGN, 1);
    }
    for name in map::ALL {
        // Open connections are only worth memory, and a life beyond the agent, where the close hook
        // cannot find out by itself what was decided.
        if name == map::OPEN && close_source != CloseSource::SockOps && !build.inspects {
            loader.map_max_entries(map::OPEN, 1);
            continue;
        }
        if name == map::ARGUMENTS && !options.arguments {
            loader.map_max_entries(map::ARGUMENTS, 1);
            continue;
        }
        let path = directory.join(name);
        check_layout(name, &path)?;
        loader.map_pin_path(name, path);
    }
    loader
        .load(OBJECT)
        .map_err(|source| KernelError::Load(Box::new(source)))
}

/// Maps of another layout version live in another directory and are never opened.
pub(super) fn map_dir(pin_dir: &Path) -> PathBuf {
    pin_dir.join(format!("maps-{}", abi::VERSION))
}

/// A pinned map is adopted as it is, so it must be what this program expects.
fn check_layout(name: &'static str, path: &Path) -> Result<(), KernelError> {
    if !path.exists() {
        return Ok(());
    }
    let info = MapInfo::from_pin(path).map_err(|source| KernelError::map(name, "adopt", source))?;
    let Some((key, value)) = sizes(name) else {
        return Ok(());
    };
    if (info.key_size(), info.value_size()) == (key, value) {
        return Ok(());
    }
    Err(KernelError::Unsuitable(format!(
        "the map pinned at `{}` has another layout: run `weir detach` and start again",
        path.display()
    )))
}

/// Key and value size in bytes; `None` for the ring, which has neither.
fn sizes(name: &str) -> Option<(u32, u32)> {
    use agent_common::{
        address::Address,
        calls::Calls,
        cgroup::CgroupPath,
        counter::{CounterKey, Counters},
        destination::{AddressKey, Destination, PrefixKey},
        identity::CgroupIdentity,
        inspected::Inspected,
        learned::{Learned, LearnedKey},
        limit::{Limit, UsedKey},
        live::Live,
        name::{NameKey, NameNode},
        open::OpenConnection,
        policy::{RuleEntry, RuleKey},
        process::{ExeKey, ExePath, NarrowKey, Process, ProcessText},
    };
    let (key, value) = match name {
        map::ADDRESSES => (size_of::<AddressKey>(), size_of::<Destination>()),
        map::CALLS => (4, size_of::<Calls>()),
        map::CONFIG | map::LOSSES => (4, 8),
        map::COUNTERS => (size_of::<CounterKey>(), size_of::<Counters>()),
        map::IDENTITIES => (8, size_of::<CgroupIdentity>()),
        map::INSPECTED => (4, size_of::<Inspected>()),
        map::ACCOUNTS | map::CROWDED => (4, 4),
        map::LIMITS => (4, size_of::<Limit>()),
        map::USED => (size_of::<UsedKey>(), 8),
        map::LIVE => (4, size_of::<Live>()),
        map::LEARNED => (size_of::<LearnedKey>(), size_of::<Learned>()),
        map::NAMES => (size_of::<NameKey>(), size_of::<NameNode>()),
        map::ORDINARY => (size_of::<Address>(), 8),
        map::RESOLVERS => (size_of::<Address>(), 4),
        map::OPEN => (8, size_of::<OpenConnection>()),
        map::PREFIXES => (4 + size_of::<PrefixKey>(), size_of::<Destination>()),
        map::ARGUMENTS | map::SCRIPTS => (4, size_of::<ProcessText>()),
        map::ENDED | map::PROCESSES => (4, size_of::<Process>()),
        map::EXE_CLASSES => (size_of::<ExeKey>(), 4),
        map::EXES => (size_of::<ExeKey>(), size_of::<ExePath>()),
        map::NARROWED => (size_of::<NarrowKey>(), 4),
        map::PATHS => (size_of::<CgroupPath>(), 4),
        map::PRESENT | map::USER_CLASSES => (4, 4),
        map::RULES => (size_of::<RuleKey>(), size_of::<RuleEntry>()),
        _ => return None,
    };
    Some((key as u32, value as u32))
}

/// Inode of this thread's network namespace; 0, which none has, if it cannot be told.
fn own_namespace() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/thread-self/ns/net").map_or(0, |namespace| namespace.ino() as u32)
}

/// The number of this set of maps; a new set gets a new one.
fn generation(config: &mut Array<MapData, u64>) -> Result<u64, KernelError> {
    let known = config
        .get(&config::GENERATION, 0)
        .map_err(|source| KernelError::map(map::CONFIG, "read", source))?;
    if known != 0 {
        return Ok(known);
    }
    // SQLite keeps it in a signed column.
    let fresh = (random() >> 1) | 1;
    config
        .set(config::GENERATION, fresh, 0)
        .map_err(|source| KernelError::map(map::CONFIG, "write", source))?;
    Ok(fresh)
}

/// A number that differs from run to run; the standard library seeds its hashers from the kernel.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, KernelError> {
    ebpf.take_map(name)
        .ok_or_else(|| KernelError::Unsuitable(format!("the kernel object has no map `{name}`")))
}

/// The program called `name`, as its type.
pub(super) fn typed<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, KernelError>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| {
            KernelError::Unsuitable(format!("the kernel object has no program `{name}`"))
        })?
        .try_into()
        .map_err(|source| program_error(name, source))
}

fn program_error(program: &'static str, source: aya::programs::ProgramError) -> KernelError {
    if let aya::programs::ProgramError::LoadError { verifier_log, .. } = &source {
        tracing::debug!(program, %verifier_log, "the kernel refused");
    }
    KernelError::LoadProgram {
        program,
        source: Box::new(source),
    }
}

//! Cgroups: below the own one, beside it, and those of entitled workloads.

use std::{
    fs, io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::Pid,
};

use super::{
    ROOT, Technique,
    scene::{MODEL, Scene, any, enter},
    sys::{ask, check, connected, leave, spawn, wait},
};

pub(super) const LIST: &[Technique] = &[
    Technique::new("cgroup-child", "a child of its own", |scene| {
        from_new(scene, "child")
    }),
    Technique::new("cgroup-deep", "a cgroup forty levels down", |scene| {
        from_new(scene, &["d"; 40].join("/"))
    }),
    Technique::new(
        "cgroup-name",
        "a child with the name of an entitled unit",
        |scene| from_new(scene, "system.slice/granted.service"),
    ),
    Technique::new(
        "cgroup-clone",
        "a process that begins in a child (`CLONE_INTO_CGROUP`)",
        |scene| {
            let child = make(&scene.own().join("born"))?;
            born_in(scene, &child)
        },
    ),
    Technique::new(
        "cgroup-race",
        "calls at once from cgroups that nobody has named yet",
        race,
    ),
    Technique::new("cgroup-threaded", "a thread in a threaded cgroup", threaded),
    Technique::new("cgroup-namespace", "a cgroup namespace", |scene| {
        unshare(CloneFlags::CLONE_NEWCGROUP)?;
        call(scene)
    }),
    Technique::new("cgroup-anew", "its own cgroup, removed and made anew", anew),
    Technique::new("cgroup-sibling", "a new cgroup beside its own", |scene| {
        let name = format!("beside-{}", scene.text());
        entering(scene, &make(&parent(scene)?.join(name))?)
    }),
    Technique::new("cgroup-parent", "its parent", |scene| {
        entering(scene, parent(scene)?)
    }),
    Technique::new("cgroup-move", "moves into an entitled workload", |scene| {
        entering(scene, scene.out())
    })
    .limit(ROOT),
    Technique::new(
        "cgroup-move-thread",
        "moves by a thread's number",
        |scene| {
            let thread = nix::unistd::gettid().to_string();
            fs::write(scene.out().join("cgroup.procs"), thread)?;
            call(scene)
        },
    )
    .limit(ROOT),
    Technique::new(
        "cgroup-clone-out",
        "a process that begins in an entitled workload",
        |scene| born_in(scene, scene.out()),
    )
    .limit(ROOT),
    Technique::new(
        "cgroup-remount",
        "moves through a mount of its own",
        remounted,
    )
    .limit(ROOT),
    Technique::new(
        "cgroup-below",
        "a child that it makes below an entitled workload",
        |scene| {
            let name = format!("below-{}", scene.text());
            entering(scene, &make(&scene.out().join(name))?)
        },
    )
    .limit(ROOT),
];

fn call(scene: &Scene) -> io::Result<()> {
    ask(&connected(any(MODEL)?)?, scene.token())
}

fn make(cgroup: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(cgroup)?;
    Ok(cgroup.to_owned())
}

fn parent(scene: &Scene) -> io::Result<&Path> {
    scene.own().parent().ok_or(io::ErrorKind::NotFound.into())
}

fn entering(scene: &Scene, cgroup: impl AsRef<Path>) -> io::Result<()> {
    enter(cgroup.as_ref())?;
    call(scene)
}

fn from_new(scene: &Scene, name: &str) -> io::Result<()> {
    entering(scene, make(&scene.own().join(name))?)
}

fn born_in(scene: &Scene, cgroup: &Path) -> io::Result<()> {
    /// Of `linux/sched.h`; that of the library has too narrow a type.
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    let directory = fs::File::open(cgroup)?;
    // SAFETY: all zero is valid: integers only.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = directory.as_raw_fd() as u64;
    // SAFETY: a fork of a process of one thread: no stack and no memory is shared.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    match check(child as isize)? {
        0 => leave(call(scene)),
        child => wait(Pid::from_raw(child as i32)),
    }
}

/// Any one that comes through is enough.
fn race(scene: &Scene) -> io::Result<()> {
    let mut last = Ok(());
    for number in 0..30 {
        let child = make(&scene.own().join(format!("race-{number}")))?;
        last = born_in(scene, &child);
        if last.is_ok() {
            return last;
        }
    }
    last
}

fn threaded(scene: &Scene) -> io::Result<()> {
    let child = make(&scene.own().join("threaded"))?;
    fs::write(child.join("cgroup.type"), "threaded")?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let number = nix::unistd::gettid().to_string();
            fs::write(child.join("cgroup.threads"), number)?;
            call(scene)
        });
        thread
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))?
    })
}

fn anew(scene: &Scene) -> io::Result<()> {
    enter(parent(scene)?)?;
    fs::remove_dir(scene.own())?;
    make(scene.own())?;
    entering(scene, scene.own())
}

fn remounted(scene: &Scene) -> io::Result<()> {
    wait(spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let place = tempfile::tempdir()?;
        mount(
            Some("cgroup2"),
            place.path(),
            Some("cgroup2"),
            MsFlags::empty(),
            none,
        )?;
        let root = weir::bpf::probe::cgroup_root().map_err(io::Error::other)?;
        let path = scene.out().strip_prefix(&root).map_err(io::Error::other)?;
        let result = entering(scene, place.path().join(path));
        nix::mount::umount(place.path())?;
        result
    })?)
}

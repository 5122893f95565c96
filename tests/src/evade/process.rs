//! Who calls: other users, threads and namespaces, programs without a file, code in others.

use std::{
    fs,
    io::{self, Error},
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::wait::waitpid,
    unistd::{Pid, Uid, chroot, setresuid, setsid},
};

use super::{
    HELPER, Technique,
    scene::{MODEL, PLAIN, Scene, any, v4},
    sys::{answer, ask, check, connected, leave, spawn, tcp, wait},
};

pub(super) const LIST: &[Technique] = &[
    Technique::new("process-user", "as another user", |scene| {
        let nobody = Uid::from_raw(65534);
        setresuid(nobody, nobody, nobody)?;
        call(scene)
    }),
    Technique::new(
        "process-user-namespace",
        "root of a user namespace",
        |scene| {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            call(scene)
        },
    ),
    Technique::new(
        "process-pid-namespace",
        "the first process of a PID namespace",
        |scene| {
            unshare(CloneFlags::CLONE_NEWPID)?;
            wait(spawn(|| call(scene))?)
        },
    ),
    Technique::new(
        "process-thread",
        "a thread that is not the first",
        |scene| {
            thread::scope(|scope| {
                let calling = scope.spawn(|| call(scene));
                calling
                    .join()
                    .map_err(|_| Error::other("a thread panicked"))?
            })
        },
    ),
    Technique::new("process-orphan", "a daemon, forked twice", orphan),
    Technique::new(
        "process-gone",
        "a process that ends before its data leaves",
        gone,
    ),
    Technique::new("process-chroot", "below another root", |scene| {
        chroot("/proc")?;
        call(scene)
    }),
    Technique::new(
        "process-memory",
        "a program that is in no file system",
        from_memory,
    ),
    Technique::new(
        "process-copy",
        "a copy of a program under another name",
        copied,
    ),
    Technique::new(
        "process-32",
        "system calls of 32 bits (`int 0x80`)",
        compat::call,
    ),
    Technique::new(
        "process-flip",
        "an address that another thread changes meanwhile",
        flipped,
    ),
    Technique::new(
        "process-injected",
        "code that it makes an entitled process run (`ptrace`)",
        injected,
    )
    .limit(HELPER),
];

fn call(scene: &Scene) -> io::Result<()> {
    ask(&connected(any(MODEL)?)?, scene.token())
}

fn orphan(scene: &Scene) -> io::Result<()> {
    wait(spawn(|| {
        setsid()?;
        spawn(|| call(scene)).map(drop)
    })?)
}

fn gone(scene: &Scene) -> io::Result<()> {
    wait(spawn(|| {
        let to = any(MODEL)?;
        tcp(to)?
            .send_to_with_flags(scene.token(), &to.into(), libc::MSG_FASTOPEN)
            .map(drop)
    })?)
}

/// This program again, which then calls.
fn again(scene: &Scene, program: &str) -> io::Result<()> {
    let mut command = Command::new(program);
    command
        .args(["attempt", "tcp4", scene.text()])
        .arg(scene.own())
        .arg(scene.out());
    Err(command.exec())
}

fn from_memory(scene: &Scene) -> io::Result<()> {
    let image = super::sys::file_with(&fs::read("/proc/self/exe")?)?;
    again(scene, &format!("/proc/self/fd/{}", image.as_raw_fd()))
}

fn copied(scene: &Scene) -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let copy = place.path().join("systemd-resolved");
    fs::copy("/proc/self/exe", &copy)?;
    wait(spawn(|| again(scene, &copy.display().to_string()))?)
}

/// Any connection that leads to the model is enough.
fn flipped(scene: &Scene) -> io::Result<()> {
    let octets = |text: &str| -> io::Result<u64> {
        let to = v4(text)?;
        let family = (libc::AF_INET as u16).to_ne_bytes();
        let [a, b, c, d] = to.ip().octets();
        let [high, low] = to.port().to_be_bytes();
        Ok(u64::from_ne_bytes([
            family[0], family[1], high, low, a, b, c, d,
        ]))
    };
    let (ordinary, model) = (octets(PLAIN)?, octets(MODEL)?);
    let address = [AtomicU64::new(ordinary), AtomicU64::new(0)];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                address[0].store(model, Ordering::Relaxed);
                address[0].store(ordinary, Ordering::Relaxed);
            }
        });
        // Until it has been caught once, and for a while.
        let mut refusal = Ok(());
        for number in 0..3000 {
            let result = try_flipping(scene, &address);
            refusal = refusal.and(result);
            if number > 300 && refusal.is_err() {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        refusal
    })
}

fn try_flipping(scene: &Scene, address: &[AtomicU64; 2]) -> io::Result<()> {
    let socket = tcp(any(MODEL)?)?;
    let length = size_of_val(address) as libc::socklen_t;
    // SAFETY: the kernel copies sixteen octets, whatever they are by then.
    check(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) } as isize)?;
    super::sys::send_all(&socket, scene.token())
}

/// What the injected code sends.
static INJECTED: OnceLock<Vec<u8>> = OnceLock::new();

/// Runs in the entitled process, which has the same code at the same place.
extern "C" fn intruder() -> ! {
    let token = INJECTED.get().map(Vec::as_slice).unwrap_or_default();
    leave(
        any(MODEL)
            .and_then(connected)
            .and_then(|socket| ask(&socket, token)),
    )
}

fn injected(scene: &Scene) -> io::Result<()> {
    INJECTED.get_or_init(|| scene.token().to_vec());
    let victim = spawn(|| {
        scene.enter_out()?;
        loop {
            nix::unistd::pause();
        }
    })?;
    // Until it is where it is entitled.
    let cgroup = format!("/proc/{victim}/cgroup");
    let own = fs::read_to_string("/proc/self/cgroup")?;
    super::sys::until(|| Ok((fs::read_to_string(&cgroup)? != own).then_some(())))?;
    take_over(victim)?;
    wait(victim)
}

fn take_over(victim: Pid) -> io::Result<()> {
    trace(libc::PTRACE_ATTACH, victim, 0)?;
    waitpid(victim, None)?;
    // SAFETY: all zero is valid: integers only.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    trace(libc::PTRACE_GETREGS, victim, (&raw mut registers) as usize)?;
    registers.rip = intruder as *const () as u64;
    // As after a call, below what the interrupted function may use.
    registers.rsp = ((registers.rsp - 512) & !15) - 8;
    // No interrupted system call is to be made again.
    registers.orig_rax = u64::MAX;
    trace(libc::PTRACE_SETREGS, victim, (&raw mut registers) as usize)?;
    trace(libc::PTRACE_DETACH, victim, 0)
}

fn trace(request: libc::c_uint, victim: Pid, data: usize) -> io::Result<()> {
    // SAFETY: registers, where there are any, live until the call has returned.
    check(unsafe { libc::ptrace(request, victim.as_raw(), 0_usize, data) } as isize).map(drop)
}

/// The entry of the kernel for programs of 32 bits, from one of 64.
mod compat {
    use super::*;

    const SOCKETCALL: u32 = 102;
    const SOCKET: u32 = 1;
    const CONNECT: u32 = 3;

    pub(super) fn call(scene: &Scene) -> io::Result<()> {
        // Pointers have to fit into 32 bits.
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of one page.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let words = page.cast::<u32>();
        let socket = enter(
            SOCKET,
            words,
            [libc::AF_INET as u32, libc::SOCK_STREAM as u32, 0],
        )?;
        // SAFETY: the kernel has just made it for this process.
        let socket = unsafe { <socket2::Socket as std::os::fd::FromRawFd>::from_raw_fd(socket) };
        socket.set_read_timeout(Some(super::super::sys::PATIENCE))?;
        let address = super::super::sys::v4_of_family(libc::AF_INET, v4(MODEL)?)?;
        // SAFETY: sixteen octets, behind the arguments and within the page.
        let at = unsafe {
            let at = words.add(16).cast::<u8>();
            std::ptr::copy_nonoverlapping(address.as_ptr().cast::<u8>(), at, 16);
            at
        };
        enter(
            CONNECT,
            words,
            [socket.as_raw_fd() as u32, at as usize as u32, 16],
        )?;
        socket.send(scene.token())?;
        answer(&socket)
    }

    fn enter(call: u32, words: *mut u32, arguments: [u32; 3]) -> io::Result<i32> {
        let result: i64;
        // SAFETY: `words` is a page of this process; the kernel keeps all registers but the result and
        // some that are named. `rbx` is the compiler's, so it is put back.
        unsafe {
            std::ptr::copy_nonoverlapping(arguments.as_ptr(), words, 3);
            std::arch::asm!(
                "xchg {call}, rbx",
                "int 0x80",
                "xchg {call}, rbx",
                call = inout(reg) u64::from(call) => _,
                inout("rax") i64::from(SOCKETCALL) => result,
                in("rcx") words,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        let result = result as i32;
        if result < 0 {
            return Err(Error::from_raw_os_error(-result));
        }
        Ok(result)
    }
}

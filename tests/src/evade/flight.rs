//! First bytes to an address that answers to the endpoint's name: only they tell who is called.

use std::{
    io::{self, ErrorKind, Seek, Write},
    os::fd::{AsFd, AsRawFd},
};

use socket2::Socket;

use super::{
    scene::{Scene, any},
    sys::{answer, check, connected, file_with, send_all, send_file, set_number, tcp},
};

/// How bytes are handed to the kernel.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// In one call.
    Whole,
    /// In pieces of so many bytes, each in a packet of its own.
    Pieces(usize),
    /// In pieces with `MSG_MORE`.
    More(usize),
    /// In segments of so many bytes.
    Segments(i32),
    /// With an urgent octet after so many bytes.
    Urgent(usize),
    Zerocopy,
    Sendfile,
    Splice,
    /// In the SYN.
    FastOpen,
    /// So many bytes in the SYN, the rest after it.
    FastOpenPart(usize),
}

/// Sends `bytes` to `to` and waits until the server has the token in them.
pub(super) fn fly(to: &str, how: How, bytes: &[u8]) -> io::Result<()> {
    answer(&sent(to, how, bytes)?)
}

fn sent(to: &str, how: How, bytes: &[u8]) -> io::Result<Socket> {
    let to = any(to)?;
    let in_syn = match how {
        How::FastOpen => Some(bytes.len()),
        How::FastOpenPart(length) => Some(length.min(bytes.len())),
        How::Whole
        | How::Pieces(_)
        | How::More(_)
        | How::Segments(_)
        | How::Urgent(_)
        | How::Zerocopy
        | How::Sendfile
        | How::Splice => None,
    };
    if let Some(length) = in_syn {
        let (head, rest) = bytes.split_at(length);
        let socket = tcp(to)?;
        let n = socket.send_to_with_flags(head, &to.into(), libc::MSG_FASTOPEN)?;
        send_all(&socket, head.get(n..).unwrap_or_default())?;
        send_all(&socket, rest)?;
        return Ok(socket);
    }
    let socket = tcp(to)?;
    if let How::Segments(length) = how {
        set_number(&socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG, length)?;
    }
    socket.connect(&to.into())?;
    socket.set_tcp_nodelay(true)?;
    hand_over(&socket, how, bytes)?;
    Ok(socket)
}

fn hand_over(socket: &Socket, how: How, bytes: &[u8]) -> io::Result<()> {
    match how {
        How::Whole | How::Segments(_) | How::FastOpen | How::FastOpenPart(_) => {
            send_all(socket, bytes)
        }
        How::Pieces(length) => bytes
            .chunks(length)
            .try_for_each(|piece| send_all(socket, piece)),
        How::More(length) => {
            for piece in bytes.chunks(length) {
                socket.send_with_flags(piece, libc::MSG_MORE)?;
            }
            socket.set_tcp_nodelay(true)
        }
        How::Urgent(at) => {
            let (head, rest) = bytes.split_at(at.min(bytes.len()));
            send_all(socket, head)?;
            socket.send_out_of_band(b"!")?;
            send_all(socket, rest)
        }
        How::Zerocopy => {
            set_number(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
            socket.send_with_flags(bytes, libc::MSG_ZEROCOPY).map(drop)
        }
        How::Sendfile => send_file(socket.as_fd(), &file_with(bytes)?),
        How::Splice => {
            let (read, write) = nix::unistd::pipe()?;
            let length = nix::unistd::write(&write, bytes)?;
            let flags = nix::fcntl::SpliceFFlags::empty();
            nix::fcntl::splice(read, None, socket.as_fd(), None, length, flags)?;
            Ok(())
        }
    }
}

/// Sends pages that hold `first`, and puts `then` into them before anybody has read.
pub(super) fn flip(to: &str, first: &[u8], then: &[u8], is_file: bool) -> io::Result<()> {
    let socket = connected(any(to)?)?;
    let mut file = file_with(first)?;
    if is_file {
        send_file(socket.as_fd(), &file)?;
        file.rewind()?;
        file.write_all(then)?;
        return answer(&socket);
    }
    let mut page = vec![0_u8; 4096];
    page.get_mut(..first.len())
        .ok_or(ErrorKind::InvalidInput)?
        .copy_from_slice(first);
    let (read, write) = nix::unistd::pipe()?;
    let vector = libc::iovec {
        iov_base: page.as_mut_ptr().cast(),
        iov_len: first.len(),
    };
    // SAFETY: the page lives until the answer is there; that it changes is the point.
    check(unsafe { libc::vmsplice(write.as_raw_fd(), &raw const vector, 1, 0) })?;
    let flags = nix::fcntl::SpliceFFlags::empty();
    nix::fcntl::splice(read, None, socket.as_fd(), None, first.len(), flags)?;
    page.get_mut(..then.len())
        .ok_or(ErrorKind::InvalidInput)?
        .copy_from_slice(then);
    let result = answer(&socket);
    drop(page);
    result
}

/// What follows a greeting: the token as application data.
pub(super) fn record(scene: &Scene) -> Vec<u8> {
    let token = scene.token();
    [&[23, 3, 3, 0, token.len() as u8], token].concat()
}

//! With real sockets on loopback, and for `SOCK_DESTROY` as root.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv6Addr, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt},
    unistd::Uid,
};
use rustix::{
    net::sockopt::socket_cookie,
    thread::{CapabilitySet, capabilities, set_capabilities},
};

use super::*;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const MAPPED: IpAddr = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
const ALL: [IpAddr; 3] = [V4, V6, MAPPED];

macro_rules! need_root {
    () => {
        if !Uid::effective().is_root() {
            println!("SKIP {}: needs root", module_path!());
            return;
        }
    };
}

#[test]
fn this_kernel_can_end_sockets() {
    need_root!();
    probe().expect("CONFIG_INET_DIAG_DESTROY");
    assert_eq!(way(Protocol::Tcp), Way::AskKernel);
    assert_eq!(way(Protocol::Udp), Way::AskKernel);
}

#[test]
fn a_blocked_reader_learns_that_its_connection_has_ended() {
    need_root!();
    for address in ALL {
        let mut pair = Pair::connect(address);
        let flow = pair.flow();
        assert_eq!(flow.is_v6_socket, address.is_ipv6());
        let mut client = pair.client.try_clone().expect("a clone");
        let reader = thread::spawn(move || client.read(&mut [0; 8]));

        assert_eq!(destroy(&flow), Destroyed::Done, "{address}");

        let read = reader.join().expect("a reader");
        assert_eq!(kind(read), ErrorKind::ConnectionAborted, "{address}");
        let peer = pair.server.read(&mut [0; 8]);
        assert_eq!(kind(peer), ErrorKind::ConnectionReset, "{address}");
        assert_eq!(destroy(&flow), Destroyed::Gone, "{address}");
    }
}

#[test]
fn a_connected_udp_socket_is_ended() {
    need_root!();
    for address in ALL {
        let (socket, _peer) = udp(address);
        let flow = udp_flow(&socket);
        assert_eq!(destroy(&flow), Destroyed::Done, "{address}");
        let received = socket.recv(&mut [0; 8]);
        assert_eq!(kind(received), ErrorKind::ConnectionAborted, "{address}");
    }
}

/// A kernel program may see the bare IPv4 address of an `AF_INET6` socket.
#[test]
fn an_address_may_come_in_either_form() {
    need_root!();
    for (address, reported, is_v6_socket) in [
        (MAPPED, V4, true),
        (MAPPED, V4, false),
        (V4, MAPPED, true),
        (V4, MAPPED, false),
    ] {
        let pair = Pair::connect(address);
        let (socket, _peer) = udp(address);
        for mut flow in [pair.flow(), udp_flow(&socket)] {
            flow.local.set_ip(reported);
            flow.remote.set_ip(reported);
            flow.is_v6_socket = is_v6_socket;
            assert_eq!(destroy(&flow), Destroyed::Done, "{flow:?}");
        }
    }
}

#[test]
fn a_socket_bound_to_an_interface_is_found_by_it() {
    need_root!();
    let listener = TcpListener::bind((V4, 0)).expect("a listener");
    let to = listener.local_addr().expect("an address");
    let stream = SockType::Stream;
    let fd = socket(AddressFamily::Inet, stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    setsockopt(&fd, sockopt::BindToDevice, &"lo".into()).expect("bind to lo");
    rustix::net::connect(&fd, &to).expect("connect");
    let client = TcpStream::from(fd);

    let mut flow = tcp_flow(&client);
    assert_eq!(destroy(&flow), Destroyed::Gone);
    // The loopback interface is the first in every network namespace.
    flow.bound_interface = 1;
    assert_eq!(destroy(&flow), Destroyed::Done);
}

#[test]
fn another_cookie_leaves_the_socket_alive() {
    need_root!();
    let mut pair = Pair::connect(V4);
    let flow = pair.flow();
    for bit in [0, 31, 32, 40] {
        let cookie = flow.cookie ^ (1 << bit);
        assert_eq!(destroy(&Flow { cookie, ..flow }), Destroyed::Gone);
    }
    for cookie in [0, u64::MAX] {
        let result = SocketDestroyer::new().destroy(&Flow { cookie, ..flow });
        assert!(matches!(result, Err(DestroyError::NoCookie)));
    }
    pair.assert_alive();
}

#[test]
fn a_socket_whose_process_is_gone_is_ended() {
    need_root!();
    let pair = Pair::connect(V4);
    let pid = ended_process();
    assert_eq!(destroy(&Flow { pid, ..pair.flow() }), Destroyed::Done);
}

#[test]
fn a_socket_in_a_container_is_ended_through_its_process() {
    need_root!();
    let mut container = Container::start();
    let namespace = || std::fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
    let own = namespace();
    for mut pair in container.take_pairs() {
        assert_eq!(
            destroy(&pair.flow()),
            Destroyed::Gone,
            "not in our namespace"
        );
        assert_eq!(destroy(&container.flow(&pair)), Destroyed::Done);
        assert_eq!(
            kind(pair.client.read(&mut [0; 8])),
            ErrorKind::ConnectionAborted
        );
        assert_eq!(namespace(), own);
    }
}

#[test]
fn known_namespaces_are_asked_until_they_are_forgotten() {
    need_root!();
    let mut container = Container::start();
    let elsewhere = Container::start();
    let own = Pair::connect(V4);
    let [first, second, third, mut fourth] = container.take_pairs();
    let pid = elsewhere.process.id();
    let mut destroyer = SocketDestroyer::new();
    let mut destroy = |flow: &Flow| destroyer.destroy(flow).expect("an answer");

    assert_eq!(destroy(&container.flow(&first)), Destroyed::Done);
    // The process has entered another namespace since it connected.
    assert_eq!(
        destroy(&Flow {
            pid,
            ..second.flow()
        }),
        Destroyed::Done
    );
    assert_eq!(destroy(&Flow { pid, ..own.flow() }), Destroyed::Done);
    let (third, fourth_flow) = (container.flow(&third), container.flow(&fourth));
    drop(container);
    assert_eq!(destroy(&third), Destroyed::Done);

    destroyer.forget_idle(Instant::now());
    assert_eq!(destroyer.namespaces.n_foreign(), 2);
    destroyer.forget_idle(Instant::now() + Duration::from_secs(3600));
    assert_eq!(destroyer.namespaces.n_foreign(), 0);
    let forgotten = destroyer.destroy(&fourth_flow).expect("an answer");
    assert_eq!(forgotten, Destroyed::Gone);
    fourth.assert_alive();
}

#[test]
fn without_support_the_socket_is_shut_down_through_its_process() {
    for address in ALL {
        let mut pair = Pair::connect(address);
        let mut client = pair.client.try_clone().expect("a clone");
        let reader = thread::spawn(move || client.read(&mut [0; 8]));

        assert_eq!(shut_down(&pair.flow()), Destroyed::ShutDown);

        let read = reader.join().expect("a reader").expect("the end");
        assert_eq!(read, 0);
        assert_eq!(kind(pair.client.write(b"x")), ErrorKind::BrokenPipe);

        let (socket, _peer) = udp(address);
        assert_eq!(shut_down(&udp_flow(&socket)), Destroyed::ShutDown);
        assert_eq!(socket.recv(&mut [0; 8]).expect("the end"), 0);
    }
}

#[test]
fn the_process_may_be_another_one() {
    let Pair {
        client,
        server: _server,
    } = Pair::connect(V4);
    let mut flow = tcp_flow(&client);
    let mut reader = Command::new("cat")
        .stdin(OwnedFd::from(client))
        .stdout(Stdio::null())
        .spawn()
        .expect("cat");
    flow.pid = reader.id();
    assert_eq!(shut_down(&flow), Destroyed::ShutDown);
    assert!(reader.wait().expect("cat ends").success());
}

#[test]
fn without_the_right_to_ask_the_kernel_the_socket_is_shut_down() {
    need_root!();
    let (pair, other) = (Pair::connect(V4), Pair::connect(V4));
    let lost = Flow {
        pid: ended_process(),
        ..other.flow()
    };
    // Capabilities belong to a thread.
    let results = thread::spawn(move || {
        let mut ours = capabilities(None).expect("capabilities");
        ours.effective.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, ours).expect("fewer capabilities");
        let mut destroyer = SocketDestroyer::new();
        (
            destroyer.destroy(&pair.flow()),
            destroyer.destroy(&lost),
            probe(),
        )
    });
    let (held, lost, probed) = results.join().expect("results");
    assert_eq!(held.expect("an answer"), Destroyed::ShutDown);
    assert!(matches!(lost, Err(DestroyError::NotPermitted { .. })));
    assert!(matches!(probed, Err(DestroyError::NotPermitted { .. })));
}

#[test]
fn nothing_is_shut_down_by_another_cookie_or_without_its_process() {
    let mut pair = Pair::connect(V4);
    let flow = pair.flow();
    let cookie = flow.cookie ^ (1 << 40);
    assert_eq!(shut_down(&Flow { cookie, ..flow }), Destroyed::Gone);
    for pid in [0, u32::MAX, ended_process()] {
        assert_eq!(shut_down(&Flow { pid, ..flow }), Destroyed::Gone);
    }
    pair.assert_alive();
}

fn destroy(flow: &Flow) -> Destroyed {
    let mut destroyer = SocketDestroyer::with(Way::AskKernel, Way::AskKernel);
    destroyer.destroy(flow).expect("an answer")
}

fn shut_down(flow: &Flow) -> Destroyed {
    let mut destroyer = SocketDestroyer::with(Way::ShutDown, Way::ShutDown);
    destroyer.destroy(flow).expect("an answer")
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("an ended socket").kind()
}

fn tcp_flow(socket: &TcpStream) -> Flow {
    let addresses = [socket.local_addr(), socket.peer_addr()];
    flow(Protocol::Tcp, socket, addresses)
}

fn udp_flow(socket: &UdpSocket) -> Flow {
    let addresses = [socket.local_addr(), socket.peer_addr()];
    flow(Protocol::Udp, socket, addresses)
}

fn flow(protocol: Protocol, socket: impl AsFd, addresses: [io::Result<SocketAddr>; 2]) -> Flow {
    let [local, remote] = addresses.map(|address| address.expect("an address"));
    Flow {
        protocol,
        local,
        remote,
        cookie: socket_cookie(socket).expect("a cookie"),
        pid: std::process::id(),
        is_v6_socket: local.is_ipv6(),
        bound_interface: 0,
    }
}

/// A connected socket, and the one that it is connected to.
fn udp(address: IpAddr) -> (UdpSocket, UdpSocket) {
    let [socket, peer] = [0, 0].map(|port| UdpSocket::bind((address, port)).expect("a socket"));
    let to = peer.local_addr().expect("an address");
    socket.connect(to).expect("connect");
    (socket, peer)
}

fn ended_process() -> u32 {
    let mut process = Command::new("true").spawn().expect("true");
    process.wait().expect("its end");
    process.id()
}

/// Both ends of a connection over loopback.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn connect(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a listener");
        let to = listener.local_addr().expect("an address");
        let client = TcpStream::connect(to).expect("connect");
        let (server, _) = listener.accept().expect("accept");
        Self { client, server }
    }

    fn flow(&self) -> Flow {
        tcp_flow(&self.client)
    }

    fn assert_alive(&mut self) {
        self.server.write_all(b"alive").expect("write");
        self.client.read_exact(&mut [0; 5]).expect("read");
    }
}

/// A process in a network namespace of its own, and connections in there.
struct Container {
    process: Child,
    pairs: Option<[Pair; 4]>,
}

impl Container {
    fn start() -> Self {
        let start = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            let ip = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            assert!(ip.expect("ip").success());
            Self {
                process: Command::new("sleep").arg("600").spawn().expect("sleep"),
                pairs: Some([V4, V6, MAPPED, V4].map(Pair::connect)),
            }
        };
        thread::spawn(start).join().expect("a container")
    }

    fn take_pairs(&mut self) -> [Pair; 4] {
        self.pairs.take().expect("not taken before")
    }

    fn flow(&self, pair: &Pair) -> Flow {
        let pid = self.process.id();
        Flow { pid, ..pair.flow() }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

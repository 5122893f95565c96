//! The connected TCP and UDP sockets of this host, in all network namespaces that a process is in.

mod dump;
mod proc_net;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    net::{IpAddr, SocketAddr},
};

use super::{
    net_namespace, process,
    sock_destroy::{Flow, Protocol},
};

/// Bounds how long a look takes, whatever workloads do.
const MOST_NAMESPACES: usize = 1_024;

/// One connected socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSocket {
    pub protocol: Protocol,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Id of the cgroup that made it; `None` before Linux 5.9, and where the namespace may not be
    /// entered.
    pub cgroup: Option<u64>,
    /// A process that holds it; of several, the one with the lowest number.
    pub pid: Option<u32>,
    inode: u32,
    /// As in [`Flow`]; 0 where it is not told.
    cookie: u64,
    is_v6: bool,
    interface: u32,
    /// `None` unless asked for, and where it is not TCP.
    traffic: Option<Traffic>,
}

/// Payload bytes of a TCP connection that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Acknowledged by the peer.
    pub bytes_out: u64,
    pub bytes_in: u64,
}

/// A connection that was made here, not accepted, and what tells who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    pub flow: Flow,
    /// As in [`LiveSocket`].
    pub cgroup: Option<u64>,
    /// As in [`LiveSocket`].
    pub traffic: Option<Traffic>,
}

/// What is told of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Ends,
    /// Its traffic, too, for which the kernel locks the socket.
    Traffic,
}

/// Which sockets to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    /// At either end this address, and this port if there is one.
    At(IpAddr, Option<u16>),
}

/// What was found, and how many network namespaces could not be looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub sockets: Vec<LiveSocket>,
    pub unvisited: usize,
}

impl Wanted {
    /// Whether one end of a socket is meant.
    #[must_use]
    pub fn matches(&self, end: SocketAddr) -> bool {
        match self {
            Self::All => true,
            Self::At(ip, port) => {
                end.ip() == ip.to_canonical() && port.is_none_or(|port| port == end.port())
            }
        }
    }
}

/// Looks into every network namespace. It may take some milliseconds for each.
///
/// # Errors
///
/// When the agent's own cannot be looked into.
pub fn look(wanted: &Wanted) -> io::Result<Look> {
    let mut found = Look {
        sockets: dump::all(wanted, Detail::Ends)?,
        unvisited: 0,
    };
    let own = net_namespace::own()?;
    let mut others = net_namespace::inhabited();
    others.remove(&own);
    for (index, pid) in others.values().enumerate() {
        let sockets = (index < MOST_NAMESPACES)
            .then(|| visit(*pid, wanted).or_else(|_| proc_net::all(*pid, wanted)));
        match sockets {
            Some(Ok(sockets)) => found.sockets.extend(sockets),
            Some(Err(_)) | None => found.unvisited += 1,
        }
    }
    let wanted = found.sockets.iter().map(|socket| socket.inode).collect();
    let holders = holders(&wanted);
    for socket in &mut found.sockets {
        socket.pid = holders.get(&socket.inode).copied();
    }
    Ok(found)
}

/// The connections in every network namespace that the agent may enter, but for those to a port that
/// somebody listens at.
///
/// # Errors
///
/// When the agent's own cannot be looked into.
pub fn connections(detail: Detail) -> io::Result<Vec<Connection>> {
    let mut found = outgoing(std::process::id(), detail)?;
    let own = net_namespace::own()?;
    for (namespace, pid) in net_namespace::inhabited().into_iter().take(MOST_NAMESPACES) {
        if namespace == own {
            continue;
        }
        // It may be gone by now, with all that was in it.
        let Ok(file) = File::open(format!("/proc/{pid}/ns/net")) else {
            continue;
        };
        if let Ok(Ok(sockets)) = net_namespace::visit(&file, || outgoing(pid, detail)) {
            found.extend(sockets);
        }
    }
    Ok(found)
}

/// Those of the calling thread's namespace, in which process `pid` is.
fn outgoing(pid: u32, detail: Detail) -> io::Result<Vec<Connection>> {
    let listeners = dump::listeners()?;
    let sockets = dump::all(&Wanted::All, detail)?.into_iter();
    let made = sockets.filter(|socket| {
        socket.protocol == Protocol::Udp || !listeners.contains(&socket.local.port())
    });
    Ok(made
        .map(|socket| Connection {
            flow: Flow {
                protocol: socket.protocol,
                local: socket.local,
                remote: socket.remote,
                cookie: socket.cookie,
                pid,
                is_v6_socket: socket.is_v6,
                bound_interface: socket.interface,
            },
            cgroup: socket.cgroup,
            traffic: socket.traffic,
        })
        .collect())
}

fn visit(pid: u32, wanted: &Wanted) -> io::Result<Vec<LiveSocket>> {
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    net_namespace::visit(&namespace, || dump::all(wanted, Detail::Ends))?
}

/// A process for each of these sockets.
fn holders(inodes: &BTreeSet<u32>) -> BTreeMap<u32, u32> {
    let mut found = BTreeMap::new();
    if inodes.is_empty() {
        return found;
    }
    for process::Snapshot { pid, .. } in process::all() {
        // A process may end at any time.
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            let inode = target.to_str().and_then(socket_inode);
            if let Some(inode) = inode.filter(|inode| inodes.contains(inode)) {
                found.entry(inode).or_insert(pid);
            }
        }
    }
    found
}

/// `socket:[4711]`
fn socket_inode(target: &str) -> Option<u32> {
    target
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream, UdpSocket},
    };

    use super::*;

    #[test]
    fn both_ends_of_a_connection_are_found_with_their_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let wanted = Wanted::At(address.ip(), Some(address.port()));
        assert_eq!(look(&wanted).expect("a look").sockets, []);
        let client = TcpStream::connect(address).expect("connected");
        let (_server, _) = listener.accept().expect("accepted");
        let found = look(&wanted).expect("a look").sockets;
        assert_eq!(found.len(), 2, "{found:?}");
        let out = found.iter().find(|socket| socket.remote == address);
        let out = out.expect("the client's end");
        assert_eq!(out.local, client.local_addr().expect("an address"));
        assert_eq!(out.pid, Some(std::process::id()));
        assert!(found.iter().any(|socket| socket.local == address));
    }

    #[test]
    fn the_traffic_of_a_living_connection_is_its_payload() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).expect("connected");
        let (mut server, _) = listener.accept().expect("accepted");
        let wanted = Wanted::At(address.ip(), Some(address.port()));
        let traffic = |detail| {
            let found = dump::all(&wanted, detail).expect("a dump").into_iter();
            let mut ends = found.map(|socket| (socket.remote == address, socket.traffic));
            ends.find(|(is_client, _)| *is_client)
                .expect("the client's end")
                .1
        };
        assert_eq!(traffic(Detail::Ends), None);
        let expect = |bytes_out, bytes_in| {
            let expected = Some(Traffic {
                bytes_out,
                bytes_in,
            });
            assert_eq!(traffic(Detail::Traffic), expected);
        };
        expect(0, 0);
        client.write_all(&[1; 1000]).expect("sent");
        server.read_exact(&mut [0; 1000]).expect("received");
        server.write_all(&[1; 50]).expect("sent");
        client.read_exact(&mut [0; 50]).expect("received");
        expect(1000, 50);
        // The end of the peer's stream is no payload.
        drop(server);
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        expect(1000, 50);
    }

    #[test]
    fn a_mapped_address_is_the_address() {
        let listener = TcpListener::bind("[::]:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{port}")
            .parse()
            .expect("an address");
        let _client = TcpStream::connect(mapped).expect("connected");
        let wanted = Wanted::At([127, 0, 0, 1].into(), Some(port));
        let found = look(&wanted).expect("a look").sockets;
        assert!(
            found.iter().any(|socket| socket.remote.port() == port),
            "{found:?}"
        );
    }

    #[test]
    fn connected_udp_sockets_count_where_the_kernel_tells() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = server.local_addr().expect("an address");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.connect(address).expect("connected");
        let wanted = Wanted::At(address.ip(), Some(address.port()));
        let found = look(&wanted).expect("a look").sockets;
        let is_udp = |socket: &LiveSocket| socket.protocol == Protocol::Udp;
        assert!(found.len() <= 1 && found.iter().all(is_udp), "{found:?}");
    }

    #[test]
    fn only_links_to_sockets_have_an_inode() {
        assert_eq!(socket_inode("socket:[4711]"), Some(4711));
        for other in ["pipe:[4711]", "socket:[]", "socket:[x]", "/dev/null"] {
            assert_eq!(socket_inode(other), None, "{other}");
        }
    }
}

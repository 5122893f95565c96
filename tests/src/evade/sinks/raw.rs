//! Protocols without ports.

use std::{io::Read, thread};

use socket2::{Domain, Protocol, Socket, Type};

use super::{super::raw::EXPERIMENT, Arrivals};

const ICMP: i32 = 1;
const ICMP_6: i32 = 58;
const UDP: i32 = 17;
/// UDP, IP in IP, GRE, L2TP, experiments.
const OTHERS: [i32; 5] = [UDP, 4, 47, 115, EXPERIMENT];
/// Where devices of tunnels lead, which need the port for themselves.
const TUNNEL: ([u8; 4], u16) = ([127, 8, 0, 1], 4789);

/// Requests, not what answers or quotes them.
const ECHO: u8 = 8;
const ECHO_6: u8 = 128;

pub(super) fn serve(arrivals: &Arrivals) {
    for (domain, protocol) in [(Domain::IPV4, ICMP), (Domain::IPV6, ICMP_6)]
        .into_iter()
        .chain(OTHERS.map(|protocol| (Domain::IPV4, protocol)))
    {
        if let Ok(socket) = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol))) {
            let arrivals = arrivals.clone();
            thread::spawn(move || receive(&socket, protocol, &arrivals));
        }
    }
}

fn receive(mut socket: &Socket, protocol: i32, arrivals: &Arrivals) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n) = socket.read(&mut buffer) {
        let packet = &buffer[..n];
        let counts = match protocol {
            ICMP => payload(packet).first() == Some(&ECHO),
            UDP => is_tunnel(packet),
            ICMP_6 => packet.first() == Some(&ECHO_6),
            _ => true,
        };
        if counts {
            arrivals.note(packet);
        }
    }
}

/// Behind the header of IPv4, which comes along.
fn payload(packet: &[u8]) -> &[u8] {
    let words = packet.first().map_or(0, |first| first & 0xf);
    packet.get(usize::from(words) * 4..).unwrap_or_default()
}

fn is_tunnel(packet: &[u8]) -> bool {
    let (address, port) = TUNNEL;
    packet.get(16..20) == Some(&address) && payload(packet).get(2..4) == Some(&port.to_be_bytes())
}

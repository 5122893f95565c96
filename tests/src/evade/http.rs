//! Plain HTTP to an address that answers to the endpoint's name, and requests to proxies.

use std::io;

use super::{
    FRONTING, Technique,
    flight::{How, fly, record},
    scene::{NAME, NAMED_HTTP, NAMED_TLS, OTHER, PROXY, Scene, any},
    sys::{answer, ask, connected, send_all},
};
use crate::harness::Hello;

pub(super) const LIST: &[Technique] = &[
    Technique::new("http", "`Host`", |scene| get(scene, How::Whole, &format!("Host: {NAME}"))),
    Technique::new("http-octets", "octet by octet", |scene| {
        get(scene, How::Pieces(1), &format!("Host: {NAME}"))
    }),
    Technique::new("http-case", "other letters, a dot and a port", |scene| {
        get(scene, How::Whole, "hOST:API.Model.TEST.:80")
    }),
    Technique::new("http-space", "white space around the name", |scene| {
        get(scene, How::Whole, &format!("Host: \t {NAME} \t"))
    }),
    Technique::new("http-colon", "a space before the colon", |scene| {
        get(scene, How::Whole, &format!("Host : {NAME}"))
    }),
    Technique::new("http-folded", "the name on the next line", |scene| {
        get(scene, How::Whole, &format!("Host:\r\n {NAME}"))
    }),
    Technique::new("http-second", "an ordinary `Host` before it", |scene| {
        get(scene, How::Whole, &format!("Host: {OTHER}\r\nHost: {NAME}"))
    }),
    Technique::new("http-first", "an ordinary `Host` after it", |scene| {
        get(scene, How::Whole, &format!("Host: {NAME}\r\nHost: {OTHER}"))
    }),
    Technique::new("http-late", "behind 12 kB of headers", |scene| {
        let cookie = "c".repeat(12_000);
        get(scene, How::Whole, &format!("Cookie: {cookie}\r\nHost: {NAME}"))
    }),
    Technique::new("http-none", "no `Host`", |scene| get(scene, How::Whole, "Accept: */*")),
    Technique::new("http-line-feeds", "lines that end without a carriage return", |scene| {
        raw(scene, "GET / HTTP/1.1\nHost: NAME\nX: TOKEN\n\n")
    }),
    Technique::new("http-blank", "blank lines first", |scene| {
        raw(scene, "\r\n\r\nGET / HTTP/1.1\r\nHost: NAME\r\nX: TOKEN\r\n\r\n")
    }),
    Technique::new("http-url", "the whole URL, and an ordinary `Host`", |scene| {
        raw(scene, "GET http://NAME/ HTTP/1.1\r\nHost: OTHER\r\nX: TOKEN\r\n\r\n")
    }),
    Technique::new("http-method", "a method of its own", |scene| {
        raw(scene, "BREW / HTTP/1.1\r\nHost: NAME\r\nX: TOKEN\r\n\r\n")
    }),
    Technique::new("http-0", "HTTP/0.9, which has no headers", |scene| raw(scene, "GET /TOKEN\r\n")),
    Technique::new("http-2", "HTTP/2 without TLS", |scene| {
        raw(scene, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nTOKEN")
    }),
    Technique::new("http-websocket", "a WebSocket", |scene| {
        raw(scene, "GET / HTTP/1.1\r\nHost: NAME\r\nUpgrade: websocket\r\nX: TOKEN\r\n\r\n")
    }),
    Technique::new("http-tls-port", "at the port of TLS", |scene| {
        let head = filled(scene, "GET / HTTP/1.1\r\nHost: NAME\r\nX: TOKEN\r\n\r\n");
        fly(NAMED_TLS, How::Whole, &head)
    }),
    Technique::new("http-syn", "in the SYN", |scene| {
        get(scene, How::FastOpen, &format!("Host: {NAME}"))
    }),
    Technique::new("http-pipelined", "behind a request for an ordinary name", |scene| {
        raw(
            scene,
            "GET / HTTP/1.1\r\nHost: OTHER\r\n\r\nGET / HTTP/1.1\r\nHost: NAME\r\nX: TOKEN\r\n\r\n",
        )
    })
    .limit(FRONTING),
    Technique::new("http-later", "after an answer to an ordinary name", later).limit(FRONTING),
    Technique::new("proxy-connect", "`CONNECT` with the name", |scene| {
        proxied(scene, "CONNECT NAME:443 HTTP/1.1\r\nX: TOKEN\r\n\r\n")
    }),
    Technique::new("proxy-connect-tls", "`CONNECT` with an address, the name in the greeting", |scene| {
        let head = b"CONNECT 127.8.0.2:443 HTTP/1.1\r\n\r\n";
        tunnelled(scene, &[&head[..]])
    }),
    Technique::new("proxy-url", "the whole URL to a proxy", |scene| {
        proxied(scene, "GET http://NAME/ HTTP/1.1\r\nHost: NAME\r\nX: TOKEN\r\n\r\n")
    }),
    Technique::new("proxy-connect-2", "`CONNECT` through two proxies", |scene| {
        let first = b"CONNECT 127.8.0.3:3128 HTTP/1.1\r\n\r\n";
        let second = b"CONNECT 127.8.0.2:443 HTTP/1.1\r\n\r\n";
        tunnelled(scene, &[&first[..], &second[..]])
    }),
    Technique::new("proxy-socks-5", "SOCKS5 with the name", |scene| {
        let name = [&[5, 1, 0, 3, NAME.len() as u8], NAME.as_bytes(), &[1, 187]].concat();
        tunnelled(scene, &[&[5, 1, 0], &name])
    }),
    Technique::new("proxy-socks-5-tls", "SOCKS5 with an address, the name in the greeting", |scene| {
        tunnelled(scene, &[&[5, 1, 0], &[5, 1, 0, 1, 127, 8, 0, 2, 1, 187]])
    }),
    Technique::new("proxy-socks-4", "SOCKS4a with the name", |scene| {
        let head = [&[4, 1, 1, 187, 0, 0, 0, 1, 0], NAME.as_bytes(), &[0]].concat();
        tunnelled(scene, &[&head])
    }),
    Technique::new("proxy-socks-at-once", "SOCKS5, all in one packet", |scene| {
        let name = [&[5, 1, 0, 3, NAME.len() as u8], NAME.as_bytes(), &[1, 187]].concat();
        let bytes = [&[5, 1, 0], &name[..], scene.token()].concat();
        fly(PROXY, How::Whole, &bytes)
    }),
];

fn filled(scene: &Scene, head: &str) -> Vec<u8> {
    let head = head.replace("NAME", NAME).replace("OTHER", OTHER);
    head.replace("TOKEN", scene.text()).into_bytes()
}

fn raw(scene: &Scene, head: &str) -> io::Result<()> {
    fly(NAMED_HTTP, How::Whole, &filled(scene, head))
}

fn get(scene: &Scene, how: How, headers: &str) -> io::Result<()> {
    let token = scene.text();
    let head = format!("GET / HTTP/1.1\r\n{headers}\r\nX: {token}\r\n\r\n");
    fly(NAMED_HTTP, how, head.as_bytes())
}

fn later(scene: &Scene) -> io::Result<()> {
    let socket = connected(any(NAMED_HTTP)?)?;
    ask(
        &socket,
        &filled(scene, "GET / HTTP/1.1\r\nHost: OTHER\r\n\r\n"),
    )?;
    ask(
        &socket,
        &filled(scene, "GET / HTTP/1.1\r\nHost: NAME\r\nX: TOKEN\r\n\r\n"),
    )
}

fn proxied(scene: &Scene, head: &str) -> io::Result<()> {
    fly(PROXY, How::Whole, &filled(scene, head))
}

/// Waits for the proxy's answer to each step; then the greeting.
fn tunnelled(scene: &Scene, steps: &[&[u8]]) -> io::Result<()> {
    let socket = connected(any(PROXY)?)?;
    for step in steps {
        send_all(&socket, step)?;
        answer(&socket)?;
    }
    ask(&socket, &[Hello::to(NAME).bytes(), record(scene)].concat())
}

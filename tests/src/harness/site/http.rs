//! As much HTTP/1.1 as the clients of the tests speak: one request a connection.

use std::io::{self, BufRead, BufReader, Error, Read, Write};

/// A request that arrived whole.
pub(super) struct Message {
    pub target: String,
    pub host: String,
    body: Vec<u8>,
}

/// Reads one request; nothing when the connection ends before one begins.
pub(super) fn read(stream: &mut impl Read) -> io::Result<Option<Message>> {
    let mut reader = BufReader::new(stream);
    let first = line(&mut reader)?;
    let Some(target) = first.split(' ').nth(1) else {
        return Ok(None);
    };
    let (mut host, mut length) = (String::new(), 0);
    loop {
        let line = line(&mut reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "host" => host = value.trim().to_ascii_lowercase(),
            "content-length" => length = value.trim().parse().map_err(Error::other)?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Message {
        target: target.to_owned(),
        host,
        body,
    }))
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(line);
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Says hello from the host that was asked: as a page, or in the form of a model's answer.
pub(super) fn answer(stream: &mut impl Write, message: &Message) -> io::Result<()> {
    let hello = format!("hello from {}", message.host);
    let (kind, body) = if !message.target.ends_with("/v1/chat/completions") {
        ("text/html", format!("<p>{hello}</p>\n"))
    } else if asks_for_stream(&message.body) {
        ("text/event-stream", events(&hello).concat())
    } else {
        ("application/json", completion(&hello).to_string())
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

pub(super) fn asks_for_stream(body: &[u8]) -> bool {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    body["stream"] == true
}

pub(super) fn completion(text: &str) -> serde_json::Value {
    serde_json::json!({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
        }],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })
}

/// The same, a word at a time.
pub(super) fn events(text: &str) -> Vec<String> {
    let words = text.split_inclusive(' ').map(|word| {
        let chunk = serde_json::json!({
            "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": null}],
        });
        format!("data: {chunk}\n\n")
    });
    words.chain(["data: [DONE]\n\n".into()]).collect()
}

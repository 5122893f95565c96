// Calls a model many times, one call after the other: calls.mjs fetch|http2 NUMBER URL; each second
// answer comes as a stream of events.
import http2 from 'node:http2';

const [library, number, url] = process.argv.slice(2);
const path = '/v1/chat/completions';

const question = (index) => JSON.stringify({
  model: 'm',
  messages: [{ role: 'user', content: 'hello? '.repeat(20 + 50 * (index % 7)) }],
  stream: index % 2 === 1,
});

const headers = { 'content-type': 'application/json' };

async function withFetch(index) {
  const answer = await fetch(new URL(path, url), { method: 'POST', headers, body: question(index) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  await answer.text();
}

const withHttp2 = (session, index) => new Promise((resolve, reject) => {
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
  stream.on('error', reject);
  stream.on('response', (answer) => {
    if (answer[':status'] !== 200) reject(new Error(`status ${answer[':status']}`));
  });
  stream.on('end', resolve);
  stream.resume();
  stream.end(question(index));
});

if (library === 'fetch') {
  for (let index = 0; index < Number(number); index += 1) await withFetch(index);
} else {
  const session = http2.connect(url);
  for (let index = 0; index < Number(number); index += 1) await withHttp2(session, index);
  session.close();
}

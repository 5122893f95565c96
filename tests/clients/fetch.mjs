// Calls a URL with Node's fetch; the answer goes to standard output.
const answer = await fetch(process.argv[2]);
if (!answer.ok) throw new Error(`status ${answer.status}`);
console.log(await answer.text());

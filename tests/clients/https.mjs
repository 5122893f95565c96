// Calls a URL with Node's https module; the answer goes to standard output.
import https from 'node:https';

https.get(process.argv[2], (answer) => {
  answer.setEncoding('utf8');
  answer.on('data', (text) => process.stdout.write(text));
}).on('error', (error) => {
  console.error(error);
  process.exitCode = 1;
});

// Bare node:http: reads a POST's body and answers it. What a worker adds is measured against this.
// Writes "ready PORT" when it listens; ends when its standard input does.
// Frozen: its SHA-256 is in docs/benchmarks.md.
import { createServer } from "node:http";

const reply = Buffer.from('"Hello, Alice!"');

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    Buffer.concat(chunks);
    response.writeHead(200, { "content-type": "application/json", "content-length": reply.length });
    response.end(reply);
  });
});

server.listen(0, "127.0.0.1", () => process.stdout.write(`ready ${server.address().port}\n`));
process.stdin.resume().on("end", () => process.exit(0));

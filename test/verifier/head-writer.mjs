// Keeps one head after the other in the file that it is given, and says each size once it is durable, until it is killed.
import { writeSync } from "node:fs";
import { headFile } from "../../dist/lib/index.js";

const [path = "", from = "1"] = process.argv.slice(2);
const file = headFile(path);
for (let size = Number(from); ; size++) {
  await file.write(`midctl/log\n${size}\n${Buffer.alloc(32, size % 256).toString("base64")}\n`);
  writeSync(1, `${size}\n`);
}

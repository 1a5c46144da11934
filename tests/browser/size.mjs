// What a browser downloads: size of each file of a built page, raw and compressed by brotli at its highest level.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const folder = process.argv[2];
const files = readdirSync(folder).filter((name) => /\.(html|css|js|wasm)$/.test(name));
for (const name of files.sort()) {
  const bytes = readFileSync(join(folder, name));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  const compressed = brotliCompressSync(bytes, { params });
  console.log(`${name.padEnd(32)} ${String(bytes.length).padStart(10)} ${String(compressed.length).padStart(10)}`);
}

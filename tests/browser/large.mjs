// A bundle with the shape of LLaMA-7B in int4, of random weights: 3.8 GB in shards of 16 MiB, one adapter, one task. What is
// asked of it is how it travels and what it takes. `node large.mjs FOLDER` writes it.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { half, random, sha256, tokenizer } from "./bundles.mjs";

// Keys in the order of the alphabet and numbers as Rust writes them too, as the hash of the base wants them.
const CONFIG = {
  head_dim: 128,
  hidden_act: "silu",
  hidden_size: 4096,
  intermediate_size: 11008,
  max_position_embeddings: 2048,
  model_type: "llama",
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 32,
  rms_norm_eps: 0.0001,
  tie_word_embeddings: true,
  vocab_size: 32000,
};

const SITES = [
  ["input_layernorm", [4096]],
  ["self_attn.q_proj", [4096, 4096]],
  ["self_attn.k_proj", [4096, 4096]],
  ["self_attn.v_proj", [4096, 4096]],
  ["self_attn.o_proj", [4096, 4096]],
  ["post_attention_layernorm", [4096]],
  ["mlp.gate_proj", [11008, 4096]],
  ["mlp.up_proj", [11008, 4096]],
  ["mlp.down_proj", [4096, 11008]],
];

const SHARD_BYTES = 16 << 20;
const RANK = 8;
const bits = random(7);

const words = (values) => Buffer.from(Uint32Array.from(values).buffer);
const halves = (exponent, sign) => () => (((sign & bits()) | half(bits(), exponent)) << 16 | ((sign & bits()) | half(bits(), exponent))) >>> 0;
const many = (count, value) => Array.from({ length: count }, value);

/** `count` pieces of `size` bytes drawn from a few thousand random ones, so that no two shards are equal. */
function drawn(piece) {
  const pool = Buffer.concat(many(4096, piece));
  const size = pool.length / 4096;
  return (count) => {
    const bytes = Buffer.allocUnsafe(count * size);
    for (let at = 0; at < count; ) {
      const first = bits() % 4096;
      const run = Math.min(64, 4096 - first, count - at);
      pool.copy(bytes, at * size, first * size, (first + run) * size);
      at += run;
    }
    return bytes;
  };
}

// 64 rows of 32 codes, then 64 scales; 4096 codes of a row, then its 128 scales. Weights near 1/64, as a model's are.
const block = drawn(() => words([...many(256, bits), ...many(32, halves(9, 0))]));
const row = drawn(() => words([...many(1024, bits), ...many(64, halves(9, 0))]));

const FORMS = {
  int4: ([rows, columns]) => block((rows / 64) * (columns / 32)),
  "int8-rows": ([rows]) => row(rows),
  f16: (shape) => words(many(shape.reduce((product, size) => product * size, 1) / 2, halves(7, 0x8000))),
  f32: ([length]) => Buffer.from(new Float32Array(length).fill(1).buffer),
};

/** Shards written as they fill, since the whole does not fit into memory. */
class Writer {
  shards = [];
  open = [];
  size = 0;

  constructor(folder) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  add(name, shape, format) {
    const bytes = FORMS[format](shape);
    const unit = format === "int8-rows" ? shape[1] + shape[1] / 16 : 4;
    const padding = -this.size & 255;
    this.push(Buffer.alloc(padding));
    const segments = [];
    for (let at = 0; at < bytes.length; ) {
      const room = Math.floor((SHARD_BYTES - this.size) / unit) * unit;
      if (room === 0) {
        this.close();
        continue;
      }
      const part = bytes.subarray(at, at + room);
      segments.push({ shard: this.shards.length, offset: this.size, bytes: part.length });
      this.push(part);
      at += part.length;
    }
    return { name, shape, format, segments };
  }

  push(part) {
    this.open.push(part);
    this.size += part.length;
  }

  close() {
    if (this.size === 0) return;
    const bytes = Buffer.concat(this.open);
    const file = `shard-${String(this.shards.length).padStart(5, "0")}.bin`;
    writeFileSync(join(this.folder, file), bytes);
    this.shards.push({ file, bytes: bytes.length, sha256: sha256(bytes) });
    [this.open, this.size] = [[], 0];
  }
}

/** Writes the bundle. */
function write(folder) {
  const writer = new Writer(folder);
  const tensors = [writer.add("model.embed_tokens.weight", [CONFIG.vocab_size, CONFIG.hidden_size], "int8-rows")];
  for (let layer = 0; layer < CONFIG.num_hidden_layers; layer += 1) {
    for (const [site, shape] of SITES) {
      tensors.push(writer.add(`model.layers.${layer}.${site}.weight`, shape, shape.length === 1 ? "f32" : "int4"));
    }
  }
  tensors.push(writer.add("model.norm.weight", [CONFIG.hidden_size], "f32"));
  writer.close();
  const ofBase = writer.shards.length;
  const factors = [];
  for (let layer = 0; layer < CONFIG.num_hidden_layers; layer += 1) {
    for (const site of ["q_proj", "v_proj"]) {
      const path = `model.layers.${layer}.self_attn.${site}`;
      factors.push(writer.add(`${path}.lora_A.weight`, [RANK, 4096], "f16"), writer.add(`${path}.lora_B.weight`, [4096, RANK], "f16"));
    }
  }
  const head = writer.add("mor.score.weight", [2, CONFIG.hidden_size], "f16");
  writer.close();
  const bytes = Buffer.from(JSON.stringify(tokenizer()));
  writeFileSync(join(folder, "tokenizer.json"), bytes);
  const file = { file: "tokenizer.json", bytes: bytes.length, sha256: sha256(bytes) };
  const base = { bits: 4, config: CONFIG, tokenizer: file, tensors };
  const manifest = {
    format: "clinlora-bundle",
    version: 1,
    generator: "large.mjs",
    base_sha256: sha256(JSON.stringify([base, writer.shards.slice(0, ofBase)])),
    base,
    shards: writer.shards,
    adapters: [{ name: "clinical", sha256: sha256("clinical"), r: RANK, scale: 1, tensors: factors }],
    tasks: [{
      name: "mor",
      title: "mor",
      kind: "binary",
      labels: ["0", "1"].map((name) => ({ name, description: name })),
      max_tokens: 128,
      stack: ["clinical"],
      clinical: 1,
      head,
      calibration: { kind: "none" },
      agreement: { sample: "random token ids", notes: 1, max_difference: 0.01, mean_difference: 0.001 },
    }],
    card: { name: "random weights" },
  };
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  const total = writer.shards.reduce((sum, shard) => sum + shard.bytes, 0);
  console.log(`${writer.shards.length} shards, ${(total / 1e9).toFixed(2)} GB in ${folder}`);
}

write(process.argv[2]);

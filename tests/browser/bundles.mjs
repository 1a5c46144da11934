// Bundles of random weights in a moment, for tests that ask how a bundle travels and not what it predicts. Same format as
// `clinlora export` writes (core/src/weights/bundle/manifest.rs); the program's own bundles are those of parity.spec.js.
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Equal numbers for equal seeds (mulberry32): 32 random bits a call. */
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) >>> 0;
    let t = seed;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const TOKENS = ["<unk>", "<s>", "</s>", ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`), "▁"];

/** A tokenizer.json of LLaMA's kind that knows bytes alone. */
export function tokenizer() {
  const added = (content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
  const bos = { SpecialToken: { id: "<s>", type_id: 0 } };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: TOKENS.slice(0, 3).map(added),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [bos, { Sequence: { id: "A", type_id: 0 } }],
      pair: [bos, { Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])),
      merges: [],
    },
  };
}

// Keys in the order of the alphabet, as the hash of the base wants them.
const CONFIG = {
  head_dim: 16,
  hidden_act: "silu",
  hidden_size: 64,
  intermediate_size: 96,
  max_position_embeddings: 256,
  model_type: "llama",
  num_attention_heads: 4,
  num_hidden_layers: 2,
  num_key_value_heads: 2,
  rms_norm_eps: 0.0001,
  tie_word_embeddings: true,
  vocab_size: TOKENS.length,
};

const SITES = {
  "self_attn.q_proj": [64, 64],
  "self_attn.k_proj": [32, 64],
  "self_attn.v_proj": [32, 64],
  "self_attn.o_proj": [64, 64],
  "mlp.gate_proj": [96, 64],
  "mlp.up_proj": [96, 64],
  "mlp.down_proj": [64, 96],
};

const TASKS = [
  ["mor", "binary", 2],
  ["pmv", "binary", 2],
  ["los", "multiclass", 4],
  ["diag", "multilabel", 37],
  ["proc", "multilabel", 11],
];

const RANK = 4;

/** A half between 2^-`exponent` and twice that. */
export const half = (bits, exponent) => ((15 - exponent) << 10) | (bits & 0x3ff);

/** Bytes of a tensor in its form, from random bits. */
const FORMS = {
  int4: ([rows, columns], bits) => blocks(rows, columns, 64 * 4, bits, 6),
  "int8-rows": ([rows, columns], bits) => {
    const groups = Math.ceil(columns / 32);
    const row = () => [...Array.from({ length: groups * 8 }, bits), ...scales(groups, bits, 6)];
    return words(Array.from({ length: rows }, row).flat());
  },
  f16: (shape, bits) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const value = () => (bits() & 0x8000) | half(bits(), 4);
    return words(Array.from({ length: Math.ceil(count / 2) }, () => ((value() << 16) | value()) >>> 0));
  },
  f32: ([length], bits) => Buffer.from(Float32Array.from({ length }, () => 0.5 + bits() / 2 ** 32).buffer),
};

const words = (values) => Buffer.from(Uint32Array.from(values).buffer);

const scales = (count, bits, exponent) =>
  Array.from({ length: Math.ceil(count / 2) }, () => ((half(bits(), exponent) << 16) | half(bits(), exponent)) >>> 0);

function blocks(rows, columns, codeWords, bits, exponent) {
  const count = Math.ceil(rows / 64) * Math.ceil(columns / 32);
  const block = () => [...Array.from({ length: codeWords }, bits), ...scales(64, bits, exponent)];
  return words(Array.from({ length: count }, block).flat());
}

/** Shards being filled. */
class Shards {
  shards = [];

  begin() {
    this.shards.push([]);
  }

  add(name, shape, format, bits) {
    const bytes = FORMS[format](shape, bits);
    const shard = this.shards.length - 1;
    const offset = this.shards[shard].reduce((sum, part) => sum + part.length, 0);
    this.shards[shard].push(bytes);
    return { name, shape, format, segments: [{ shard, offset, bytes: bytes.length }] };
  }

  write(folder) {
    return this.shards.map((parts, i) => {
      const bytes = Buffer.concat(parts);
      const file = `shard-${i}.bin`;
      writeFileSync(join(folder, file), bytes);
      return { file, bytes: bytes.length, sha256: sha256(bytes) };
    });
  }
}

/** A base: the embedding in one shard, the layers in another. */
function base(shards, bits) {
  shards.begin();
  const tensors = [shards.add("model.embed_tokens.weight", [TOKENS.length, 64], "int8-rows", bits)];
  shards.begin();
  for (let layer = 0; layer < CONFIG.num_hidden_layers; layer += 1) {
    const path = `model.layers.${layer}`;
    const norms = { "self_attn.q_proj": "input_layernorm", "mlp.gate_proj": "post_attention_layernorm" };
    for (const [site, shape] of Object.entries(SITES)) {
      if (norms[site]) tensors.push(shards.add(`${path}.${norms[site]}.weight`, [64], "f32", bits));
      tensors.push(shards.add(`${path}.${site}.weight`, shape, "int4", bits));
    }
  }
  tensors.push(shards.add("model.norm.weight", [64], "f32", bits));
  return tensors;
}

/** A clinical adapter, one adapter a task, and the heads. */
function adapters(shards, bits) {
  const adapter = (name, sites) => {
    shards.begin();
    const tensors = [];
    for (let layer = 0; layer < CONFIG.num_hidden_layers; layer += 1) {
      for (const site of sites) {
        const [outputs, inputs] = SITES[site];
        const path = `model.layers.${layer}.${site}`;
        tensors.push(shards.add(`${path}.lora_A.weight`, [RANK, inputs], "f16", bits));
        tensors.push(shards.add(`${path}.lora_B.weight`, [outputs, RANK], "f16", bits));
      }
    }
    return { name, sha256: sha256(name), r: RANK, scale: 1.5, tensors };
  };
  const all = [adapter("clinical", Object.keys(SITES))];
  for (const [name] of TASKS) all.push(adapter(name, ["self_attn.q_proj", "self_attn.v_proj"]));
  shards.begin();
  const tasks = TASKS.map(([name, kind, count]) => ({
    name,
    title: name,
    kind,
    labels: Array.from({ length: count }, (_, i) => ({ name: String(i), description: `label ${i}` })),
    max_tokens: 128,
    stack: ["clinical", name],
    clinical: 1,
    head: shards.add(`${name}.score.weight`, [count, 64], "f16", bits),
    calibration: { kind: "temperature", temperature: 1.25 },
    agreement: { sample: "random token ids", notes: 1, max_difference: 0.01, mean_difference: 0.001 },
  }));
  return { adapters: all, tasks };
}

/** Writes a bundle with a base, adapters, or both; `baseSha256` is that of the base where it has none of its own. */
function write(folder, seed, { hasBase, hasAdapters, baseSha256 }) {
  mkdirSync(folder, { recursive: true });
  const shards = new Shards();
  const tensors = hasBase && base(shards, random(seed));
  const onTop = hasAdapters ? adapters(shards, random(1000)) : { adapters: [], tasks: [] };
  const files = shards.write(folder);
  const manifest = { format: "clinlora-bundle", version: 1, generator: "bundles.mjs", base_sha256: baseSha256 };
  if (hasBase) {
    const bytes = Buffer.from(JSON.stringify(tokenizer()));
    writeFileSync(join(folder, "tokenizer.json"), bytes);
    const file = { file: "tokenizer.json", bytes: bytes.length, sha256: sha256(bytes) };
    manifest.base = { bits: 4, config: CONFIG, tokenizer: file, tensors };
    manifest.base_sha256 = sha256(JSON.stringify([manifest.base, files.slice(0, 2)]));
  }
  Object.assign(manifest, { shards: files, ...onTop, card: { name: "random weights" } });
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  return manifest.base_sha256;
}

/** Writes the bundles of the suite, before it starts. */
export default function setUp() {
  const folder = (name) => join(process.env.CLINLORA_BUNDLES, name);
  const baseSha256 = write(folder("demo"), 1, { hasBase: true, hasAdapters: true });
  write(folder("base"), 1, { hasBase: true });
  write(folder("adapters"), 1, { hasAdapters: true, baseSha256 });
  write(folder("other"), 2, { hasBase: true });
}

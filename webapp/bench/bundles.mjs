#!/usr/bin/env node
// Bundles of the fixed peer's models, beside them: MODELS/PRESET/PRECISION/clinlora holds one task, the classifier as it is;
// .../clinlora-five the same base under five tasks, each with a LoRA adapter of its own on a shared clinical one, all random.
//
//   node bundles.mjs CLINLORA MODELS        CLINLORA is the program, MODELS the folder of `make_model.py`
//
// Where MODELS has no model, one of random weights in the shape of the peer's `small` is made there.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TASKS = ['PMV', 'MOR', 'LOS', 'DIAG', 'PROC'];
const SITES = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'];
const RANK = { clinical: 16, task: 8 };

/** Tensors of a safetensors file, f32: name to shape and values. */
function readTensors(path) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length));
  delete header.__metadata__;
  return (name) => {
    const { shape, data_offsets: [from, to] } = header[name];
    return { shape, bytes: bytes.subarray(8 + length + from, 8 + length + to) };
  };
}

function writeTensors(path, tensors) {
  const header = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, { shape, bytes }] of Object.entries(tensors))
    header[name] = { dtype: 'F32', shape, data_offsets: [end, (end += bytes.length)] };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([length, json, ...Object.values(tensors).map(({ bytes }) => bytes)]));
}

/** Values without a pattern in ±size, the same for the same seed. */
function random(shape, size, seed) {
  const values = new Float32Array(shape.reduce((a, b) => a * b));
  for (let i = 0; i < values.length; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    values[i] = size * ((seed >>> 8) / 2 ** 23 - 1);
  }
  return { shape, bytes: Buffer.from(values.buffer) };
}

/** A PEFT folder: LoRA on every projection, and a head if there is one. */
function writeAdapter(folder, config, rank, seed, head) {
  mkdirSync(folder, { recursive: true });
  const { hidden_size: d, intermediate_size: f, num_hidden_layers: layers } = config;
  const kv = (config.num_key_value_heads ?? config.num_attention_heads) * (config.head_dim ?? d / config.num_attention_heads);
  const shapes = { q_proj: [d, d], k_proj: [kv, d], v_proj: [kv, d], o_proj: [d, d], gate_proj: [f, d], up_proj: [f, d], down_proj: [d, f] };
  const tensors = {};
  for (let layer = 0; layer < layers; layer++)
    for (const site of SITES) {
      const [out, inner] = shapes[site.split('.')[1]];
      const path = `base_model.model.model.layers.${layer}.${site}`;
      tensors[`${path}.lora_A.weight`] = random([rank, inner], 1 / Math.sqrt(inner), seed++);
      tensors[`${path}.lora_B.weight`] = random([out, rank], 0.02, seed++);
    }
  if (head) tensors['base_model.model.score.weight'] = head;
  writeTensors(join(folder, 'adapter_model.safetensors'), tensors);
  const peft = {
    peft_type: 'LORA', task_type: head ? 'SEQ_CLS' : 'CAUSAL_LM', r: rank, lora_alpha: 2 * rank, lora_dropout: 0, bias: 'none',
    target_modules: SITES.map((site) => site.split('.')[1]), modules_to_save: head ? ['score'] : null,
  };
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(peft));
}

// The peer's tokenizer is a list of words, which this program does not read. Ids come from its `inputs.json`; so any other will do.
const TOKENIZER = join(import.meta.dirname, '../../tests/golden/tokenizer/llama.json');

function makeBundles(program, model, bits) {
  const work = join(model, 'clinlora-inputs');
  for (const folder of ['base', 'head']) mkdirSync(join(work, folder), { recursive: true });
  for (const file of ['config.json', 'model.safetensors']) copyFileSync(join(model, file), join(work, 'base', file));
  copyFileSync(TOKENIZER, join(work, 'base/tokenizer.json'));
  const head = readTensors(join(model, 'model.safetensors'))('score.weight');
  writeTensors(join(work, 'head/head.safetensors'), { 'score.weight': head });
  const labels = Array.from({ length: head.shape[0] }, (_, i) => `{ name = "LABEL_${i}" }`).join(', ');
  writeFileSync(join(work, 'task.toml'), `name = "labels"\nkind = "multiclass"\nlabels = [${labels}]\n`);
  const config = JSON.parse(readFileSync(join(model, 'config.json')));
  writeAdapter(join(work, 'clinical'), config, RANK.clinical, 1);
  TASKS.forEach((task, i) => writeAdapter(join(work, task), config, RANK.task, 1000 * (i + 1), head));
  const task = (name, adapters) => ['--task', `${name}=${join(work, 'task.toml')}:${adapters.map((a) => join(work, a)).join('+')}`];
  const write = (name, tasks) => {
    const out = join(model, name);
    if (existsSync(join(out, 'manifest.json'))) return;
    execFileSync(program, ['export', '--model', join(work, 'base'), '--bits', String(bits), '--device', 'cpu', '--out', out, '--overwrite', ...tasks], { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  write('clinlora', task('labels', ['head']));
  write('clinlora-five', TASKS.flatMap((name) => task(name, ['clinical', name])));
}

/** A checkpoint of random weights: hidden 288, 6 layers, 6 heads, intermediate 768, vocabulary 4096, 4 labels. */
function writeModel(folder) {
  mkdirSync(folder, { recursive: true });
  const config = {
    architectures: ['LlamaForSequenceClassification'], model_type: 'llama', hidden_act: 'silu', hidden_size: 288, intermediate_size: 768,
    num_hidden_layers: 6, num_attention_heads: 6, num_key_value_heads: 6, head_dim: 48, vocab_size: 4096, max_position_embeddings: 2048,
    rms_norm_eps: 1e-5, rope_theta: 10000, bos_token_id: 1, eos_token_id: 2, torch_dtype: 'float32',
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const { hidden_size: d, intermediate_size: f } = config;
  const shapes = { q_proj: [d, d], k_proj: [d, d], v_proj: [d, d], o_proj: [d, d], gate_proj: [f, d], up_proj: [f, d], down_proj: [d, f] };
  let seed = 7;
  const ones = () => ({ shape: [d], bytes: Buffer.from(new Float32Array(d).fill(1).buffer) });
  const tensors = { 'model.embed_tokens.weight': random([config.vocab_size, d], 1, seed++), 'model.norm.weight': ones() };
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const path = `model.layers.${layer}`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) tensors[`${path}.${norm}.weight`] = ones();
    for (const site of SITES) {
      const shape = shapes[site.split('.')[1]];
      tensors[`${path}.${site}.weight`] = random(shape, Math.sqrt(3 / shape[1]), seed++);
    }
  }
  tensors['score.weight'] = random([4, d], Math.sqrt(3 / d), seed++);
  writeTensors(join(folder, 'model.safetensors'), tensors);
}

const [program, models] = process.argv.slice(2);
if (!existsSync(models) || readdirSync(models).length === 0)
  for (const precision of ['int4', 'int8']) writeModel(join(models, 'small', precision));
for (const preset of readdirSync(models))
  for (const [precision, bits] of [['int4', 4], ['int8', 8]]) makeBundles(program, join(models, preset, precision), bits);

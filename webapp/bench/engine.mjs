// This engine as the fixed peer's bench drives one (`peers/web/README.md`, "Adding an engine"): token ids in, logits out.
// `cargo xtask bench web` puts this file, beside the bound program, into one folder for each device, named in device.mjs.
import init, { open as openModel } from './bench.js';
import { DEVICE, VERSION } from './device.mjs';

/** Opens the bundle that lies in `folder` below `bundle`. */
export async function open({ folder, bundle = 'clinlora' }) {
  await init();
  const bytes = async (file) => new Uint8Array(await (await fetch(`${folder}/${bundle}/${file}`)).arrayBuffer());
  const manifest = await bytes('manifest.json');
  const { shards } = JSON.parse(new TextDecoder().decode(manifest));
  const adapter = await navigator.gpu?.requestAdapter();
  const isSoftware = /swiftshader|llvmpipe|lavapipe/.test(adapter?.info.architecture ?? '');
  const model = await openModel(manifest, await Promise.all(shards.map(({ file }) => bytes(file))), DEVICE, isSoftware);
  return {
    model,
    version: VERSION,
    run: (ids) => model.run(Uint32Array.from(ids), [], 'all'),
  };
}

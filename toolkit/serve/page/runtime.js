// The one module that knows LiteRT.js: loading it, compiling files, running signatures in torch's layout.

import { getWebGpuDevice, isWebGPUSupported, loadAndCompile, loadLiteRt, supportsFeature, Tensor, unloadLiteRt } from "@litertjs/core";
import { fileShape, toFile, toTorch } from "/page/layout.js";

const WASM = "/litertjs/core/wasm/";
const MOST_THREADS = 4;

/** What this browser can run on: [{id, title}], the first the default. */
export async function backends() {
  const found = [];
  if (window.crossOriginIsolated && (await supportsFeature("relaxedSimd")) && (await supportsFeature("threads"))) {
    found.push({ id: "threads", title: `CPU (WebAssembly, ${threads()} threads)` });
  }
  found.push({ id: "wasm", title: "CPU (WebAssembly, 1 thread)" });
  const adapter = isWebGPUSupported() ? await navigator.gpu.requestAdapter() : null;
  if (adapter) {
    found.push({ id: "webgpu-fp32", title: "GPU (WebGPU, float32)" });
    found.push({ id: "webgpu-fp16", title: "GPU (WebGPU, float16)" });
  }
  return found;
}

function threads() {
  return Math.max(1, Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1));
}

/** LiteRT.js, loaded for one backend. */
export class Runtime {
  static async load(backend) {
    const gpu = backend.startsWith("webgpu");
    const jspi = gpu && (await supportsFeature("jspi"));
    unloadLiteRt();
    await loadLiteRt(WASM, { threads: backend === "threads", jspi });
    return new Runtime(backend, gpu, jspi);
  }

  constructor(backend, gpu, jspi) {
    this.gpu = gpu;
    this.jspi = jspi;
    this.options = gpu
      ? { accelerator: "webgpu", gpuOptions: { precision: backend.endsWith("16") ? "fp16" : "fp32" } }
      : { accelerator: "wasm", cpuOptions: { numThreads: backend === "threads" ? threads() : 1 } };
    this.files = new Map();
  }

  /** What the GPU is, for the page; empty on the CPU. */
  get device() {
    const info = this.gpu && getWebGpuDevice()?.adapterInfo;
    return info ? [info.vendor, info.architecture, info.description].filter(Boolean).join(" ") : "";
  }

  /** Loads a file once. */
  async open(file) {
    if (!this.files.has(file)) this.files.set(file, await loadAndCompile(`/bundle/${file}`, this.options));
    return this.files.get(file);
  }

  /** Runs a graph on arrays {data, shape} by input name; gives its outputs and the milliseconds of the run. */
  async run(graph, inputs) {
    const model = await this.open(graph.file);
    const feeds = {};
    const made = [];
    for (const [name, tensor] of Object.entries(graph.tensors)) {
      if (tensor.role !== "input") continue;
      if (!(name in inputs)) throw new Error(`${graph.name} wants ${name}`);
      if (inputs[name].shape.join() !== tensor.shape.join()) {
        throw new Error(`${graph.name} takes ${name} as ${tensor.shape}, not ${inputs[name].shape}`);
      }
      feeds[name] = new Tensor(toFile(inputs[name].data, tensor).slice(), fileShape(tensor));
      made.push(feeds[name]);
    }
    try {
      const started = performance.now();
      const results = await model.run(graph.signature, feeds);
      made.push(...Object.values(results));
      const read = {};
      for (const name of Object.keys(results)) read[name] = await results[name].data();
      const milliseconds = performance.now() - started;
      const outputs = {};
      for (const [name, data] of Object.entries(read)) {
        const tensor = graph.tensors[name];
        outputs[name] = { data: toTorch(data, tensor), shape: tensor.shape };
      }
      return { outputs, milliseconds };
    } finally {
      for (const tensor of made) if (!tensor.deleted) tensor.delete();
    }
  }

  close() {
    for (const model of this.files.values()) model.delete();
    this.files.clear();
  }
}

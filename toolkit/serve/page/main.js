// The page: asks Python to say something, says it again here, shows how the two differ.

import { sing } from "/page/chain.js";
import { backends, Runtime } from "/page/runtime.js";
import { snrDb } from "/page/signal.js";
import { fetchUtterance } from "/page/utterance.js";
import * as view from "/page/view.js";

const TIMED_RUNS = 5;
const TIMED_MILLISECONDS = 2000; // of one graph; a slow one is run less often, never fewer than once after warm-up

let spoken = null;
let runtime = null;

async function ask(asked) {
  view.state("asking");
  view.problem("");
  try {
    spoken = await fetchUtterance(asked);
    view.announce(spoken);
    view.state("ready");
  } catch (error) {
    view.problem(error.message);
    view.state(spoken ? "ready" : "failed");
  }
}

async function run() {
  view.state("running");
  view.problem("");
  const backend = view.chosenBackend();
  const result = { backend, graphs: {}, errors: {} };
  try {
    runtime?.close();
    await view.progress("Loading LiteRT.js …");
    runtime = await Runtime.load(backend);
    for (const call of spoken.calls) await check(call, result);
    const audio = await speak();
    Object.assign(result, audio);
    view.finish(spoken, result, runtime);
    view.state("done", result);
  } catch (error) {
    view.problem(`${error.message ?? error}`);
    view.failed();
    view.state("failed", result);
  }
}

/** One graph on the input Python recorded: how far off, how long. */
async function check(call, result) {
  const graph = spoken.graphs.find((one) => one.name === call.graph);
  await view.progress(`${graph.name} …`);
  try {
    const started = performance.now();
    const model = await runtime.open(graph.file);
    const loading = performance.now() - started;
    const first = await runtime.run(graph, call.inputs);
    const pairs = Object.entries(call.outputs).map(([name, array]) => [array.data, first.outputs[name].data]);
    const times = [];
    for (let spent = 0; times.length < TIMED_RUNS && (spent < TIMED_MILLISECONDS || !times.length); ) {
      times.push((await runtime.run(graph, call.inputs)).milliseconds);
      spent += times.at(-1);
    }
    times.sort((a, b) => a - b);
    const measured = {
      snr_db: snrDb(pairs),
      latency_ms: times[Math.floor(times.length / 2)],
      runs: times.length,
      load_ms: loading,
      accelerated: runtime.gpu ? model.isFullyAccelerated : null,
    };
    result.graphs[graph.name] = measured;
    view.row(graph, measured, runtime.gpu);
  } catch (error) {
    result.errors[graph.name] = `${error.message ?? error}`;
    view.rowError(graph, result.errors[graph.name]);
  }
}

/** The way from Python's signal to samples, on this browser's graphs alone. */
async function speak() {
  const graphs = new Map(spoken.graphs.map((graph) => [graph.name, graph]));
  const pairs = [];
  let milliseconds = 0;
  for (const utterance of spoken.utterances) {
    const made = await sing(runtime, graphs, utterance, spoken.constants, (stage, piece) =>
      view.progress(`${stage.name}: frames ${piece.first} to ${piece.end} …`),
    );
    pairs.push([utterance.audio.data, made.samples]);
    milliseconds += made.milliseconds;
  }
  const samples = view.joined(pairs.map(([, made]) => made));
  const seconds = samples.length / spoken.sample_rate_hz;
  return { samples, snr_db: snrDb(pairs), audio_seconds: seconds, chain_ms: milliseconds, real_time_factor: milliseconds / 1000 / seconds };
}

view.listen({ run, ask });
try {
  view.offer(await backends());
  await ask({});
} catch (error) {
  view.problem(`${error.message ?? error}`);
  view.state("failed");
}

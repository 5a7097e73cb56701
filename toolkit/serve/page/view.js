// What is on the page; nothing here computes a model. All text goes in as text, never as markup.

import { outline, wavFile } from "/page/signal.js";

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let spokenLabel = "";

function element(name, attributes = {}, ...inner) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inner);
  return made;
}

const decibels = (value) => (value === Infinity ? "identical" : Number.isFinite(value) ? value.toFixed(1) : "no signal");
const megabytes = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const spell = (ms) => (ms < 10000 ? `${took(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
const took = (ms) => (ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0));

export function joined(parts) {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function listen({ run, ask }) {
  byId("run").addEventListener("click", run);
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (byId("asked").value.trim()) ask({ [byId("way").value]: byId("asked").value.trim() });
  });
}

export function offer(found) {
  byId("backend").replaceChildren(...found.map(({ id, title }) => element("option", { value: id }, title)));
}

export const chosenBackend = () => byId("backend").value;

/** loading, asking, ready, running, done or failed; a test reads it, and the result beside it. */
export function state(name, result = null) {
  document.documentElement.dataset.state = name;
  const busy = !["ready", "done", "failed"].includes(name);
  for (const id of ["run", "say", "backend", "asked", "way"]) byId(id).disabled = busy;
  byId("run").disabled = busy || !spokenLabel;
  if (!busy) byId("progress").textContent = "";
  if (name === "asking") byId("progress").textContent = "Python is speaking …";
  if (result) window.result = { ...result, samples: result.samples?.length ?? 0 };
}

/** Shows what is being done and gives the browser a moment to paint it. */
export async function progress(text) {
  byId("progress").textContent = text;
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
}

export function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

/** A sentence that Python has said and the browser not yet. */
export function announce(spoken) {
  spokenLabel = spoken.label;
  document.title = `${spoken.label}: in this browser`;
  byId("label").textContent = spoken.label;
  byId("kicker").textContent = "in this browser · LiteRT.js " + spoken.litertjs;
  byId("sentence").textContent = "The bundle's own files, run outside Python and compared with it.";
  byId("on-python").textContent = spoken.on_python;
  byId("way").replaceChildren(...spoken.ways.map((way) => element("option", { value: way }, way)));
  const audio = joined(spoken.utterances.map((one) => one.audio.data));
  const seconds = audio.length / spoken.sample_rate_hz;
  byId("said").textContent = spoken.said.length > 160 ? `${spoken.said.slice(0, 160)}…` : spoken.said;
  byId("said-facts").textContent = `${seconds.toFixed(2)} s at ${spoken.sample_rate_hz} Hz`;
  play("python-audio", audio, spoken.sample_rate_hz);
  byId("browser-audio").removeAttribute("src");
  draw([["", audio]]);
  byId("waves-caption").textContent = "Python's samples; run the graphs to see the browser's difference.";
  byId("rows").replaceChildren(...spoken.graphs.map(waitingRow));
  byId("facts").replaceChildren();
  cards([
    ["Sound against Python", "–", "dB", "signal-to-noise ratio of the samples"],
    ["Graphs run here", "–", "", `${spoken.calls.length} of ${spoken.graphs.length} are used by this sentence`],
    ["Real-time factor", "–", "", "measured in this browser"],
  ]);
  badge("○ NOT RUN", "skipped");
  byId("report").replaceChildren(...(spoken.report ? [element("a", { href: spoken.report }, "The run's report")] : []));
}

function badge(text, tone) {
  byId("badge").textContent = text;
  byId("badge").className = `badge ${tone}`;
}

function cards(entries) {
  byId("cards").replaceChildren(
    ...entries.map(([title, value, unit, line, tone = ""]) =>
      element("div", { class: `card ${tone} ${value === "–" ? "waiting" : ""}` },
        element("span", { class: "card-title" }, title),
        element("span", { class: "card-value" }, value, ...(unit && value !== "identical" ? [element("span", { class: "card-unit" }, unit)] : [])),
        element("span", { class: "card-line" }, line)),
    ),
  );
}

function waitingRow(graph) {
  const file = element("td", {}, element("code", {}, graph.file), element("small", {}, `${megabytes(graph.size_bytes)} · signature ${graph.signature}`));
  return element("tr", { "data-graph": graph.name, class: graph.idle ? "idle" : "" },
    element("td", {}, graph.name), file, element("td", { class: "number", "data-label": "SNR, dB" }, "–"), element("td", { class: "number", "data-label": "Latency here, ms" }, "–"),
    element("td", { class: "muted" }, graph.idle || "not run yet"));
}

const rowOf = (graph) => byId("rows").querySelector(`[data-graph="${CSS.escape(graph.name)}"]`);

export function row(graph, measured, gpu) {
  const cells = rowOf(graph).children;
  cells[2].textContent = decibels(measured.snr_db);
  cells[2].className = "number strong";
  cells[3].replaceChildren(took(measured.latency_ms), element("small", {}, measured.runs > 1 ? `median of ${measured.runs} runs` : "one run"));
  const where = !gpu ? "ran on the CPU" : measured.accelerated ? "ran, all of it on the GPU" : "ran, not all of it on the GPU";
  cells[4].replaceChildren(where, element("small", {}, measured.load_ms > 1 ? `loaded in ${spell(measured.load_ms)}` : "file was loaded already"));
  cells[4].className = gpu && !measured.accelerated ? "bad" : "good";
}

export function rowError(graph, message) {
  const cell = rowOf(graph).children[4];
  cell.replaceChildren("failed", element("small", {}, message));
  cell.className = "bad";
}

export function finish(spoken, result, runtime) {
  const ran = Object.keys(result.graphs).length;
  const failures = Object.keys(result.errors).length;
  badge(failures ? "✕ NOT ALL RAN" : "✓ RAN HERE", failures ? "fail" : "pass");
  cards([
    ["Sound against Python", decibels(result.snr_db), "dB", "signal-to-noise ratio of the samples, each graph fed by the browser's own"],
    ["Graphs run here", `${ran}/${spoken.calls.length}`, "", failures ? "see the table for what failed" : "of those this sentence uses", failures ? "fail" : ""],
    ["Real-time factor", result.real_time_factor.toFixed(2), "", `${spell(result.chain_ms)} for ${result.audio_seconds.toFixed(2)} s of sound, flow and vocoder; measured in this browser`],
  ]);
  play("browser-audio", result.samples, spoken.sample_rate_hz);
  const python = joined(spoken.utterances.map((one) => one.audio.data));
  draw([["", result.samples], ["difference", result.samples.map((sample, i) => sample - python[i])]]);
  byId("waves-caption").textContent = "The browser's samples; in front of them, in red and at the same scale, what Python's differ by. From about 40 dB up there is nothing to see.";
  const facts = [
    ["Backend", byId("backend").selectedOptions[0].textContent],
    ...(runtime.gpu ? [["GPU", `${runtime.device || "not named by the browser"}${runtime.jspi ? "" : " · no JSPI: a graph runs whole on the GPU or not at all"}`]] : []),
    ...(runtime.gpu ? [["8 bits on a GPU", "A GPU computes 8-bit graphs in floating point, without the CPU's rounding after each operator: tens of dB less are no defect there."]] : []),
    ["Compared with", "LiteRT on the CPU, in Python"],
    ["Browser", navigator.userAgent],
  ];
  byId("facts").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

export function failed() {
  badge("✕ FAILED", "fail");
}

function play(id, samples, sampleRateHz) {
  const player = byId(id);
  if (player.src.startsWith("blob:")) URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(wavFile(samples, sampleRateHz));
}

function draw(layers) {
  const loudest = layers[0][1].reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  byId("waves").replaceChildren(
    ...layers.map(([tone, samples]) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", tone);
      path.setAttribute("d", outline(samples, loudest, tone ? 0 : 0.3));
      return path;
    }),
  );
}

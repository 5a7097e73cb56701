// From the first signal to the samples: the stages of an utterance, piece by piece, as toolkit/engine/chunks.py cuts.

/** Samples of an utterance, each stage fed with what the stage before it gave here; and the milliseconds spent. */
export async function sing(runtime, graphs, utterance, constants, onPiece) {
  let signal = utterance.signal;
  let milliseconds = 0;
  for (const stage of utterance.stages) {
    const parts = [];
    for (const piece of stage.pieces) {
      const graph = graphs.get(piece.graph);
      const length = graph.tensors[stage.source].shape[2];
      const { fed, mask } = window_(signal, piece.start, length);
      const run = await runtime.run(graph, { ...constants, [stage.source]: fed, mask });
      milliseconds += run.milliseconds;
      parts.push(cut(run.outputs[stage.target], (piece.first - piece.start) * stage.hop, (piece.end - piece.start) * stage.hop));
      await onPiece(stage, piece);
    }
    signal = joined(parts);
  }
  return { samples: signal.data, milliseconds };
}

// [1, channels, length] from a frame on, zero and masked where the signal ends.
function window_(signal, start, length) {
  const [, channels, frames] = signal.shape;
  const here = Math.min(length, frames - start);
  const fed = new Float32Array(channels * length);
  for (let channel = 0; channel < channels; channel++) {
    const row = channel * frames + start;
    fed.set(signal.data.subarray(row, row + here), channel * length);
  }
  const mask = new Float32Array(length).fill(1, 0, here);
  return { fed: { data: fed, shape: [1, channels, length] }, mask: { data: mask, shape: [1, 1, length] } };
}

function cut(array, first, end) {
  const [, channels, steps] = array.shape;
  const data = new Float32Array(channels * (end - first));
  for (let channel = 0; channel < channels; channel++) {
    data.set(array.data.subarray(channel * steps + first, channel * steps + end), channel * (end - first));
  }
  return { data, shape: [1, channels, end - first] };
}

function joined(parts) {
  const channels = parts[0].shape[1];
  const steps = parts.reduce((sum, part) => sum + part.shape[2], 0);
  const data = new Float32Array(channels * steps);
  for (let channel = 0, at = 0; channel < channels; channel++) {
    for (const part of parts) {
      const size = part.shape[2];
      data.set(part.data.subarray(channel * size, (channel + 1) * size), at);
      at += size;
    }
  }
  return { data, shape: [1, channels, steps] };
}

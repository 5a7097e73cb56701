// Reads what /sentence answers: see toolkit/serve/packing.py for the form.

const MAGIC = "FLS1";
const KINDS = { float32: Float32Array, int32: Int32Array };

/** Asks Python to say something; returns the header with its arrays as {data, shape}. */
export async function fetchUtterance(asked) {
  const answer = await fetch(`/sentence?${new URLSearchParams(asked)}`);
  if (!answer.ok) throw new Error(await answer.text());
  return unpack(await answer.arrayBuffer());
}

export function unpack(buffer) {
  const head = new DataView(buffer);
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== MAGIC) throw new Error(`the server answered ${JSON.stringify(magic)}, not ${MAGIC}`);
  const start = 8 + head.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
  const array = ({ dtype, shape, offset }) => {
    const size = shape.reduce((product, axis) => product * axis, 1);
    return { data: new KINDS[dtype](buffer, start + offset, size), shape };
  };
  const arrays = (named) => Object.fromEntries(Object.entries(named).map(([name, value]) => [name, array(value)]));
  header.calls = header.calls.map((call) => ({ ...call, inputs: arrays(call.inputs), outputs: arrays(call.outputs) }));
  header.constants = arrays(header.constants);
  header.utterances = header.utterances.map((one) => ({ ...one, signal: array(one.signal), audio: array(one.audio) }));
  return header;
}

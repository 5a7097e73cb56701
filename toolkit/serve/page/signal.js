// Samples: distance between two, a WAV file of them, the outline a person looks at.

/** Signal-to-noise ratio in dB, the difference being the noise, as toolkit.quality.signal.snr_db; over several arrays. */
export function snrDb(pairs) {
  let signal = 0;
  let noise = 0;
  for (const [reference, candidate] of pairs) {
    if (reference.length !== candidate.length) throw new Error(`${candidate.length} values for ${reference.length}`);
    for (let i = 0; i < reference.length; i++) {
      signal += reference[i] * reference[i];
      noise += (candidate[i] - reference[i]) ** 2;
    }
  }
  if (noise === 0) return Infinity;
  return signal === 0 ? -Infinity : 10 * Math.log10(signal / noise);
}

/** A 16-bit WAV file of samples in [-1, 1]. */
export function wavFile(samples, sampleRateHz) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, i) => bytes.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, 1, true);
  bytes.setUint32(24, sampleRateHz, true);
  bytes.setUint32(28, 2 * sampleRateHz, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => bytes.setInt16(44 + 2 * i, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true));
  return new Blob([bytes], { type: "audio/wav" });
}

/** Path of a waveform's outline in a box 1000 wide and 120 high; `loudest` fills it. Silence has a height of `least`. */
export function outline(samples, loudest, least) {
  const columns = 500;
  const scale = loudest > 0 ? 58 / loudest : 0;
  const top = [];
  const bottom = [];
  for (let column = 0; column < columns; column++) {
    const first = Math.floor((column * samples.length) / columns);
    const end = Math.max(first + 1, Math.floor(((column + 1) * samples.length) / columns));
    let low = 0;
    let high = 0;
    for (let i = first; i < end && i < samples.length; i++) {
      low = Math.min(low, samples[i]);
      high = Math.max(high, samples[i]);
    }
    top.push(`${column * 2},${(60 - high * scale - least).toFixed(2)}`);
    bottom.unshift(`${column * 2},${(60 - low * scale + least).toFixed(2)}`);
  }
  return `M${top.join("L")}L${bottom.join("L")}Z`;
}

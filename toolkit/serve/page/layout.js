// Torch's layout and the file's, as converters.spec.Layout says: reshape to `expanded`, transpose by `permutation`.

/** Data of torch's layout, as the file stores it. */
export function toFile(data, tensor) {
  return transposed(data, tensor.expanded, tensor.permutation);
}

/** Data as the file stores it, in torch's layout. */
export function toTorch(data, tensor) {
  const back = tensor.permutation.map((_, axis) => tensor.permutation.indexOf(axis));
  return transposed(data, fileShape(tensor), back);
}

export function fileShape(tensor) {
  return tensor.permutation.map((axis) => tensor.expanded[axis]);
}

function transposed(data, shape, permutation) {
  if (permutation.every((axis, place) => axis === place)) return data;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const sizes = permutation.map((axis) => shape[axis]);
  const steps = permutation.map((axis) => strides[axis]);
  const out = new data.constructor(data.length);
  const index = new Array(sizes.length).fill(0);
  for (let place = 0, from = 0; place < out.length; place++) {
    out[place] = data[from];
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      from += steps[axis];
      if (++index[axis] < sizes[axis]) break;
      from -= steps[axis] * sizes[axis];
      index[axis] = 0;
    }
  }
  return out;
}
